package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/translate"
)

// supervisedFlag marks the zbox in the background that stays with a detached sandbox.
const supervisedFlag = "supervised"

// The descriptors of a supervisor beside its stdio.
const (
	readyFD  = 3 // a pipe that gets a byte once the program runs
	configFD = 4 // the configuration, when that came on standard input
)

// needsSupervisor: somebody has to be there for the timeout, to see how the sandbox ends, and to keep others from what it writes to.
func needsSupervisor(c *cli.Context, cfg *translate.Config) bool {
	return detached(c) && (cfg.TimeoutSeconds > 0 || cfg.Persist != "" || c.IsSet("result"))
}

// startSupervisor starts the same command once more in the background and returns when it reports that the program runs. When that goes
// wrong it has said why on the standard error that both share.
func startSupervisor(c *cli.Context, cfg *translate.Config, id string, args []string) error {
	if c.Int("preserve-fds") > 0 {
		return errors.New("--preserve-fds: not with --detach and a timeout, persist or --result: zbox itself stays in the background then")
	}
	ready, report, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	config, err := configMemfd(cfg)
	if err != nil {
		return err
	}
	defer config.Close()
	cmd := exec.Command("/proc/self/exe", append(supervisorArgs(invocationOf(c), id), args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{report, config}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	report.Close()
	if err != nil {
		return err
	}
	if n, _ := ready.Read(make([]byte, 1)); n == 1 {
		return cmd.Process.Release()
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return processStatus(exit.ExitCode())
	}
	return err
}

// supervisorArgs is the command line again, up to the arguments of the program, with the configuration of standard input as a descriptor.
func supervisorArgs(inv invocation, id string) []string {
	args := append(append([]string{}, inv.globals...), inv.command, "--"+supervisedFlag)
	for _, flag := range inv.flags {
		if flag == "--config=-" {
			flag = fmt.Sprintf("--config=/proc/self/fd/%d", configFD)
		}
		args = append(args, flag)
	}
	return append(args, id, "--")
}

func configMemfd(cfg *translate.Config) (*os.File, error) {
	fd, err := unix.MemfdCreate("zbox-config", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "zbox-config")
	_, err = f.Write(cfg.Text())
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// reportReady is what tells the zbox in front that the program runs.
func reportReady(c *cli.Context) func() error {
	if !c.Bool(supervisedFlag) {
		return func() error { return nil }
	}
	f := os.NewFile(readyFD, "ready")
	unix.CloseOnExec(readyFD)
	unix.CloseOnExec(configFD)
	return func() error {
		_, err := f.Write([]byte{1})
		return errors.Join(err, f.Close())
	}
}
