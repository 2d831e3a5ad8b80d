package libzbox

import (
	"fmt"
	"os"

	"github.com/bxrne/zbox/nsexec"
	"github.com/bxrne/zbox/spec/oneshot"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// sockets are the caller's ends that get descriptors: the terminal's master and a pidfd of the process. They are connected before the
// stage is started, so that a wrong path is an error before the first side effect.
type sockets struct {
	consoleSock, pidfdSock int
	take                   bool
	console                *os.File
}

func (p *performer) openSockets(console, pidfd string, take bool) error {
	p.sockets = sockets{consoleSock: -1, pidfdSock: -1, take: take}
	var err error
	if console != "" {
		if p.sockets.consoleSock, err = connectStream(console); err != nil {
			return fmt.Errorf("--console-socket: %w", err)
		}
	}
	if pidfd != "" {
		if p.sockets.pidfdSock, err = connectStream(pidfd); err != nil {
			return fmt.Errorf("--pidfd-socket: %w", err)
		}
	}
	return nil
}

// connectStream connects to a unix stream socket.
func connectStream(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("making a socket: %w", err)
	}
	if err := nsexec.IgnoringEINTR(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) }); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connecting to %s: %w", path, err)
	}
	return fd, nil
}

// gotConsole passes the terminal's master on: to the console socket with one message, or to the caller.
func (s *sockets) gotConsole(master *os.File) error {
	if s.take {
		s.console = master
		return nil
	}
	defer master.Close()
	if err := sendFile(s.consoleSock, "/dev/ptmx", master); err != nil {
		return fmt.Errorf("--console-socket: sending the terminal: %w", err)
	}
	return nil
}

// sendPidfd sends a pidfd of the process to the pidfd socket, if there is one.
func (s *sockets) sendPidfd(pid int) error {
	if s.pidfdSock < 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("--pidfd-socket: opening a pidfd of %d: %w", pid, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	if err := sendFile(s.pidfdSock, "pidfd", f); err != nil {
		return fmt.Errorf("--pidfd-socket: sending the pidfd: %w", err)
	}
	return nil
}

// sendFile sends one message with one descriptor.
func sendFile(sock int, name string, f *os.File) error {
	rights := unix.UnixRights(int(f.Fd()))
	return nsexec.IgnoringEINTR(func() error { return unix.Sendmsg(sock, []byte(name), rights, nil, unix.MSG_NOSIGNAL) })
}

func (s *sockets) close() {
	for _, fd := range []*int{&s.consoleSock, &s.pidfdSock} {
		if *fd > 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	if s.console != nil {
		s.console.Close()
		s.console = nil
	}
}

// sendSeccomp hands the listener of a filter with SCMP_ACT_NOTIFY to the agent at linux.seccomp.listenerPath, with the container process
// state of config-linux.md.
func (p *performer) sendSeccomp(listener *os.File) error {
	profile := p.spec.Linux.Seccomp
	sock, err := connectStream(profile.ListenerPath)
	if err != nil {
		return fmt.Errorf("%s: linux.seccomp.listenerPath: %w", configFile, err)
	}
	defer unix.Close(sock)
	var status specs.ContainerState
	switch p.container.j.Phase {
	case phaseCreating:
		status = specs.StateCreating
	case phaseStarted: // a process of exec
		status = specs.StateRunning
	default:
		status = specs.StateCreated
	}
	state := p.container.hookState(status)
	data, err := oneshot.Marshal(specs.ContainerProcessState{
		Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: p.pid, Metadata: profile.ListenerMetadata, State: state,
	})
	if err != nil {
		return fmt.Errorf("encoding the container process state: %w", err)
	}
	if err := sendFile(sock, string(data), listener); err != nil {
		return fmt.Errorf("%s: linux.seccomp.listenerPath: sending the listener: %w", configFile, err)
	}
	return nil
}
