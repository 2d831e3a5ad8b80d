package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestLifecycleGoesFromCreatedOverRunningToStopped(t *testing.T) {
	r := New(t)
	b := NewBundle(t, Sleep, func(s *specs.Spec) { s.Annotations = map[string]string{"org.example.key": "value"} })
	c := r.Create(b)

	s := c.State()
	if s.Status != "created" || s.Pid != c.Pid || s.ID != c.ID || s.Bundle != b.Dir {
		t.Errorf("state after create: %+v, want created with pid %d and bundle %s", s, c.Pid, b.Dir)
	}
	if s.Annotations["org.example.key"] != "value" {
		t.Errorf("annotations %v lack org.example.key", s.Annotations)
	}
	if _, err := time.Parse(time.RFC3339Nano, s.Created); err != nil {
		t.Errorf("created: %v", err)
	}
	if s.Rootfs != b.Rootfs() || s.Version == "" {
		t.Errorf("rootfs %q, ociVersion %q", s.Rootfs, s.Version)
	}

	r.Must("start", c.ID)
	if s := c.State(); s.Status != "running" || s.Pid != c.Pid {
		t.Errorf("state after start: %+v, want running with pid %d", s, c.Pid)
	}
	c.Kill()
	if s := c.State(); s.Status != "stopped" || s.Pid != 0 {
		t.Errorf("state after kill: %+v, want stopped without a pid", s)
	}
	c.Delete()
	r.Refuse([]string{"does not exist"}, "state", c.ID)
}

func TestWrongStateIsRefusedAndChangesNothing(t *testing.T) {
	for _, test := range []struct {
		name    string
		reach   func(*testing.T, *Runtime) *Container
		command []string
		says    string
		status  string
	}{
		{"start of a running container", running, []string{"start"}, "", "running"},
		{"delete of a running container", running, []string{"delete"}, "", "running"},
		{"exec in a stopped container", stopped, []string{"exec"}, "", "stopped"},
		{"start of a stopped container", stopped, []string{"start"}, "", "stopped"},
		{"kill of a stopped container", stopped, []string{"kill"}, "container not running", "stopped"},
		{"pause of a stopped container", stopped, []string{"pause"}, "", "stopped"},
		{"resume of a running container", running, []string{"resume"}, "container not paused", "running"},
		{"resume of a created container", created, []string{"resume"}, "container not paused", "created"},
		{"resume of a stopped container", stopped, []string{"resume"}, "", "stopped"},
		{"pause of a paused container", paused, []string{"pause"}, "", "paused"},
		{"start of a paused container", paused, []string{"start"}, "", "paused"},
		{"delete of a paused container", paused, []string{"delete"}, "", "paused"},
		{"exec in a paused container", paused, []string{"exec"}, "paused", "paused"},
		{"update of a stopped container", stopped, []string{"update", "--pids-limit", "7"}, "container not running", "stopped"},
		{"statistics of a stopped container", stopped, []string{"events", "--stats"}, "not running", "stopped"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			c := test.reach(t, r)
			args := append(test.command, c.ID)
			if test.command[0] == "exec" {
				args = append(args, "/bin/true")
			}
			res := r.Do(args...)
			want := 1
			if test.command[0] == "exec" {
				want = 255
			}
			if res.Code != want {
				t.Errorf("exit %d, want %d; stderr %s", res.Code, want, res.Stderr)
			}
			if !strings.Contains(res.Stderr, test.says) {
				t.Errorf("stderr %q does not say %q", res.Stderr, test.says)
			}
			if s := c.State(); s.Status != test.status {
				t.Errorf("status %s, want %s", s.Status, test.status)
			}
		})
	}
}

func created(t *testing.T, r *Runtime) *Container { return r.Create(NewBundle(t, Sleep)) }
func running(t *testing.T, r *Runtime) *Container { return r.Start(NewBundle(t, Sleep)) }

func stopped(t *testing.T, r *Runtime) *Container {
	c := running(t, r)
	c.Kill()
	return c
}

func TestUnknownContainerIsRefused(t *testing.T) {
	r := New(t)
	for _, args := range [][]string{
		{"state", "missing"},
		{"start", "missing"},
		{"kill", "missing", "KILL"},
		{"delete", "missing"},
		{"pause", "missing"},
		{"resume", "missing"},
		{"ps", "missing"},
	} {
		t.Run(args[0], func(t *testing.T) { r.Refuse([]string{"container does not exist"}, args...) })
	}
	if res := r.Do("delete", "--force", "missing"); res.Code != 0 {
		t.Errorf("delete --force of a missing container: exit %d, want 0; stderr %s", res.Code, res.Stderr)
	}
}

func TestIDThatIsNotANameIsRefused(t *testing.T) {
	r := New(t)
	b := NewBundle(t)
	for name, id := range map[string]string{
		"empty": "", "dot": ".", "parent": "..", "slash": "a/b", "path": "../../x", "space": "a b", "newline": "a\nb",
		"control": "a\x01b", "long": strings.Repeat("x", 5000), "non-ascii": "ä",
	} {
		t.Run(name, func(t *testing.T) {
			if res := r.Do("run", "--bundle", b.Dir, id); res.Code == 0 {
				t.Errorf("id %q was accepted", id)
			}
		})
	}
}

func TestSecondContainerWithTheSameIDIsRefused(t *testing.T) {
	r := New(t)
	c := running(t, r)
	other := NewBundle(t, Sleep)
	other.PlaceCgroup(c.ID + "-2")
	r.Refuse([]string{"container with given ID already exists"}, "create", "--bundle", other.Dir, c.ID)
	if s := c.State(); s.Status != "running" || s.Bundle != c.Bundle.Dir {
		t.Errorf("the first container changed: %+v", s)
	}
}

// The leak check at the end of each case is the assertion: nothing may be left.
func TestFailedCreateLeavesNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		mutate func(*specs.Spec)
	}{
		{"missing root", func(s *specs.Spec) { s.Root.Path = "missing" }},
		{"missing mount source", Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: "/missing", Options: []string{"bind"}})},
		{"unknown file system", Mount(specs.Mount{Destination: "/mnt", Type: "nosuchfs", Source: "none"})},
		{"missing namespace path", func(s *specs.Spec) {
			WithoutNamespace(specs.NetworkNamespace)(s)
			WithNamespace(specs.NetworkNamespace, "/missing/netns")(s)
		}},
		{"duplicate namespace", WithNamespace(specs.PIDNamespace, "")},
		{"failing prestart hook", func(s *specs.Spec) { s.Hooks = &specs.Hooks{Prestart: []specs.Hook{{Path: "/bin/false"}}} }},
		{"failing createContainer hook", func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/false"}}} }},
		{"missing program", Args("/missing")},
		{"foreign sysctl", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} }},
		{"relative cwd", func(s *specs.Spec) { s.Process.Cwd = "tmp" }},
		{"no arguments", Args()},
		{"unknown rlimit", func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOSUCH"}} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			b := NewBundle(t, test.mutate)
			id := r.Marker + "-failed"
			b.PlaceCgroup(id)
			res := r.Do("create", "--bundle", b.Dir, id)
			if res.Code != 1 || res.Stderr == "" {
				r.Do("delete", "--force", id)
				t.Fatalf("create: exit %d, stderr %q, want 1 and a message", res.Code, res.Stderr)
			}
			r.Refuse([]string{"does not exist"}, "state", id)
		})
	}
}

func TestExitCodeOfRunIsTheProcess(t *testing.T) {
	for _, test := range []struct {
		name   string
		script string
		code   int
	}{
		{"success", "exit 0", 0},
		{"failure", "exit 7", 7},
		{"highest", "exit 255", 255},
		{"killed by its own signal", "trap - USR1; kill -USR1 $$; exit 3", 3}, // the first process ignores signals without a handler
		{"killed in a child", `sh -c 'kill -9 $$'; exit $?`, 137},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			if res := r.Run(NewBundle(t, Shell(test.script))); res.Code != test.code {
				t.Errorf("exit %d, want %d; stderr %s", res.Code, test.code, res.Stderr)
			}
		})
	}
}

func TestRunOfAKilledProcessExitsWith128AndTheSignal(t *testing.T) {
	r := New(t)
	b := NewBundle(t, Sleep)
	cmd := r.RunCommand(b)
	id := r.ids[len(r.ids)-1]
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitStatus(t, r, id, "running")
	r.Must("kill", id, "KILL")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 137 {
		t.Errorf("exit %d, want 137", code)
	}
}

func waitStatus(t *testing.T, r *Runtime, id, status string) {
	t.Helper()
	Eventually(t, id+" is "+status, func() bool {
		var s State
		res := r.Do("state", id)
		return res.Code == 0 && json.Unmarshal([]byte(res.Stdout), &s) == nil && s.Status == status
	})
}

func TestKillSendsTheSignalInEveryNotation(t *testing.T) {
	const script = `trap 'echo usr1; exit 10' USR1; trap 'echo term; exit 15' TERM; echo ready; while :; do sleep 0.05; done`
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"default is TERM", nil, "term"},
		{"number", []string{"10"}, "usr1"},
		{"short name", []string{"USR1"}, "usr1"},
		{"long name", []string{"SIGUSR1"}, "usr1"},
		{"lower case", []string{"sigusr1"}, "usr1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			c := r.Start(NewBundle(t, Shell(script)))
			Eventually(t, "the traps are set", func() bool { return strings.Contains(c.Output(), "ready") })
			r.Must(append([]string{"kill", c.ID}, test.args...)...)
			c.WaitStopped()
			if !strings.Contains(c.Output(), test.want) {
				t.Errorf("output %q, want %s", c.Output(), test.want)
			}
		})
	}
}

func TestKillOfAnUnknownSignalIsRefused(t *testing.T) {
	r := New(t)
	c := running(t, r)
	for _, signal := range []string{"NOSUCH", "SIG", "99", "-1"} {
		if res := r.Do("kill", c.ID, signal); res.Code == 0 {
			t.Errorf("kill with signal %q was accepted", signal)
		}
	}
	if s := c.State(); s.Status != "running" {
		t.Errorf("status %s, want running", s.Status)
	}
}

func TestKillAllReachesEveryProcessOfAContainerWithoutPIDNamespace(t *testing.T) {
	r := New(t)
	c := r.Start(NewBundle(t, WithoutNamespace(specs.PIDNamespace), Shell("sleep 1001 & sleep 1002 & echo ready; wait")))
	Eventually(t, "the children are there", func() bool { return strings.Contains(c.Output(), "ready") })
	r.Must("kill", "--all", c.ID, "KILL")
	c.WaitStopped()
	Eventually(t, "no child is left", func() bool { return len(leftProcesses()) == 0 })
}

func TestDeleteForceEndsAContainerInEveryState(t *testing.T) {
	for name, reach := range map[string]func(*testing.T, *Runtime) *Container{
		"created": created, "running": running, "stopped": stopped, "paused": paused,
	} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			c := reach(t, r)
			r.Must("delete", "--force", c.ID)
			c.WaitStopped()
			r.Refuse([]string{"does not exist"}, "state", c.ID)
			r.Must("delete", "--force", c.ID)
		})
	}
}

func TestDeleteForceEndsAContainerWhoseProcessesIgnoreTerm(t *testing.T) {
	r := New(t)
	c := r.Start(NewBundle(t, WithoutNamespace(specs.PIDNamespace), Shell(`trap "" TERM; sleep 1003 & echo ready; wait; sleep 1004`)))
	Eventually(t, "it runs", func() bool { return strings.Contains(c.Output(), "ready") })
	if res := r.doReaping(r.Command("delete", "--force", c.ID)); res.Code != 0 {
		t.Errorf("delete --force: exit %d: %s", res.Code, res.Stderr)
	}
	c.WaitStopped()
	Eventually(t, "no child is left", func() bool { return len(leftProcesses()) == 0 })
}

func TestRunKeepLeavesTheStoppedContainer(t *testing.T) {
	r := New(t)
	ZboxOnlyUnless(t, r.Has("run", "--keep"), "run --keep")
	b := NewBundle(t, Args("/bin/true"))
	r.MustRun(b, "--keep")
	id := r.ids[len(r.ids)-1]
	var s State
	if err := json.Unmarshal([]byte(r.Must("state", id)), &s); err != nil || s.Status != "stopped" {
		t.Errorf("state %+v, %v; want stopped", s, err)
	}
	r.Must("delete", id)
}

func TestRunDetachReturnsWhileTheProcessRuns(t *testing.T) {
	r := New(t)
	b := NewBundle(t, Sleep)
	pidFile := filepath.Join(t.TempDir(), "pid")
	r.MustRun(b, "--detach", "--pid-file", pidFile)
	waitStatus(t, r, r.ids[len(r.ids)-1], "running")
	text, err := os.ReadFile(pidFile)
	if err != nil || strings.TrimSpace(string(text)) == "" || strings.ContainsAny(string(text), "\n ") {
		t.Errorf("pid file %q, %v; want a bare number", text, err)
	}
}

func TestConfigChangedAfterCreateHasNoEffect(t *testing.T) {
	r := New(t)
	b := NewBundle(t, Args("/bin/echo", "first"))
	c := r.Create(b)
	b.Change(Args("/bin/echo", "second"))
	r.Must("start", c.ID)
	c.WaitStopped()
	if got := c.Output(); got != "first\n" {
		t.Errorf("output %q, want first", got)
	}
}

func TestStateDirectoryIsPrivate(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	r := New(t)
	running(t, r)
	info, err := os.Stat(r.Root)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("mode of the root %o, want 700", mode)
	}
}

func TestExecveFailureIsReportedByStart(t *testing.T) {
	r := New(t)
	b := NewBundle(t, Args("/bin/broken"))
	b.WriteFile("bin/broken", "not a program", 0o755)
	c := r.Create(b)
	res := r.Do("start", c.ID)
	if IsZbox() && (res.Code != 1 || !strings.Contains(res.Stderr, "exec format error")) {
		t.Errorf("start: exit %d, stderr %q; want 1 and exec format error", res.Code, res.Stderr)
	}
	if s := c.State(); IsZbox() && s.Status != "stopped" {
		t.Errorf("behind start the status is %s, want stopped", s.Status)
	}
	c.WaitStopped()
}

func TestCreateWithAnotherConfigurationOfTheBundle(t *testing.T) {
	ZboxOnly(t, "a flag of crun's")
	r := New(t)
	b := NewBundle(t, Sleep)
	b.Change(func(s *specs.Spec) { s.Hostname = "other" })
	if err := os.Rename(filepath.Join(b.Dir, "config.json"), filepath.Join(b.Dir, "other.json")); err != nil {
		t.Fatal(err)
	}
	id := r.ID("other")
	r.Refuse([]string{"none.json: no such file or directory"}, "create", "--bundle", b.Dir, "--config", "none.json", id)
	r.Must("create", "--bundle", b.Dir, "-f", "other.json", id)
	r.Must("start", id)
	if got := r.Must("exec", id, "hostname"); got != "other\n" {
		t.Errorf("host name %q", got)
	}
	r.Must("delete", "--force", id)
}

func TestSpecWritesTheTemplateToAnyFile(t *testing.T) {
	ZboxOnly(t, "a flag of crun's")
	r := New(t)
	dir := t.TempDir()
	r.Must("spec", "--bundle", dir, "--file", "web.json")
	if text, err := os.ReadFile(filepath.Join(dir, "web.json")); err != nil || !strings.Contains(string(text), `"ociVersion"`) {
		t.Errorf("%v: %s", err, text)
	}
	r.Refuse([]string{"web.json: file exists"}, "spec", "--bundle", dir, "--file", "web.json")
}
