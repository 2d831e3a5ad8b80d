//go:build engines

package containerd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// A shim that the test has started as containerd does.
type startedShim struct {
	path string // of its socket
	pid  int
	api  taskapi.TaskService
}

// startShim starts the shim of a container that has no group, in a bundle of its own.
func startShim(t *testing.T, id string) startedShim {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), id)
	err := errors.Join(os.Mkdir(bundle, 0o700), os.WriteFile(bundle+"/config.json", []byte("{}"), 0o600), unix.Mkfifo(bundle+"/log", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(bundle+"/log", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	cmd := exec.Command(filepath.Join(filepath.Dir(engines.Zbox()), "containerd-shim-zbox-v2"), "-namespace", Namespace, "-id", id, "-address", Socket, "start")
	cmd.Dir, cmd.Env = bundle, append(os.Environ(), "TTRPC_ADDRESS="+Socket+".ttrpc")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("starting the shim: %v", err)
	}
	s := startedShim{path: strings.TrimPrefix(string(out), "unix://")}
	conn, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	t.Cleanup(func() { _ = client.Close() })
	s.pid, s.api = peer(t, conn), taskapi.NewTaskClient(client)
	return s
}

// peer is the process that listens at the other end.
func peer(t *testing.T, conn net.Conn) int {
	t.Helper()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return int(cred.Pid)
}

// shutdown tells the shim to end, which it may have done before it answers.
func (s startedShim) shutdown(t *testing.T) {
	t.Helper()
	if _, err := s.api.Shutdown(context.Background(), &taskapi.ShutdownRequest{}); err != nil && !errors.Is(err, ttrpc.ErrClosed) {
		t.Errorf("shutdown: %v", err)
	}
}

func (s startedShim) ended(t *testing.T) {
	t.Helper()
	engines.Eventually(t, "the shim has ended", func() bool {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.pid))
		return err != nil || exe == ""
	})
}

// containerd that has been told that a shim ends may start the next one of this name, while the first still does.
func TestAShimThatEndsLeavesTheNextOneItsSocket(t *testing.T) {
	for range 10 {
		first := startShim(t, "handed-over")
		first.shutdown(t)
		if err := unix.Kill(first.pid, unix.SIGSTOP); err != nil && !errors.Is(err, unix.ESRCH) { // as a busy machine may
			t.Fatal(err)
		}
		second := startShim(t, "handed-over")
		if second.pid == first.pid {
			t.Error("the new container is given to the shim that ends")
		}
		if err := unix.Kill(first.pid, unix.SIGCONT); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
		first.ended(t)
		if _, err := os.Stat(second.path); err != nil && second.pid != first.pid {
			t.Errorf("the socket of the second one: %v", err)
		}
		if second.pid != first.pid {
			second.shutdown(t)
			second.ended(t)
		}
		if _, err := os.Stat(second.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket stays: %v", err)
		}
		if t.Failed() {
			return
		}
	}
}

// A shim that is killed before containerd has learned its address is deleted by nobody.
func TestTheNextShimRemovesTheSocketOfAForgottenOne(t *testing.T) {
	forgotten, living := startShim(t, "forgotten"), startShim(t, "living")
	engines.Kill(t, forgotten.pid)
	forgotten.ended(t)
	foreign := filepath.Join(filepath.Dir(forgotten.path), "foreign")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: foreign, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()

	next := startShim(t, "next")
	if names := socketFiles(); slices.ContainsFunc(names, func(name string) bool { return filepath.Base(name) == filepath.Base(forgotten.path) }) {
		t.Errorf("of the killed shim's socket, %s, something stays: %q", forgotten.path, names)
	}
	if _, err := living.api.Connect(t.Context(), &taskapi.ConnectRequest{ID: "living"}); err != nil && !strings.Contains(err.Error(), "not found") {
		t.Errorf("the shim that lives answers: %v", err)
	}
	if conn, err := net.Dial("unix", living.path); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	if err := os.Remove(foreign); err != nil {
		t.Errorf("a socket that is no shim's of zbox: %v", err)
	}
	for _, s := range []startedShim{living, next} {
		s.shutdown(t)
		s.ended(t)
	}
	if names := socketFiles(); len(names) > 0 {
		t.Errorf("of shims that were told to end, %q stays", names)
	}
}
