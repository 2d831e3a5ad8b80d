package shim

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fifoWithReader is a sink on a FIFO that a client has opened.
func fifoWithReader(t *testing.T) (to *sink, client *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if to, err = openSink(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	return to, client
}

// running is the streams of a process that writes its output, and what ends the process.
func running(t *testing.T, to *sink, output string) (st *streams, end func()) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	st = &streams{sinks: [2]*sink{to}, sources: [2]*os.File{r}}
	if err := st.started(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, output); err != nil {
		t.Fatal(err)
	}
	return st, func() { w.Close() }
}

// patiently has settle wait so long that a busy machine is nothing beside it.
func patiently(t *testing.T) {
	t.Helper()
	old := firstReadPatience
	t.Cleanup(func() { firstReadPatience = old })
	firstReadPatience = time.Minute
}

// settled is how long settle takes.
func settled(st *streams) time.Duration {
	begin := time.Now()
	st.settle()
	return time.Since(begin)
}

func TestExitWaitsForTheClientsFirstRead(t *testing.T) {
	patiently(t)
	to, client := fifoWithReader(t)
	st, end := running(t, to, "output")
	end()
	told := make(chan struct{})
	go func() {
		st.settle()
		close(told)
	}()
	select {
	case <-told:
		t.Error("the exit is told to a client that has not begun to read")
	case <-time.After(100 * time.Millisecond):
	}
	if text, err := io.ReadAll(client); err != nil || string(text) != "output" {
		t.Errorf("the client reads %q, %v", text, err)
	}
	<-told
}

func TestExitDoesNotWait(t *testing.T) {
	patiently(t)
	for name, prepare := range map[string]func(t *testing.T) *streams{
		"without output": func(t *testing.T) *streams {
			to, _ := fifoWithReader(t)
			st, end := running(t, to, "")
			end()
			return st
		},
		"for a client that is gone": func(t *testing.T) *streams {
			to, client := fifoWithReader(t)
			client.Close()
			st, end := running(t, to, "output")
			end()
			return st
		},
		"for a client that has read some of it": func(t *testing.T) *streams {
			to, client := fifoWithReader(t)
			st, end := running(t, to, "output")
			if n, err := client.Read(make([]byte, 3)); n != 3 || err != nil {
				t.Fatal(n, err)
			}
			end()
			return st
		},
		"for another process that holds the output open": func(t *testing.T) *streams {
			to, _ := fifoWithReader(t)
			st, _ := running(t, to, "output")
			return st
		},
	} {
		t.Run(name, func(t *testing.T) {
			if took := settled(prepare(t)); took >= firstReadPatience {
				t.Errorf("it took %v", took)
			}
		})
	}
}
