package shim

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// A reaper takes the exit statuses of the shim's children. Each process that the shim knows is waited for by its pidfd. The others are
// orphans of containers without a pid namespace of their own, which come to the shim as the nearest subreaper: they are reaped whenever
// libzbox does not work, which has short-lived children of its own and waits for them itself.
type reaper struct {
	mu    sync.Mutex
	known map[int]bool // children that wait is called for
	busy  int          // calls of libzbox that are going on
}

func newReaper() *reaper { return &reaper{known: map[int]bool{}} }

// serve reaps orphans for ever.
func (r *reaper) serve() {
	ended := make(chan os.Signal, 1) // one is as good as many: each makes reapOrphans look at all
	signal.Notify(ended, unix.SIGCHLD)
	for range ended {
		r.reapOrphans()
	}
}

// begin announces a call of libzbox, and returns what ends it.
func (r *reaper) begin() (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy++
	return func() {
		r.mu.Lock()
		r.busy--
		r.mu.Unlock()
		r.reapOrphans()
	}
}

// adopt makes a child known. It must come before the end of the call that made it.
func (r *reaper) adopt(pid int) (*child, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("opening a pidfd of process %d: %w", pid, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[pid] = true
	return &child{reaper: r, pid: pid, pidfd: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// reapOrphans reaps children that nobody waits for.
func (r *reaper) reapOrphans() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.busy == 0 {
		pid := firstEnded()
		// A known one is in the way of those behind it, but soon gone: then this is called again.
		if pid == 0 || r.known[pid] {
			return
		}
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// firstEnded is the first child that has ended, which stays one; 0 when there is none.
func firstEnded() int {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return 0
	}
	return siginfoPid(&info)
}

// A child is a process that the shim waits for.
type child struct {
	reaper *reaper
	pid    int
	pidfd  *os.File
}

// wait waits for the end of the process and returns its exit status: the exit code, or 128+n when signal n ended it. It occupies no thread
// meanwhile. An exit status that was taken away (by libzbox, after a failed hook) is that of SIGKILL.
func (c *child) wait() uint32 {
	defer c.forget()
	conn, err := c.pidfd.SyscallConn()
	if err == nil {
		err = conn.Read(func(fd uintptr) bool { return readable(int(fd)) })
	}
	options := unix.WNOHANG
	if err != nil {
		options = 0 // the poller cannot wait for it
	}
	var status unix.WaitStatus
	for {
		pid, err := unix.Wait4(c.pid, &status, options, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || pid != c.pid:
			return killed
		case status.Signaled():
			return 128 + uint32(status.Signal())
		}
		return uint32(status.ExitStatus())
	}
}

// signal sends a signal to the process, also when its pid means another one by now.
func (c *child) signal(sig unix.Signal) error {
	conn, err := c.pidfd.SyscallConn()
	if err != nil {
		return unix.ESRCH // reaped
	}
	if cerr := conn.Control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); cerr != nil {
		return unix.ESRCH
	}
	return err
}

// forget ends the child's being known, and reaps who was behind it.
func (c *child) forget() {
	c.reaper.mu.Lock()
	delete(c.reaper.known, c.pid)
	c.reaper.mu.Unlock()
	c.pidfd.Close()
	c.reaper.reapOrphans()
}

// readable asks again when a signal comes in between: poll(2) is interrupted also when it is not to wait.
func readable(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll(fds, 0)
	}
	return err != nil || n > 0
}
