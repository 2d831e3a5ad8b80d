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

	"github.com/containerd/fifo"
	"golang.org/x/sys/unix"
)

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
	return heldFIFO{WriteCloser: w, reader: r}, nil
}

type heldFIFO struct {
	io.WriteCloser
	reader *os.File
}

func (f heldFIFO) Close() error { return errors.Join(f.WriteCloser.Close(), f.reader.Close()) }
