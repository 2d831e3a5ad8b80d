package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is the master side of a pseudoterminal, and all that was read from it.
type Terminal struct {
	Master *os.File
	fd     int
	t      *testing.T
	mu     sync.Mutex
	text   strings.Builder
	done   chan struct{}
}

// watch reads the master until its other side is closed.
func watch(t *testing.T, master *os.File) *Terminal {
	// Non-blocking, so that closing it ends a read.
	fd := duplicate(t, master)
	master = os.NewFile(uintptr(fd), "terminal")
	term := &Terminal{Master: master, fd: fd, t: t, done: make(chan struct{})}
	go func() {
		defer close(term.done)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			term.mu.Lock()
			term.text.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				return // EIO: nobody has the other side open any more
			}
		}
	}()
	t.Cleanup(func() {
		master.Close()
		<-term.done
	})
	return term
}

// duplicate takes over a file's descriptor: os.File decides at its making whether reads go through the poller.
func duplicate(t *testing.T, f *os.File) int {
	t.Helper()
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	return fd
}

// Text is what has been read so far.
func (c *Terminal) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// Expect waits until the text has been read.
func (c *Terminal) Expect(text string) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(c.Text(), text) {
		if time.Now().After(deadline) {
			c.t.Fatalf("after %v the terminal does not show %q but %q", patience, text, c.Text())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Send writes to the terminal as its user would.
func (c *Terminal) Send(text string) {
	c.t.Helper()
	if _, err := c.Master.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

// Resize changes the window size.
func (c *Terminal) Resize(columns, rows uint16) {
	c.t.Helper()
	if err := unix.IoctlSetWinsize(c.fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		c.t.Fatal(err)
	}
}

// NewTerminal makes a pseudoterminal and returns its two sides.
func NewTerminal(t *testing.T) (*Terminal, *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return watch(t, os.NewFile(uintptr(fd), "ptmx")), os.NewFile(uintptr(peer), "pts")
}

// ConsoleSocket listens where a runtime is to send a terminal, as an engine does. The returned function waits for it.
func ConsoleSocket(t *testing.T) (string, func() *Terminal) {
	t.Helper()
	path, receive := DescriptorSocket(t)
	return path, func() *Terminal {
		t.Helper()
		return watch(t, receive())
	}
}

// DescriptorSocket listens for one connection that sends one descriptor.
func DescriptorSocket(t *testing.T) (string, func() *os.File) {
	t.Helper()
	path := filepath.Join(shortDir(t), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *os.File, 1)
	go func() {
		defer close(got)
		defer l.Close()
		conn, err := l.AcceptUnix()
		if err != nil {
			return
		}
		defer conn.Close()
		if f := receiveFile(conn); f != nil {
			got <- f
		}
	}()
	t.Cleanup(func() { l.Close() })
	return path, func() *os.File {
		t.Helper()
		f, ok := <-got
		if !ok {
			t.Fatal("no descriptor was sent")
		}
		return f
	}
}

func receiveFile(conn *net.UnixConn) *os.File {
	buf, oob := make([]byte, 4096), make([]byte, 4096)
	_, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return nil
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil
	}
	syscall.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "received")
}

// shortDir is a directory whose name leaves room for a socket in the 107 bytes of sun_path.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zbt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
