package cgroup

import (
	"os"

	"golang.org/x/sys/unix"
)

// keepMemlock runs set without letting its change of RLIMIT_MEMLOCK outlive it: opencontainers/cgroups raises that limit for
// good before it loads a BPF program, and the container would inherit it. No kernel since 5.11 counts BPF against it.
func keepMemlock(set func() error) error {
	var before, after unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &before); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	err := set()
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &after) == nil && after != before {
		if restoring := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &before); err == nil && restoring != nil {
			err = os.NewSyscallError("setrlimit", restoring)
		}
	}
	return err
}
