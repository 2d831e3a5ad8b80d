// Command hello is what a static Go program with cgo costs to start, the yardstick of `zbox state`.
package main

// #include <unistd.h>
import "C"

import "fmt"

func main() {
	_ = C.getpid()
	fmt.Println("hello")
}
