// Command genheader prints the C header of the plan's wire format.
package main

import (
	"os"

	"github.com/bxrne/zbox/plan"
)

func main() {
	if len(os.Args) != 2 {
		panic("usage: genheader FILE")
	}
	if err := os.WriteFile(os.Args[1], []byte(plan.CHeader()), 0o644); err != nil {
		panic(err)
	}
}
