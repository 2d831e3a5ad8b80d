package crash

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

// A hangingHook makes the file and hangs; the test sees the file as sees.
type hangingHook struct {
	name    string
	command string
	sees    func(b *integration.Bundle) string
	place   func(h *specs.Hooks, hook []specs.Hook)
}

func besideConfig(b *integration.Bundle) string { return filepath.Join(b.Dir, "hanging") }

var hangingHooks = []hangingHook{
	{"createRuntime", "create", besideConfig, func(h *specs.Hooks, hook []specs.Hook) { h.CreateRuntime = hook }},
	{"createContainer", "create", besideConfig, func(h *specs.Hooks, hook []specs.Hook) { h.CreateContainer = hook }},
	{"startContainer", "start", func(b *integration.Bundle) string { return b.Rootfs("tmp", "hanging") }, func(h *specs.Hooks, hook []specs.Hook) { h.StartContainer = hook }},
	{"poststart", "start", besideConfig, func(h *specs.Hooks, hook []specs.Hook) { h.Poststart = hook }},
}

// A create or start that hangs in a hook holds the container's lock; delete --force must not wait for it.
func TestDeleteForceDoesNotWaitForAHangingHook(t *testing.T) {
	for _, h := range hangingHooks {
		t.Run(h.name, func(t *testing.T) { testHangingHook(t, h, false) })
		t.Run(h.name+" of a killed zbox", func(t *testing.T) { testHangingHook(t, h, true) })
	}
}

func testHangingHook(t *testing.T, h hangingHook, killed bool) {
	integration.ZboxOnly(t, "runc waits for the hook")
	r := integration.New(t)
	b := integration.NewBundle(t, integration.Sleep)
	path := h.sees(b)
	if h.name == "startContainer" {
		path = "/tmp/hanging" // in the container
	}
	b.Change(func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{}
		h.place(s.Hooks, []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo > " + path + "; sleep 1000 & sh -c 'sleep 1000; :'; :"}}})
	})
	id := r.ID("hangs")
	b.PlaceCgroup(id)
	args := []string{"create", "--bundle", b.Dir, id}
	if h.command == "start" {
		r.Must(args...)
		args = []string{"start", id}
	}
	cmd := r.Command(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	integration.Eventually(t, "the hook hangs", func() bool { _, err := os.Stat(h.sees(b)); return err == nil })
	if status := r.Must("state", id); status == "" {
		t.Error("state is empty")
	}
	if killed {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		lookAt(t, r, id)
	}
	_ = os.Remove(h.sees(b))
	done := make(chan error, 1)
	go func() { done <- waitFor(cmd, killed) }()
	deleteOnceKeeping(t, r, b, id, cmd.Process.Pid)
	integration.Eventually(t, "zbox has ended", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

// A daemon has given up the hook's streams. It is not the container's, and stays, as with other runtimes.
func TestDaemonOfAHookOfAKilledZboxStays(t *testing.T) {
	integration.ZboxOnly(t, "runc leaves the hook, too")
	r := integration.New(t)
	b := integration.NewBundle(t, integration.Sleep, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{
			"sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > daemon.new; mv daemon.new daemon; sleep 1000",
		}}}}
	})
	id := r.ID("daemon")
	b.PlaceCgroup(id)
	cmd := r.Command("create", "--bundle", b.Dir, id)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var daemon int
	integration.Eventually(t, "the daemon runs", func() bool {
		text, _ := os.ReadFile(filepath.Join(b.Dir, "daemon"))
		daemon, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return daemon > 0
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	r.Must("delete", "--force", id)
	if err := unix.Kill(daemon, unix.SIGKILL); err != nil {
		t.Errorf("the daemon: %v", err)
	}
	integration.Eventually(t, "the daemon alone was left", func() bool { return reap() == 0 })
}

func waitFor(cmd *osexec.Cmd, already bool) error {
	if already {
		return nil
	}
	return cmd.Wait()
}

// A foreground run is the parent of its container, but works on it no longer: delete --force ends the container only.
func TestDeleteForceLeavesAForegroundRunAlone(t *testing.T) {
	r := integration.New(t)
	b := integration.NewBundle(t, integration.Shell("echo > /tmp/started; exec sleep 1000"))
	cmd := r.RunCommand(b)
	id := cmd.Args[len(cmd.Args)-1]
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	integration.Eventually(t, "the process runs", func() bool { _, err := os.Stat(b.Rootfs("tmp", "started")); return err == nil })
	r.Must("delete", "--force", id)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 137 {
		t.Errorf("run: %v, want exit status 137", cmd.ProcessState)
	}
}

func TestForegroundRunThatIsKilled(t *testing.T) {
	r := integration.New(t)
	b := integration.NewBundle(t, integration.Shell("echo > /tmp/started; exec sleep 1000"))
	cmd := r.RunCommand(b)
	id := cmd.Args[len(cmd.Args)-1]
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	integration.Eventually(t, "the process runs", func() bool { _, err := os.Stat(b.Rootfs("tmp", "started")); return err == nil })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if status := statusOf(t, r, id); status != "running" {
		t.Errorf("status %s, want running", status)
	}
	deleteOnce(t, r, b, id)
}

// A container that does not get ready keeps nobody else waiting.
func TestStartThatWaitsForReadinessHoldsNoLock(t *testing.T) {
	integration.ZboxOnly(t, "looks at the lock")
	r := integration.New(t)
	sock := listenDatagram(t, filepath.Join(t.TempDir(), "notify"))
	b := integration.NewBundle(t, integration.Shell("echo > /tmp/started; exec sleep 1000"))
	id := r.ID("late")
	b.PlaceCgroup(id)
	notified := func(args ...string) *osexec.Cmd {
		cmd := r.Command(args...)
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+sock)
		return cmd
	}
	if res := r.DoCommand(notified("create", "--bundle", b.Dir, id)); res.Code != 0 {
		t.Fatalf("create: %s", res.Stderr)
	}
	start := notified("start", id)
	if err := start.Start(); err != nil {
		t.Fatal(err)
	}
	integration.Eventually(t, "the process runs", func() bool { _, err := os.Stat(b.Rootfs("tmp", "started")); return err == nil })
	r.Must("pause", id)
	r.Must("resume", id)
	r.Must("kill", id, "KILL")
	if err := start.Wait(); err != nil {
		t.Errorf("start of a container that died before it was ready: %v", err)
	}
}

func listenDatagram(t *testing.T, path string) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	return path
}
