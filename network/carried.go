package network

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// carriedUp connects a sandbox without privileges: a helper program carries its traffic as the user's own.
func carriedUp(c Config) error {
	host, err := inode(hostNamespace)
	if err != nil {
		return err
	}
	sandbox, err := unix.PidfdOpen(c.Pid, 0)
	if err != nil {
		return fmt.Errorf("finding the sandbox's process %d: %w", c.Pid, err)
	}
	pidfd := os.NewFile(uintptr(sandbox), "sandbox")
	defer pidfd.Close()
	if !c.Access {
		return errors.New("port_forwards without network_access need root: without privileges, what lets connections in lets them out as well")
	}
	start, path, err := chooseHelper(c.Path)
	if err != nil {
		return err
	}
	if err := checkPorts(c.Forwards, nil); err != nil {
		return err
	}
	net, err := chooseSubnet(c)
	if err != nil {
		return err
	}
	r := record{Version: recordVersion, ID: c.ID, Namespace: host}
	if err := r.write(c.StateDir); err != nil {
		return err
	}
	err = start(path, c, net)
	if err == nil {
		err = startWatch(c, pidfd)
	}
	if err != nil {
		return errors.Join(err, carriedDown(c.StateDir, c.ID))
	}
	return nil
}

// chooseHelper prefers pasta: it is the faster one and keeps the addresses of clients.
func chooseHelper(path string) (start func(string, Config, subnet) error, program string, err error) {
	if program := lookPath("pasta", path); program != "" {
		return startPasta, program, nil
	}
	if program := lookPath("slirp4netns", path); program != "" {
		return startSlirp, program, nil
	}
	return nil, "", errors.New("a sandbox without root needs pasta (package passt) or slirp4netns (package slirp4netns), and neither is in " + path +
		": install passt, or run zbox as root")
}

// lookPath finds a program in a list of directories; those that are not absolute do not count.
func lookPath(name, path string) string {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if filepath.IsAbs(dir) && unix.Access(file, unix.X_OK) == nil {
			return file
		}
	}
	return ""
}

// startWatch starts a process that ends the helper when the sandbox has ended: nobody may come to delete it, and the helper itself would
// keep the sandbox's network namespace, and the ports of the host, for ever.
func startWatch(c Config, sandbox *os.File) error {
	pids, err := helpers(c.StateDir, c.ID)
	if err != nil || len(pids) == 0 {
		return errors.Join(errors.New("the program that carries the traffic has ended"), err)
	}
	fd, err := unix.PidfdOpen(pids[0], 0)
	if err != nil {
		return fmt.Errorf("finding process %d, which carries the traffic: %w", pids[0], err)
	}
	helper := os.NewFile(uintptr(fd), "helper")
	defer helper.Close()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding zbox itself: %w", err)
	}
	cmd := exec.Command(self, "network", "watch", helperFile(c.StateDir, c.ID))
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.ExtraFiles = []*os.File{sandbox, helper}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the watch over %s: %w", self, err)
	}
	return cmd.Process.Release()
}

// Watch waits for the end of the sandbox, whose pidfd is descriptor 3, and then ends the helper, descriptor 4.
func Watch() error {
	fds := []unix.PollFd{{Fd: 3, Events: unix.POLLIN}, {Fd: 4, Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for the sandbox: %w", err)
		}
		if fds[1].Revents != 0 {
			return nil
		}
		if fds[0].Revents != 0 {
			return unix.PidfdSendSignal(4, unix.SIGKILL, nil, 0)
		}
	}
}

// carriedDown ends helper and watch.
func carriedDown(stateDir, id string) error {
	pids, err := helpers(stateDir, id)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := end(pid); err != nil {
			return fmt.Errorf("ending process %d, which carries the traffic: %w", pid, err)
		}
	}
	for _, suffix := range []string{"", ".sock"} {
		if err := os.Remove(helperFile(stateDir, id) + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing what the helper left: %w", err)
		}
	}
	return removeRecord(stateDir, id)
}

// helperFile is on the command line of everything that runs for a sandbox, and so finds it, also behind a kill -9 that came before anybody
// could write down a pid.
func helperFile(stateDir, id string) string { return filepath.Join(stateDir, id+".helper") }

// helpers are the processes of a sandbox's helper and watch.
func helpers(stateDir, id string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("looking for the helper: %w", err)
	}
	file := helperFile(stateDir, id)
	var pids []int
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		// A process that is gone meanwhile has no command line.
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		for arg := range bytes.SplitSeq(args, []byte{0}) {
			if pid != os.Getpid() && strings.TrimSuffix(strings.TrimSuffix(string(arg), ".sock"), pastaMark) == file {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids, nil
}

// end kills a process and waits until it is gone. One that is gone already is no error.
func end(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(answerTime.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n == 0:
			return unix.ETIMEDOUT
		default:
			return nil
		}
	}
}

func chooseSubnet(c Config) (subnet, error) {
	around, err := lookAround()
	if err != nil {
		return subnet{}, err
	}
	around.avoid(c.Nameservers)
	return freeSubnet(around.networks)
}
