package shim

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// CloseIO may come before anything was copied, and clients come and go.
func TestInputIsWholeAndEndsWithCloseIO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stdin")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	st := &streams{}
	defer st.close()
	if err := st.openInput(path); err != nil {
		t.Fatal(err)
	}
	if err := st.openPipes(stdio{stdin: path}); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(st.process.In.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	process := os.NewFile(uintptr(fd), "process")
	defer process.Close()
	for _, text := range []string{"words ", "and more\n"} {
		client, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.WriteString(text); err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	st.endInput()
	if err := st.started(nil); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(process); string(got) != "words and more\n" || err != nil {
		t.Errorf("the process reads %q, %v", got, err)
	}
}
