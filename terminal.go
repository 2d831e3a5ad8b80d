package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxLeftover bounds what is read from a terminal once its process has ended, in bytes: another process may write to it for ever.
const maxLeftover = 1 << 20

// carrier carries bytes between the caller's stdio and the master end of a container's terminal.
type carrier struct {
	master  *os.File
	in, out *os.File
	// saved is the caller's terminal as it was before raw mode, nil when stdin is none.
	saved   *unix.Termios
	restore sync.Once
	copied  chan struct{} // closed when no more output comes
}

// carry takes over master: it puts the caller's terminal into raw mode and starts copying. end must be called.
func carry(master, in, out *os.File) (*carrier, error) {
	m, err := pollable(master)
	if err != nil {
		return nil, fmt.Errorf("taking over the terminal: %w", err)
	}
	t := &carrier{master: m, in: in, out: out, copied: make(chan struct{})}
	t.resize()
	if t.saved, err = makeRaw(int(in.Fd())); err != nil {
		m.Close()
		return nil, fmt.Errorf("setting the terminal to raw mode: %w", err)
	}
	go t.copyOutput()
	go t.copyInput()
	return t, nil
}

// pollable moves a descriptor to Go's poller, so that a read of it can be ended.
func pollable(f *os.File) (*os.File, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "terminal"), nil
}

func (t *carrier) copyOutput() {
	defer t.restoreOnPanic()
	defer close(t.copied)
	// The master says EIO when the last process has closed the terminal (pty(7)).
	if _, err := io.Copy(t.out, onlyReader{t.master}); err != nil && !errors.Is(err, unix.EIO) && !errors.Is(err, os.ErrDeadlineExceeded) {
		// Nobody reads the output any more: closing the master hangs up, as for any terminal that goes away.
		t.master.Close()
	}
}

// onlyReader keeps io.Copy from splice(2), which terminals do not support.
type onlyReader struct{ io.Reader }

// copyInput copies what is typed. At the end of a file or pipe it types the end-of-file character, at the start of a line: also in
// raw mode, where shells with an editor of their own take it for the end too (script(1) does the same).
func (t *carrier) copyInput() {
	defer t.restoreOnPanic()
	buf := make([]byte, 32<<10)
	last := byte('\n')
	for {
		n, err := t.in.Read(buf)
		if n > 0 {
			last = buf[n-1]
			if _, werr := t.master.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			break
		}
	}
	end := []byte{4}
	_ = t.control(func(fd int) {
		if settings, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
			end[0] = settings.Cc[unix.VEOF]
		}
	})
	if last != '\n' {
		end = append(end, end...)
	}
	_, _ = t.master.Write(end)
}

// resize gives the container's terminal the size of the caller's.
func (t *carrier) resize() {
	size := callersSize()
	if size == nil {
		return
	}
	_ = t.control(func(fd int) {
		_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)})
	})
}

// control calls do with the descriptor of the master.
func (t *carrier) control(do func(fd int)) error {
	conn, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { do(int(fd)) })
}

// end prints what the process has left in the terminal, and gives the caller's terminal back. To be called once the process has ended.
func (t *carrier) end() {
	defer t.giveBack()
	_ = t.master.SetReadDeadline(time.Unix(1, 0))
	<-t.copied
	buf := make([]byte, 32<<10)
	for total := 0; total < maxLeftover; {
		n, err := 0, error(unix.EBADF)
		_ = t.control(func(fd int) { n, err = unix.Read(fd, buf) })
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		total += n
		if _, err := t.out.Write(buf[:n]); err != nil {
			break
		}
	}
	t.master.Close()
}

// giveBack restores the caller's terminal.
func (t *carrier) giveBack() {
	t.restore.Do(func() {
		if t.saved != nil {
			_ = unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, t.saved)
		}
	})
}

// restoreOnPanic keeps a bug from leaving the user with a terminal that shows nothing.
func (t *carrier) restoreOnPanic() {
	if r := recover(); r != nil {
		t.giveBack()
		panic(r)
	}
}

// makeRaw passes every key on unchanged (cfmakeraw(3)). It returns the former settings, nil when fd is no terminal.
func makeRaw(fd int) (*unix.Termios, error) {
	saved, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, nil
	}
	raw := *saved
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	return saved, unix.IoctlSetTermios(fd, unix.TCSETS, &raw)
}

// callersSize is the size of the terminal that zbox was started on, nil without one.
func callersSize() *specs.Box {
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 0 && size.Col > 0 {
			return &specs.Box{Height: uint(size.Row), Width: uint(size.Col)}
		}
	}
	return nil
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
