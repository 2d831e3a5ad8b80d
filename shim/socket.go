package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/runtime/v2/shim"
	"golang.org/x/sys/unix"
)

// A server's socket is a path, named by the group, that only our own user may connect to (CVE-2020-15257). The path is the server's as long
// as it listens. One that ends gives the path up while it still listens, and never touches it again: the next one may have it by then. What is
// left by one that was killed is removed under a lock, so that nobody makes a new one between looking and removing.
//
// While a server starts, containerd forgets it when it is killed: a mark of the socket's name says so, until there is a container that containerd has
// deleted. Each server that starts looks at what is marked, which are the few that start at the same time, and those that were killed.

// marks is the directory of the marks, empty files: not that of the sockets, which may be many.
const marks = defaultRoot + "/.starting"

// markOf is the path of a socket's mark.
func markOf(address string) string { return filepath.Join(marks, filepath.Base(address)) }

// socketPath is the path of an address.
func socketPath(address string) string { return strings.TrimPrefix(address, "unix://") }

// lockSockets keeps other shims from making sockets, and from removing dead ones, in the directory of this address.
func lockSockets(address string) (unlock func(), err error) {
	dir := filepath.Dir(socketPath(address))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the shims' sockets: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("locking the directory of the shims' sockets: %w", err)
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking the directory of the shims' sockets: %w", err)
	}
	return func() { f.Close() }, nil
}

// listen makes the server's socket. It is nil when a shim answers there.
func listen(address string) (*os.File, error) {
	unlock, err := lockSockets(address)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if shim.CanConnect(address) {
		return nil, nil
	}
	removeForgotten(filepath.Dir(socketPath(address)))
	if err := errors.Join(os.MkdirAll(marks, 0o700), os.WriteFile(markOf(address), nil, 0o600)); err != nil {
		return nil, fmt.Errorf("marking the shim's socket: %w", err)
	}
	l, err := shim.NewSocket(address)
	if err != nil && shim.SocketEaddrinuse(err) {
		// Left by a shim that was killed.
		if err := shim.RemoveSocket(address); err != nil {
			return nil, fmt.Errorf("removing the socket of a former shim: %w", err)
		}
		l, err = shim.NewSocket(address)
	}
	if err != nil {
		return nil, fmt.Errorf("making the shim's socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // the server goes on with it
	defer l.Close()
	return l.File()
}

// removeForgotten removes the marked sockets of servers that were killed. Their directory is locked: whatever starts has its socket by now.
func removeForgotten(dir string) {
	marked, _ := os.ReadDir(marks) // as below
	for _, mark := range marked {
		if socket := filepath.Join(dir, mark.Name()); dead(socket) {
			_ = removeSocket(socket) // no reason not to start: the next one tries again
		}
	}
}

// dead reports that nobody will ever listen at a path again.
func dead(path string) bool {
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

// removeSocket removes a socket and its mark, which come in this order: what is marked is found again. Both may be gone.
func removeSocket(address string) error {
	for _, name := range []string{socketPath(address), markOf(address)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing a shim's socket: %w", err)
		}
	}
	return nil
}

// removeDeadSocket removes the socket of a shim that was killed. Where somebody answers, the other containers of the group live on.
func removeDeadSocket(bundle string) error {
	address, err := shim.ReadAddress(filepath.Join(bundle, addressFile))
	if err != nil { // it never came that far
		return nil
	}
	unlock, err := lockSockets(address)
	if err != nil {
		return err
	}
	defer unlock()
	if shim.CanConnect(address) {
		return nil
	}
	return removeSocket(address)
}

// unmarkSocket is for a server that has made a container: when it is killed, containerd has that deleted, and with it the socket.
func (s *service) unmarkSocket() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.address == "" || s.unmarked {
		return
	}
	if err := os.Remove(markOf(s.address)); err != nil {
		s.warn("removing the mark of the shim's socket: " + err.Error())
	}
	s.unmarked = true
}

// giveUpSocket removes the server's path before it ends, once.
func (s *service) giveUpSocket() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.address == "" {
		return
	}
	// containerd's library removes what the bundle's file names, when the server has ended.
	if err := os.Chdir("/"); err != nil {
		s.warn("leaving the bundle: " + err.Error())
	}
	if err := removeSocket(s.address); err != nil {
		s.warn(err.Error())
	}
	s.address = ""
}

// removeSocketAtEnd is for a server that ends by a signal. Where the bundle is still there, containerd's library does it.
func (s *service) removeSocketAtEnd(ctx context.Context) {
	<-ctx.Done()
	if _, err := os.Stat(addressFile); err != nil {
		s.giveUpSocket()
	}
}
