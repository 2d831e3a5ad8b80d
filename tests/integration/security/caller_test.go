package security

import (
	"os"
	"os/exec"
	"syscall"
)

// withGroups makes the runtime's caller one with supplementary groups.
func withGroups(groups ...uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid()), Groups: groups}}
}

// inDirectory makes the runtime's caller one that stands in a directory.
func inDirectory(cmd *exec.Cmd, dir string) *exec.Cmd {
	cmd.Dir = dir
	return cmd
}

// withUmask makes the runtime's caller one with an umask.
func withUmask(cmd *exec.Cmd, umask string) *exec.Cmd {
	return exec.Command("/bin/sh", append([]string{"-c", `umask ` + umask + `; exec "$@"`, "sh"}, cmd.Args...)...)
}
