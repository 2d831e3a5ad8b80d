package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/containerd/fifo"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

// copyTimeout bounds how long delete waits for output that is still under way: what holds its end open may be a process that left the
// container.
const copyTimeout = 10 * time.Second

// lastOutput bounds how long the exit of a process waits for its last output to be copied: another process may hold its end open.
const lastOutput = 200 * time.Millisecond

// copyBuffers are for the copies of all processes; most of the time there is nothing to copy.
var copyBuffers = sync.Pool{New: func() any {
	b := make([]byte, 32<<10)
	return &b
}}

// stdio says where a process's input comes from and where its output goes: paths of FIFOs or files, or URIs (fifo, file, binary); "" is
// nowhere.
type stdio struct {
	stdin, stdout, stderr string
	terminal              bool
	uid, gid              int // own the pipes (options IoUid and IoGid)
}

// streams are the descriptors of one process's input and output, and the copies between them and containerd's clients.
type streams struct {
	// process are the process's ends, to be closed once it has them. They are unused with a terminal.
	process libzbox.Stdio
	ends    []*os.File

	sinks   [2]*sink       // where stdout and stderr are copied to, nil where nothing is
	sources [2]*os.File    // our ends of the process's stdout and stderr
	stdin   io.WriteCloser // our end of the process's input, nil when there is none
	input   *os.File       // where it comes from
	keeper  *os.File       // keeps input, a FIFO, from ending with its client
	console *os.File       // the terminal's master
	logger  *logger

	copies     sync.WaitGroup // ended when the sinks are closed
	sourcesEnd sync.WaitGroup // ended when the sources have
}

// openStreams opens both sides of all streams. With a FIFO it waits for the client to open it, as long as ctx lets it.
func (s *service) openStreams(ctx context.Context, id string, o stdio) (_ *streams, err error) {
	st := &streams{}
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	if isLogger(o.stdout) {
		if st.logger, err = s.startLogger(id, o); err != nil {
			return nil, fmt.Errorf("stdout: %w", err)
		}
	} else if err = st.openSinks(ctx, o); err != nil {
		return nil, err
	}
	if o.stdin != "" {
		if err = st.openInput(o.stdin); err != nil {
			return nil, fmt.Errorf("stdin: %w", err)
		}
	}
	if o.terminal {
		return st, nil
	}
	return st, st.openPipes(o)
}

// openSinks opens where output is copied to.
func (st *streams) openSinks(ctx context.Context, o stdio) (err error) {
	if st.sinks[0], err = openSink(ctx, o.stdout); err != nil {
		return fmt.Errorf("stdout: %w", err)
	}
	switch {
	case o.terminal: // one output
	case o.stderr == o.stdout && o.stdout != "":
		st.sinks[1] = st.sinks[0]
		st.sinks[1].users.Add(1)
	default:
		if st.sinks[1], err = openSink(ctx, o.stderr); err != nil {
			return fmt.Errorf("stderr: %w", err)
		}
	}
	return nil
}

// openInput opens where the process's input comes from. A FIFO ends when nobody has it open for writing: the client may open it at any time,
// and others may attach behind it, so that the shim keeps it open too, until CloseIO.
func (st *streams) openInput(path string) (err error) {
	is, err := fifo.IsFifo(path)
	if err != nil {
		return err
	}
	if is {
		// For reading as well, since there is no reader yet (fifo(7)).
		if st.keeper, err = os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0); err != nil {
			return err
		}
	}
	st.input, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	return err
}

// openPipes makes the pipes between the process and the copies.
func (st *streams) openPipes(o stdio) (err error) {
	if st.input == nil {
		if st.process.In, err = st.openNull(os.O_RDONLY); err != nil {
			return err
		}
	} else {
		var w *os.File
		if st.process.In, w, err = pipe(o, weWrite); err != nil {
			return err
		}
		st.stdin = w
		st.ends = append(st.ends, st.process.In)
	}
	for i, out := range []**os.File{&st.process.Out, &st.process.Err} {
		switch {
		case st.logger != nil:
			*out = st.logger.inputs[i]
		case st.sinks[i] == nil:
			*out, err = st.openNull(os.O_WRONLY)
		default:
			st.sources[i], *out, err = pipe(o, weRead)
			st.ends = append(st.ends, *out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (st *streams) openNull(flag int) (*os.File, error) {
	f, err := os.OpenFile(os.DevNull, flag, 0)
	if err == nil {
		st.ends = append(st.ends, f)
	}
	return f, err
}

// ours says which end of a pipe is not for another program.
type ours int

const (
	neither ours = -1
	weRead  ours = 0
	weWrite ours = 1
)

// pipe makes a pipe. Our end waits in Go's poller; the other programs' ends block, as they expect.
func pipe(o stdio, end ours) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if end != neither {
		err = unix.SetNonblock(fds[end], true)
	}
	if err == nil && (o.uid != 0 || o.gid != 0) {
		err = errors.Join(unix.Fchown(fds[0], o.uid, o.gid), unix.Fchown(fds[1], o.uid, o.gid))
	}
	r, w = os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe")
	if err != nil {
		r.Close()
		w.Close()
		return nil, nil, fmt.Errorf("making a pipe: %w", err)
	}
	return r, w, nil
}

// started begins the copies. The process has its ends; console is its terminal's master, if there is one.
func (st *streams) started(console *os.File) error {
	if console != nil {
		if err := st.attach(console); err != nil {
			return err
		}
	}
	st.closeEnds()
	for i, source := range st.sources {
		if source != nil {
			st.copyOut(st.sinks[i], source)
		}
	}
	if st.input != nil && st.stdin != nil {
		go func() {
			copyStream(st.stdin, st.input)
			if st.console == nil {
				st.stdin.Close()
			}
		}()
	}
	return nil
}

func (st *streams) closeEnds() {
	for _, f := range st.ends {
		f.Close()
	}
	st.ends = nil
	if st.logger != nil {
		st.logger.closeInputs()
	}
}

// copyOut copies one output. The client reads its end as soon as the process has no more to say.
func (st *streams) copyOut(to *sink, source io.Reader) {
	st.sourcesEnd.Add(1)
	st.copies.Go(func() {
		copyStream(to, source)
		st.sourcesEnd.Done()
		to.done()
	})
}

// copyStream copies to the end of the source. A sink that is broken gets nothing more, but the source is read on: a full pipe would stop
// the process.
func copyStream(sink io.Writer, source io.Reader) {
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	// Only Read and Write: ReadFrom and WriteTo would allocate buffers of their own.
	_, err := io.CopyBuffer(struct{ io.Writer }{sink}, struct{ io.Reader }{source}, *buffer)
	if err != nil {
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{source}, *buffer)
	}
}

// endInput lets the process read the end of its input, behind what the clients have written and when they have closed it. With a terminal
// there is no such thing: only what is typed can mean it.
func (st *streams) endInput() {
	if st.console == nil && st.keeper != nil {
		st.keeper.Close() // a second time, it does nothing
	}
}

// settle waits until the clients are reading what a process that has ended has written: told of the exit, they may give up what they have not
// begun to read.
func (st *streams) settle() {
	if within(lastOutput, &st.sourcesEnd) {
		within(2*firstReadPatience, &st.copies)
	}
}

// drain waits for the output of a process that has ended, and then closes everything.
func (st *streams) drain() {
	within(copyTimeout, &st.copies)
	st.close()
}

// within waits for a group, and reports whether it ended in time.
func within(limit time.Duration, group *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// close closes everything, which also ends copies that go on.
func (st *streams) close() {
	st.closeEnds()
	if st.stdin != nil && st.console == nil {
		st.stdin.Close()
	}
	for _, f := range append(st.sources[:], st.keeper, st.input) {
		if f != nil {
			f.Close()
		}
	}
	if st.console != nil {
		st.console.Close()
	}
	for _, to := range st.sinks {
		if to != nil {
			to.Close()
		}
	}
}
