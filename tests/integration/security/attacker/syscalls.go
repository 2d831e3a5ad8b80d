package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"unsafe"

	"golang.org/x/sys/unix"
)

const x32 = 0x40000000

// calls are system calls that a sandbox has to refuse or to allow; each is made in a process of its own, for some end it.
var calls = map[string]func() unix.Errno{
	"io_uring_setup":    func() unix.Errno { return raw(425, 1, 0, 0) },
	"io_uring_enter":    func() unix.Errno { return raw(426, ^uintptr(0), 0, 0) },
	"io_uring_register": func() unix.Errno { return raw(427, ^uintptr(0), 0, 0) },
	"clone3":            func() unix.Errno { return raw(435, 0, 0, 0) },
	"unshare user":      func() unix.Errno { return raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0) },
	"unshare nothing":   func() unix.Errno { return raw(unix.SYS_UNSHARE, 0, 0, 0) },
	"mount":             func() unix.Errno { return raw(unix.SYS_MOUNT, 0, 0, 0) },
	"fsopen":            func() unix.Errno { return raw(unix.SYS_FSOPEN, 0, 0, 0) },
	"bpf":               func() unix.Errno { return raw(unix.SYS_BPF, 0, 0, 0) },
	"userfaultfd":       func() unix.Errno { return raw(unix.SYS_USERFAULTFD, 0, 0, 0) },
	"keyctl":            func() unix.Errno { return raw(unix.SYS_KEYCTL, 0, 0, 0) },
	"ptrace":            func() unix.Errno { return raw(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0) },
	"AF_UNIX":           func() unix.Errno { return socket(unix.AF_UNIX) },
	"AF_INET":           func() unix.Errno { return socket(unix.AF_INET) },
	"AF_VSOCK":          func() unix.Errno { return socket(unix.AF_VSOCK) },
	"AF_ALG":            func() unix.Errno { return socket(unix.AF_ALG) },
	"AF_PACKET":         func() unix.Errno { return socket(unix.AF_PACKET) },
	"AF_VSOCK + 2^32":   func() unix.Errno { return socket(1<<32 | unix.AF_VSOCK) },
	"TIOCSTI":           func() unix.Errno { return raw(unix.SYS_IOCTL, 0, unix.TIOCSTI, zero()) },
	"TIOCSTI + 2^32":    func() unix.Errno { return raw(unix.SYS_IOCTL, 0, 1<<32|unix.TIOCSTI, zero()) },
	"TCGETS":            func() unix.Errno { return raw(unix.SYS_IOCTL, ^uintptr(0), unix.TCGETS, zero()) },
	"sendmmsg":          func() unix.Errno { return raw(unix.SYS_SENDMMSG, ^uintptr(0), 0, 0) },
	"getpid":            func() unix.Errno { return raw(unix.SYS_GETPID, 0, 0, 0) },
	"x32 getpid":        func() unix.Errno { return raw(x32|unix.SYS_GETPID, 0, 0, 0) },
	"x32 io_uring":      func() unix.Errno { return raw(x32|425, 1, 0, 0) },
	"i386 getpid":       func() unix.Errno { int80(20); return 0 },
	"i386 mount":        func() unix.Errno { int80(21); return 0 },
}

func raw(nr, a, b, c uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall(nr, a, b, c)
	return errno
}

func socket(family uintptr) unix.Errno { return raw(unix.SYS_SOCKET, family, unix.SOCK_RAW, 0) }

func zero() uintptr {
	var value [64]byte
	return uintptr(unsafe.Pointer(&value))
}

// makeCall makes one call and prints how it went.
func makeCall(name string) {
	call := calls[name]
	if call == nil {
		fmt.Fprintln(os.Stderr, "unknown call", name)
		os.Exit(2)
	}
	fmt.Print(unix.ErrnoName(call()))
}

// makeCalls prints as JSON what became of each call: the name of its error, "" for none, or the signal that ended it.
func makeCalls() {
	seen := map[string]string{}
	for name := range calls {
		seen[name] = tryInChild("call", name)
	}
	_ = json.NewEncoder(os.Stdout).Encode(seen)
}

// tryInChild does one thing in a process of its own and returns what that printed, or how it ended.
func tryInChild(what, name string) string {
	cmd := exec.Command("/proc/self/exe", what, name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err.Error()
	}
	return string(out)
}
