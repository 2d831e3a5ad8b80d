// Package sysmon, imported for its effect by zbox, lets the Go runtime's monitor thread sleep longer. It looks after the other threads
// every 20 µs for the first milliseconds of a program, and most commands of zbox are over then: of the 40 to 60 context switches of
// `zbox state` all but eight were its.
//
// The means is the thread's timer slack (prctl(2), PR_SET_TIMERSLACK) of 5 ms, which it gets through the linker's --wrap: the runtime
// itself has no knob. A goroutine whose processor is held by another one's system call may wait so much longer, where all are.
package sysmon
