package shim

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// attach takes the master of a process's terminal. Its input comes from the client, its output goes to stdout.
func (st *streams) attach(master *os.File) error {
	pollable, err := nonblocking(master)
	if err != nil {
		return fmt.Errorf("attaching the terminal: %w", err)
	}
	st.console = pollable
	if st.input != nil {
		st.stdin = pollable
	}
	switch {
	case st.logger != nil:
		st.sinks[0] = newSink(st.logger.takeInput())
	case st.sinks[0] == nil:
		st.sinks[0] = newSink(discard{})
	}
	st.copyOut(st.sinks[0], pollable)
	return nil
}

// discard reads what nobody wants: a terminal that is full would stop its process.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// resize sets the size of the terminal, in characters.
func (st *streams) resize(width, height uint32) error {
	if st == nil || st.console == nil {
		return nil // as the stock shim: containerd's clients resize without asking
	}
	size := &unix.Winsize{Col: uint16(width), Row: uint16(height)}
	conn, err := st.console.SyscallConn()
	if err != nil {
		return fmt.Errorf("resizing the terminal: %w", err)
	}
	if cerr := conn.Control(func(fd uintptr) { err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) }); cerr != nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("resizing the terminal: %w", err)
	}
	return nil
}

// nonblocking moves a file into Go's poller: then reading occupies no thread, and closing ends it.
func nonblocking(f *os.File) (*os.File, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
