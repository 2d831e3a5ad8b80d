package security

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

// withTerminal runs the bundle, whose process has a terminal, and returns what create left and all that the terminal printed.
func withTerminal(t *testing.T, r *integration.Runtime, b *integration.Bundle) (integration.Result, string) {
	t.Helper()
	// unix socket paths are short, names of tests are not
	dir, err := os.MkdirTemp("", "zbt")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "console")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	id := r.ID("tty")
	b.PlaceCgroup(id)
	res := r.Do("create", "--bundle", b.Dir, "--console-socket", path, id)
	if res.Code != 0 {
		return res, ""
	}
	master := receiveMaster(t, listener)
	defer master.Close()
	if res := r.Do("start", id); res.Code != 0 {
		return res, ""
	}
	return res, drain(t, master)
}

func receiveMaster(t *testing.T, listener *net.UnixListener) *os.File {
	t.Helper()
	if err := listener.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn, err := listener.AcceptUnix()
	if err != nil {
		t.Fatalf("accepting the console: %v", err)
	}
	defer conn.Close()
	data, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		t.Fatalf("receiving the console: %v", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("receiving the console: %d messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("receiving the console: %d descriptors, %v", len(fds), err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "console")
}

// drain reads until the last peer is closed, which a pty master reports as EIO.
func drain(t *testing.T, master *os.File) string {
	t.Helper()
	if err := master.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var out []byte
	buf := make([]byte, 4096)
	for {
		n, err := master.Read(buf)
		out = append(out, buf[:n]...)
		if err != nil {
			if os.IsTimeout(err) {
				t.Errorf("the terminal stays open; so far it printed %q", out)
			}
			return string(out)
		}
	}
}
