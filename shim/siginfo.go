package shim

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// siginfoPid is si_pid of what waitid(2) has filled in, 0 when there was nothing (sigaction(2)). x/sys/unix does not name the fields behind
// si_code: si_pid is the first of a union that begins where a pointer may.
func siginfoPid(info *unix.Siginfo) int {
	const header = 3 * unsafe.Sizeof(int32(0)) // si_signo, si_errno, si_code
	const align = unsafe.Alignof(uintptr(0))
	offset := (header + align - 1) / align * align
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), offset)))
}
