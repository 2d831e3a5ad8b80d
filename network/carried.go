package network

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	if !c.Access && c.Privileged {
		return errors.New("port_forwards without network_access: the capabilities NET_ADMIN and NET_RAW would undo what keeps connections in: leave them out, or run zbox as root")
	}
	helper, err := chooseHelper(c.Path)
	if err != nil {
		return err
	}
	if err := checkPorts(c.Forwards, nil); err != nil {
		return err
	}
	if err := checkDatagrams(c.Forwards); err != nil {
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
	rules, err := helper.inside(c, net)
	if err == nil { // before there is a way out
		err = rules.start(c)
	}
	if err == nil {
		err = helper.start(helper.program, c, net)
	}
	if err == nil {
		err = startWatch(c, pidfd)
	}
	if err != nil {
		return errors.Join(err, carriedDown(c.StateDir, c.ID))
	}
	return nil
}

// checkDatagrams: the port of the host is what these programs tell clients of UDP apart by.
func checkDatagrams(forwards []Forward) error {
	for i, f := range forwards {
		for _, g := range forwards[:i] {
			if f.Protocol == "udp" && g.Protocol == "udp" && f.Host == g.Host {
				return fmt.Errorf("port_forwards: port %d/udp is forwarded at %s and at %s, which takes root: use two ports, or run zbox as root", f.Host, g.Bind, f.Bind)
			}
		}
	}
	return nil
}

// helper is a program that carries the traffic of sandboxes, and the rules that it needs beside it.
type helper struct {
	program string
	start   func(program string, c Config, net subnet) error
	inside  func(c Config, net subnet) (inside, error)
}

// chooseHelper prefers pasta: it is the faster one and keeps the addresses of clients.
func chooseHelper(path string) (helper, error) {
	if program := lookPath("pasta", path); program != "" {
		return helper{program, startPasta, insideOfPasta}, nil
	}
	if program := lookPath("slirp4netns", path); program != "" {
		return helper{program, startSlirp, insideOfSlirp}, nil
	}
	return helper{}, errors.New("a sandbox without root needs pasta (package passt) or slirp4netns (package slirp4netns), and neither is in " + path +
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

// watchCommand is the argument of `zbox network` that is Watch.
const watchCommand = "watch"

// startWatch starts a process that ends the helper when the sandbox has ended: nobody may come to delete it, and the helper itself would
// keep the sandbox's network namespace, and the ports of the host, for ever.
func startWatch(c Config, sandbox *os.File) error {
	pids, _, err := helpers(c.StateDir, c.ID)
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
	cmd := exec.Command(self, "network", watchCommand, helperFile(c.StateDir, c.ID))
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.ExtraFiles = []*os.File{sandbox, helper}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the watch over %s: %w", self, err)
	}
	return cmd.Process.Release()
}

// Watch waits for the end of the sandbox, whose pidfd is descriptor 3, and then ends the helper, descriptor 4. It ends when the helper has.
func Watch() error {
	sandbox, helper := unix.PollFd{Fd: 3, Events: unix.POLLIN}, unix.PollFd{Fd: 4, Events: unix.POLLIN}
	fds := []unix.PollFd{helper, sandbox}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for the sandbox: %w", err)
		}
		if fds[0].Revents != 0 {
			return nil
		}
		if len(fds) == 2 && fds[1].Revents != 0 {
			if err := unix.PidfdSendSignal(4, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
			fds = fds[:1]
		}
	}
}

// carriedDown ends the helper, and waits for the watch: a helper that the watch has killed cannot be found any more, but holds the host's
// ports until it is gone.
func carriedDown(stateDir, id string) error {
	pids, watches, err := helpers(stateDir, id)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := end(pid, unix.SIGKILL); err != nil {
			return fmt.Errorf("ending process %d, which carries the traffic: %w", pid, err)
		}
	}
	for _, pid := range watches {
		if err := end(pid, 0); err != nil {
			return fmt.Errorf("waiting for process %d, which watches over what carries the traffic: %w", pid, err)
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

// helpers are the processes of a sandbox's helper, and of its watch.
func helpers(stateDir, id string) (pids, watches []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, nil, fmt.Errorf("looking for the helper: %w", err)
	}
	file := helperFile(stateDir, id)
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		// A process that is gone meanwhile has no command line.
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		args := strings.Split(string(text), "\x00")
		named := slices.ContainsFunc(args, func(arg string) bool {
			return strings.TrimSuffix(strings.TrimSuffix(arg, ".sock"), pastaMark) == file
		})
		switch {
		case !named || pid == os.Getpid():
		case slices.Contains(args, watchCommand):
			watches = append(watches, pid)
		default:
			pids = append(pids, pid)
		}
	}
	return pids, watches, nil
}

// end sends a process a signal, 0 for none, and waits until it is gone, for answerTime. One that is gone already is no error.
func end(pid int, signal unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
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
