package libzbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The sd_notify(3) proxy: systemd's own NOTIFY_SOCKET does not go into the container. A socket of ours is bound there
// instead, and `zbox start` passes READY=1 on with the container's MAINPID.

const (
	notifyInside = "/run/zbox-notify/notify.sock"
	notifyDir    = "notify"
	notifyName   = "notify.sock"
	notifyPoll   = 100 * time.Millisecond
)

// notifySocket is the container's notify socket; a nil one means that nobody asked.
type notifySocket struct {
	inside string // its path in the container
	dir    string // the host directory that is bound there
	host   string // the caller's own NOTIFY_SOCKET
	conn   *net.UnixConn
}

// newNotifySocket returns the socket to be made for the container id, or nil without NOTIFY_SOCKET.
func newNotifySocket(r *Runtime, id string) *notifySocket {
	hostSocket := os.Getenv("NOTIFY_SOCKET")
	if hostSocket == "" {
		return nil
	}
	return &notifySocket{inside: notifyInside, dir: filepath.Join(r.opts.Root, id, notifyDir), host: hostSocket}
}

// listen makes the directory and the socket. The socket's descriptor is not kept: start opens it anew.
func (n *notifySocket) listen() error {
	if n == nil {
		return nil
	}
	if err := os.Mkdir(n.dir, 0o755); err != nil {
		return fmt.Errorf("making the notify socket: %w", err)
	}
	return n.bind()
}

func (n *notifySocket) bind() error {
	path := filepath.Join(n.dir, notifyName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("making the notify socket: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("making the notify socket: %w", err)
	}
	n.conn = conn
	// Any user of the container may report readiness; who may reach the socket is decided by the mount.
	if err := os.Chmod(path, 0o777); err != nil {
		return fmt.Errorf("opening the notify socket to the container: %w", err)
	}
	return nil
}

// existingNotifySocket is the socket of a created container, to be listened on before it is started.
func existingNotifySocket(c *Container) *notifySocket {
	n := newNotifySocket(c.runtime, c.j.ID)
	if n == nil {
		return nil
	}
	if _, err := os.Stat(n.dir); err != nil {
		return nil
	}
	if err := n.bind(); err != nil {
		c.runtime.opts.Warn(err.Error())
		return nil
	}
	return n
}

// forward waits until the container says READY=1 and tells the caller's service manager, or until the container ends.
func (n *notifySocket) forward(c *Container) error {
	if n == nil {
		return nil
	}
	defer n.conn.Close()
	buf := make([]byte, 4096)
	for c.j.Init.alive() {
		if err := n.conn.SetReadDeadline(time.Now().Add(notifyPoll)); err != nil {
			return fmt.Errorf("reading the notify socket: %w", err)
		}
		count, err := n.conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the notify socket: %w", err)
		}
		for line := range strings.Lines(string(buf[:count])) {
			if strings.TrimSpace(line) == "READY=1" {
				return n.tell(fmt.Sprintf("READY=1\nMAINPID=%d\n", c.j.Init.Pid))
			}
		}
	}
	return nil
}

// tell sends one message to the caller's service manager. An @ is an abstract socket.
func (n *notifySocket) tell(message string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("notifying %s: %w", n.host, err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, []byte(message), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: n.host}); err != nil {
		return fmt.Errorf("notifying %s: %w", n.host, err)
	}
	return nil
}
