//go:build cgo

package compile

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// installFilter puts the calling thread under a filter.
func installFilter(program []unix.SockFilter, flags uint64) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	const setModeFilter = 1
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, setModeFilter, uintptr(flags), uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("installing the filter: %w", errno)
	}
	return nil
}
