package security

import (
	"os"
	"syscall"
)

// withGroups makes the runtime's caller one with supplementary groups.
func withGroups(groups ...uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid()), Groups: groups}}
}
