package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// hookLog makes hooks that append lines to one file, and reads it.
type hookLog struct {
	t    *testing.T
	path string
}

func newHookLog(t *testing.T) *hookLog {
	t.Helper()
	return &hookLog{t: t, path: filepath.Join(bindSource(t), "log")}
}

// hook appends its name; more is shell code that runs before.
func (l *hookLog) hook(name, more string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", more + "\necho " + name + " >> " + l.path}}
}

func (l *hookLog) lines() []string {
	l.t.Helper()
	text, err := os.ReadFile(l.path)
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// visible bind-mounts the log's directory at the same path in the container, for startContainer hooks.
func (l *hookLog) visible() func(*specs.Spec) {
	dir := filepath.Dir(l.path)
	return Mount(specs.Mount{Destination: dir, Type: "bind", Source: dir, Options: []string{"bind"}})
}

func TestHooksRunInTheirOrder(t *testing.T) {
	r := New(t)
	l := newHookLog(t)
	b := NewBundle(t, l.visible(), Shell("echo process >> "+l.path), func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{
			Prestart:        []specs.Hook{l.hook("prestart1", ""), l.hook("prestart2", "")},
			CreateRuntime:   []specs.Hook{l.hook("createRuntime1", ""), l.hook("createRuntime2", "")},
			CreateContainer: []specs.Hook{l.hook("createContainer1", ""), l.hook("createContainer2", "")},
			StartContainer:  []specs.Hook{l.hook("startContainer1", ""), l.hook("startContainer2", "")},
			Poststop:        []specs.Hook{l.hook("poststop1", ""), l.hook("poststop2", "")},
		}
	})
	started := []string{"startContainer1", "startContainer2"}
	if IsZbox() { // runc 1.1 runs poststart hooks in create
		b.Change(func(s *specs.Spec) {
			s.Hooks.Poststart = []specs.Hook{l.hook("poststart1", ""), l.hook("poststart2", "")}
		})
		started = append(started, "poststart1", "poststart2")
	}
	c := r.Create(b)
	created := []string{"prestart1", "prestart2", "createRuntime1", "createRuntime2", "createContainer1", "createContainer2"}
	if got := l.lines(); !slices.Equal(got, created) {
		t.Errorf("hooks of create: %v, want %v", got, created)
	}
	r.Must("start", c.ID)
	c.WaitStopped()
	got := slices.DeleteFunc(l.lines()[len(created):], func(line string) bool { return line == "process" })
	if !slices.Equal(got, started) {
		t.Errorf("hooks of start: %v, want %v", got, started)
	}
	before := len(l.lines())
	c.Delete()
	if got, want := l.lines()[before:], []string{"poststop1", "poststop2"}; !slices.Equal(got, want) {
		t.Errorf("hooks of delete: %v, want %v", got, want)
	}
}

func TestHooksGetTheStateOnStdin(t *testing.T) {
	for _, test := range []struct {
		name   string
		set    func(*specs.Hooks, []specs.Hook)
		status []string // zbox says the first, other runtimes one of them
	}{
		{"prestart", func(h *specs.Hooks, l []specs.Hook) { h.Prestart = l }, []string{"created", "creating"}},
		{"createRuntime", func(h *specs.Hooks, l []specs.Hook) { h.CreateRuntime = l }, []string{"creating", "created"}},
		{"createContainer", func(h *specs.Hooks, l []specs.Hook) { h.CreateContainer = l }, []string{"creating", "created"}},
		{"startContainer", func(h *specs.Hooks, l []specs.Hook) { h.StartContainer = l }, []string{"created"}},
		{"poststart", func(h *specs.Hooks, l []specs.Hook) { h.Poststart = l }, []string{"running"}},
		{"poststop", func(h *specs.Hooks, l []specs.Hook) { h.Poststop = l }, []string{"stopped"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "poststart" {
				ZboxOnly(t, "runc 1.1 runs poststart hooks in create")
			}
			r := New(t)
			l := newHookLog(t)
			b := NewBundle(t, l.visible(), Sleep, func(s *specs.Spec) {
				s.Annotations = map[string]string{"key": "value"}
				s.Hooks = &specs.Hooks{}
				test.set(s.Hooks, []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat >> " + l.path}}})
			})
			c := r.Start(b)
			c.Kill()
			c.Delete()
			text, err := os.ReadFile(l.path)
			if err != nil {
				t.Fatal(err)
			}
			var s State
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if s.ID != c.ID || s.Bundle != b.Dir || s.Version == "" || s.Annotations["key"] != "value" {
				t.Errorf("state %s", text)
			}
			if IsZbox() {
				test.status = test.status[:1]
			}
			if !slices.Contains(test.status, s.Status) {
				t.Errorf("status %s, want one of %v", s.Status, test.status)
			}
			// runtime-spec, state: the number as seen by the runtime, or in the container's namespaces as seen there.
			want := c.Pid
			if strings.HasSuffix(test.name, "Container") {
				want = 1
			}
			if test.name != "poststop" && s.Pid != want {
				t.Errorf("pid %d, want %d", s.Pid, want)
			}
		})
	}
}

func TestHooksRunInTheirNamespaces(t *testing.T) {
	r := New(t)
	l := newHookLog(t)
	see := func(name string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo " + name + " $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/uts) >> " + l.path}}}
	}
	b := NewBundle(t, l.visible(), Sleep, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{
			Prestart: see("prestart"), CreateRuntime: see("createRuntime"), CreateContainer: see("createContainer"),
			StartContainer: see("startContainer"), Poststart: see("poststart"), Poststop: see("poststop"),
		}
	})
	c := r.Start(b)
	inside := c.Probe().Namespaces
	c.Kill()
	c.Delete()
	host := map[string]string{"mnt": ownNamespace(t, specs.MountNamespace), "uts": ownNamespace(t, specs.UTSNamespace)}
	text, _ := os.ReadFile(l.path)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		want := host
		if strings.HasSuffix(f[0], "Container") {
			want = inside
		}
		if f[1] != want["mnt"] || f[2] != want["uts"] {
			t.Errorf("%s ran in %s and %s, want %s and %s", f[0], f[1], f[2], want["mnt"], want["uts"])
		}
	}
	if n := strings.Count(string(text), "\n"); n != 6 {
		t.Errorf("%d hooks ran, want 6:\n%s", n, text)
	}
}

func TestCreateRuntimeHookFindsTheNetworkNamespaceOfThePid(t *testing.T) {
	r := New(t)
	l := newHookLog(t)
	b := NewBundle(t, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{
			"sh", "-c", `pid=$(sed 's/.*"pid": *\([0-9]*\).*/\1/'); readlink /proc/$pid/ns/net >> ` + l.path,
		}}}}
	})
	seen := r.RunProbe(b)
	if got := l.lines(); len(got) != 1 || got[0] != seen.Namespaces["net"] {
		t.Errorf("the hook found %v, the container is in %s", got, seen.Namespaces["net"])
	}
}

func TestHookGetsExactlyItsEnvironmentAndArguments(t *testing.T) {
	for _, kind := range hookKinds {
		t.Run(kind.name, func(t *testing.T) {
			r := New(t)
			l := newHookLog(t)
			args := []string{"dd", "if=/proc/self/cmdline", "of=" + l.path + ".args"}
			env := []string{"A=1", "B=two words", "EMPTY="}
			b := NewBundle(t, l.visible(), Args("/bin/true"), func(s *specs.Spec) {
				s.Hooks = &specs.Hooks{}
				kind.set(s.Hooks, []specs.Hook{
					{Path: "/bin/dd", Args: args},
					{Path: "/bin/dd", Args: []string{"dd", "if=/proc/self/environ", "of=" + l.path + ".env"}, Env: env},
				})
			})
			r.MustRun(b)
			for suffix, want := range map[string][]string{".args": args, ".env": env} {
				got := r.read(l.path + suffix)
				if suffix == ".args" { // busybox's dd cuts its own arguments at the equals sign
					got = strings.ReplaceAll(strings.ReplaceAll(got, "if\x00", "if="), "of\x00", "of=")
				}
				if got != strings.Join(want, "\x00")+"\x00" {
					t.Errorf("%s of the hook is %q, want %q", suffix[1:], got, want)
				}
			}
		})
	}
}

var hookKinds = []struct {
	name string
	set  func(*specs.Hooks, []specs.Hook)
}{
	{"prestart", func(h *specs.Hooks, l []specs.Hook) { h.Prestart = l }},
	{"createRuntime", func(h *specs.Hooks, l []specs.Hook) { h.CreateRuntime = l }},
	{"createContainer", func(h *specs.Hooks, l []specs.Hook) { h.CreateContainer = l }},
	{"startContainer", func(h *specs.Hooks, l []specs.Hook) { h.StartContainer = l }},
	{"poststart", func(h *specs.Hooks, l []specs.Hook) { h.Poststart = l }},
	{"poststop", func(h *specs.Hooks, l []specs.Hook) { h.Poststop = l }},
}

func TestFailingHookDestroysTheContainerAndRunsPoststop(t *testing.T) {
	bad := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo reason of the hook >&2; exit 3"}}}
	for _, test := range []struct {
		name string
		set  func(*specs.Hooks)
	}{
		{"prestart", func(h *specs.Hooks) { h.Prestart = bad }},
		{"createRuntime", func(h *specs.Hooks) { h.CreateRuntime = bad }},
		{"createContainer", func(h *specs.Hooks) { h.CreateContainer = bad }},
		{"startContainer", func(h *specs.Hooks) { h.StartContainer = bad }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			l := newHookLog(t)
			b := NewBundle(t, l.visible(), Shell("echo ran >> "+l.path), func(s *specs.Spec) {
				s.Hooks = &specs.Hooks{Poststop: []specs.Hook{l.hook("poststop", "")}}
				test.set(s.Hooks)
			})
			res := r.Run(b)
			if res.Code != 1 || !strings.Contains(res.Stderr, "hook") || !strings.Contains(res.Stderr, "status 3") {
				t.Errorf("exit %d, stderr %q; want 1, the hook and status 3", res.Code, res.Stderr)
			}
			if IsZbox() {
				if got := l.lines(); !slices.Equal(got, []string{"poststop"}) {
					t.Errorf("what ran after: %v, want poststop and not the process", got)
				}
				if !strings.Contains(res.Stderr, "reason of the hook") || !strings.Contains(res.Stderr, test.name) {
					t.Errorf("stderr %q says neither which hook it was nor what the hook said", res.Stderr)
				}
			} else if slices.Contains(l.lines(), "ran") {
				t.Error("the process ran")
			}
		})
	}
}

// runtime.md, lifecycle, step 9: the process runs already, and is stopped.
func TestFailingPoststartHookStopsTheContainerAndRunsPoststop(t *testing.T) {
	ZboxOnly(t, "runc 1.1 runs poststart hooks in create, runc 1.5 no poststop hooks behind them")
	r := New(t)
	l := newHookLog(t)
	b := NewBundle(t, Sleep, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststart: []specs.Hook{{Path: "/bin/false"}, l.hook("second", "")}, Poststop: []specs.Hook{l.hook("poststop", "")}}
	})
	c := r.Create(b)
	stop := keepReaping()
	defer stop()
	r.Refuse([]string{"config.json: hooks.poststart[0]: /bin/false: exit status 1"}, "start", c.ID)
	if got := l.lines(); !slices.Equal(got, []string{"poststop"}) {
		t.Errorf("what ran after: %v, want poststop", got)
	}
	r.Refuse([]string{"does not exist"}, "state", c.ID)
}

func TestFailingPoststopHookIsAWarning(t *testing.T) {
	r := New(t)
	l := newHookLog(t)
	b := NewBundle(t, Args("/bin/true"), func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/false"}, l.hook("second", "")}}
	})
	c := r.Start(b)
	c.WaitStopped()
	res := r.Do("delete", c.ID)
	if res.Code != 0 {
		t.Errorf("delete: exit %d, want 0", res.Code)
	}
	if IsZbox() && !strings.Contains(res.Stderr, "poststop") {
		t.Errorf("stderr %q does not warn of the poststop hook", res.Stderr)
	}
	if got := l.lines(); IsZbox() && !slices.Equal(got, []string{"second"}) { // runc 1.1 stops at the first
		t.Errorf("the second hook: %v, want it to have run", got)
	}
}

func TestHookIsKilledAfterItsTimeout(t *testing.T) {
	for _, kind := range hookKinds {
		t.Run(kind.name, func(t *testing.T) {
			r := New(t)
			one := 1
			b := NewBundle(t, Args("/bin/true"), func(s *specs.Spec) {
				s.Hooks = &specs.Hooks{}
				kind.set(s.Hooks, []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "1005"}, Timeout: &one}})
			})
			begun := time.Now()
			res := r.Run(b)
			if d := time.Since(begun); d > patience {
				t.Errorf("the hook ended after %v, want about 1s", d)
			}
			if (res.Code == 0) != (kind.name == "poststop") {
				t.Errorf("exit %d; only a poststop hook may fail", res.Code)
			}
			if IsZbox() && (!strings.Contains(res.Stderr, "hooks."+kind.name+"[0]") || !strings.Contains(res.Stderr, "timeout of 1 s")) {
				t.Errorf("stderr %q names neither the hook nor its timeout", res.Stderr)
			}
		})
	}
}

func TestHookTimeoutThatIsNotPositiveIsRefused(t *testing.T) {
	ZboxOnly(t, "runc takes any number")
	r := New(t)
	zero := 0
	r.RefuseRun(NewBundle(t, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/true", Timeout: &zero}}}
	}), "hooks.poststop[0]", "timeout")
}

func TestHookWithARelativePathIsRefused(t *testing.T) {
	r := New(t)
	r.RefuseRun(NewBundle(t, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "true"}}}
	}))
}
