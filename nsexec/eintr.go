package nsexec

import (
	"errors"

	"golang.org/x/sys/unix"
)

// IgnoringEINTR repeats a system call that a signal interrupted.
func IgnoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
