package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/fifo"
	"golang.org/x/sys/unix"
)

// firstReadPatience bounds how long the end of a process waits for a client that is there, but has read nothing of its output.
var firstReadPatience = time.Second // tests have more

// A sink is where output is copied to. Closing it twice is harmless.
type sink struct {
	io.WriteCloser
	users atomic.Int32 // stdout and stderr may be one
}

// done closes the sink behind its last user.
func (s *sink) done() {
	if s.users.Add(-1) == 0 {
		s.Close()
	}
}

// openSink opens where output goes to; nil for nowhere.
func openSink(ctx context.Context, target string) (*sink, error) {
	if target == "" {
		return nil, nil
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("URI %q: %w", target, err)
	}
	var w io.WriteCloser
	switch u.Scheme {
	case "", "fifo":
		w, err = openFIFO(ctx, u.Path)
	case "file":
		w, err = openLogFile(u.Path)
	default:
		err = fmt.Errorf("URI %q: the scheme is not fifo, file or binary", target)
	}
	if err != nil {
		return nil, err
	}
	return newSink(w), nil
}

func newSink(w io.WriteCloser) *sink {
	s := &sink{WriteCloser: w}
	s.users.Store(1)
	return s
}

// openLogFile makes a log file where there is none, with the directories above. It is no link: whoever may write to its directory could
// point it elsewhere (CVE-2026-53489).
func openLogFile(path string) (io.WriteCloser, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
}

// openFIFO opens a FIFO, or a file that is there.
func openFIFO(ctx context.Context, path string) (io.WriteCloser, error) {
	is, err := fifo.IsFifo(path)
	if err != nil {
		return nil, err
	}
	if !is {
		return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0)
	}
	w, err := fifo.OpenFifo(ctx, path, unix.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	// With a reader of our own, a client that comes and goes (containerd restarts) is neither an error nor the end.
	r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return &heldFIFO{WriteCloser: w, reader: r}, nil
}

type heldFIFO struct {
	io.WriteCloser
	reader  *os.File     // our own
	written atomic.Int64 // bytes
}

func (f *heldFIFO) Write(p []byte) (int, error) {
	n, err := f.WriteCloser.Write(p)
	f.written.Add(int64(n))
	return n, err
}

// Close closes the FIFO when its client has begun to read. containerd's clients open it in a thread of its own, which on a busy machine may
// not have returned from open(2) yet when a short process has ended; and when they are told of the end, they close what is not open, and with
// it lose all of the output.
func (f *heldFIFO) Close() error {
	err := f.reader.Close() // then a client that is gone shows
	if f.written.Load() > 0 {
		f.awaitFirstRead()
	}
	return errors.Join(err, f.WriteCloser.Close())
}

// awaitFirstRead waits until something was read of what was written, nobody is there to do so, or firstReadPatience is over. That a pipe is
// read wakes nobody: it is looked at again and again.
func (f *heldFIFO) awaitFirstRead() {
	conn, ok := f.WriteCloser.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return // closed
	}
	deadline := time.Now().Add(firstReadPatience)
	for untouched := true; untouched && time.Now().Before(deadline); {
		err := raw.Control(func(fd uintptr) { untouched = unread(int(fd)) == f.written.Load() && hasReader(int(fd)) })
		if err != nil {
			return
		}
	}
}

// unread is how many bytes are in a pipe.
func unread(fd int) int64 {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ) // FIONREAD
	if err != nil {
		return 0
	}
	return int64(n)
}

// hasReader waits a millisecond for a pipe to lose its last reader.
func hasReader(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd)}} // POLLERR is always told
	n, err := unix.Poll(fds, 1)
	return n == 0 || errors.Is(err, unix.EINTR)
}
