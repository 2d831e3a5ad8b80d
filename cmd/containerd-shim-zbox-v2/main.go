// Command containerd-shim-zbox-v2 is containerd's shim for the runtime io.containerd.zbox.v2: it holds the containers of one pod, and
// makes them itself, with libzbox.
//
// The directives are those of zbox: a shim is started twice for each pod, and has no use for reading the cgroup's CPU limit.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"fmt"
	"os"

	_ "github.com/bxrne/zbox/fortify"
	"github.com/bxrne/zbox/shim"
	"github.com/bxrne/zbox/sysmon"
)

// Set by the linker.
var (
	version = "0.0.0-dev"
	commit  = ""
)

func main() {
	sysmon.AllProcessors()
	if err := shim.Main(shim.Build{Version: version, Commit: commit}, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "containerd-shim-zbox-v2: %v\n", err)
		os.Exit(1)
	}
}
