// Package sysmon has what `make build` changes in the Go runtime, for programs that live for 2 ms.
//
// The runtime's monitor thread sleeps longer. It looks after the other threads every 20 µs for the first milliseconds of a program, and most
// commands of zbox are over then: of the 40 to 60 context switches of `zbox state` all but eight were its. The means is the thread's timer
// slack (prctl(2), PR_SET_TIMERSLACK) of 5 ms, which it gets through the linker's --wrap: the runtime itself has no knob. A goroutine whose
// processor is held by another one's system call may wait so much longer, where all are.
//
// The runtime does not look for a CPU limit of its own cgroup. It does so at every start since Go 1.25, also when it is told to ignore the limit
// (containermaxprocs=0): it reads /proc/self/mountinfo, which has a line for each mount on the machine, and /proc/self/cgroup, which waits while
// cgroups change elsewhere. And it starts with one processor, so that it makes no threads for the packages' initialization; AllProcessors
// gives it the others. The means is a file in the place of the runtime's own (_runtime/). Together a sixth of the processor time of `zbox state`.
package sysmon

import (
	"os"
	"runtime"
)

// AllProcessors lets goroutines run on all processors that the process may use, unless GOMAXPROCS in the environment says how many.
func AllProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.NumCPU())
	}
}
