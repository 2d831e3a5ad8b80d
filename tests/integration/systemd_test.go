package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestScopeHasTheLimitsAtCreateAndAtUpdate(t *testing.T) {
	NeedsSystemd(t)
	for _, l := range limits(t) {
		t.Run(l.name, func(t *testing.T) {
			r := New(t).OnSystemd()
			w, has := l.here(t)
			if !has {
				ZboxOnly(t, "others ignore some of what cgroup v2 has not")
				r.RefuseRun(NewBundle(t, withResources(l.create), r.InSlice("")), "linux.resources."+l.field)
				return
			}
			if l.ahead != "" {
				ZboxOnly(t, l.ahead)
			}
			c := r.Start(NewBundle(t, Sleep, withResources(l.create), r.InSlice("")))
			check := func(when, want, shown string) {
				t.Helper()
				c.wantLimit(when, w.file, want)
				if l.property == "" {
					return
				}
				if got := unitProperty(t, r.Unit(), l.property); got != shown {
					t.Errorf("systemd shows %s=%q after %s, want %q", l.property, got, when, shown)
				}
			}
			check("create", w.created, l.shown[0])
			c.update(l.update)
			check("update", w.updated, l.shown[1])
		})
	}
}

func TestLimitsSurviveAReloadOfSystemd(t *testing.T) {
	NeedsSystemd(t)
	r := New(t).OnSystemd()
	c := r.Start(NewBundle(t, Sleep, r.InSlice(""), withResources(specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: pointer(int64(64 << 20))}, CPU: &specs.LinuxCPU{Quota: pointer(int64(30000)), Period: pointer(uint64(100000))},
	})))
	systemctl(t, "daemon-reload")
	if m, q := c.Unified("memory.max"), c.Unified("cpu.max"); m != "67108864" || q != "30000 100000" {
		t.Errorf("memory.max %s and cpu.max %s after daemon-reload", m, q)
	}
	if got := c.Must("exec", c.ID, "/bin/sh", "-c", "cat /proc/self/cgroup"); !strings.Contains(got, r.Unit()) {
		t.Errorf("exec after daemon-reload is in %s", got)
	}
}

func TestScopeIsPlacedAndForgotten(t *testing.T) {
	NeedsSystemd(t)
	for slice, want := range map[string]string{
		"":                  "/sys/fs/cgroup/system.slice",
		"machine.slice":     "/sys/fs/cgroup/machine.slice",
		"zbt-a.slice":       "/sys/fs/cgroup/zbt.slice/zbt-a.slice",
		"user.slice":        "/sys/fs/cgroup/user.slice",
		"system-zbt1.slice": "/sys/fs/cgroup/system.slice/system-zbt1.slice",
	} {
		t.Run("slice "+slice, func(t *testing.T) {
			r := New(t).OnSystemd()
			c := r.Start(NewBundle(t, Sleep, r.InSlice(slice)))
			if got := c.CgroupDir(); got != want+"/"+r.Unit() {
				t.Errorf("the cgroup is %s, want %s/%s", got, want, r.Unit())
			}
			if got := unitProperty(t, r.Unit(), "ActiveState"); got != "active" {
				t.Errorf("the unit is %s, want active", got)
			}
			c.Kill()
			c.Delete()
			noUnit(t, r.Unit())
		})
	}
}

// exec goes where init is, also when the container has handed its controllers down to cgroups of its own.
func TestExecIntoADelegatedScope(t *testing.T) {
	NeedsSystemd(t)
	r := New(t).OnSystemd()
	c := r.Start(NewBundle(t, r.InSlice(""), WithUserNamespace, WithNamespace(specs.CgroupNamespace, ""),
		Mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev"}}),
		Shell(`cd /sys/fs/cgroup && mkdir own && echo 0 >own/cgroup.procs && echo +memory >cgroup.subtree_control && echo done; sleep 1000`)))
	Eventually(t, "it has handed the controller down", func() bool { return c.Output() == "done\n" })
	if got, want := c.Must("exec", c.ID, "/bin/cat", "/proc/self/cgroup"), "0::/own\n"; !strings.HasSuffix(got, want) {
		t.Errorf("exec is in %q, want %q", got, want)
	}
}

func TestScopeNameWithoutAPath(t *testing.T) {
	NeedsSystemd(t)
	r := New(t).OnSystemd()
	c := r.Start(NewBundle(t, Sleep))
	if got, want := filepath.Base(c.CgroupDir()), "zbox-"+c.ID+".scope"; IsZbox() && got != want {
		t.Errorf("the unit is %s, want %s", got, want)
	}
}

func TestNoUnitIsLeftBy(t *testing.T) {
	NeedsSystemd(t)
	t.Run("run", func(t *testing.T) {
		r := New(t).OnSystemd()
		r.MustRun(NewBundle(t, Args("/bin/true"), r.InSlice("")))
		noUnit(t, r.Unit())
	})
	t.Run("a process that fails", func(t *testing.T) {
		r := New(t).OnSystemd()
		r.Run(NewBundle(t, Args("/bin/false"), r.InSlice("")))
		noUnit(t, r.Unit())
	})
	t.Run("delete --force of a running container", func(t *testing.T) {
		r := New(t).OnSystemd()
		c := r.Start(NewBundle(t, Sleep, r.InSlice("")))
		if res := r.doReaping(r.Command("delete", "--force", c.ID)); res.Code != 0 {
			t.Fatal(res.Stderr)
		}
		noUnit(t, r.Unit())
	})
	t.Run("an OOM kill", func(t *testing.T) {
		r := New(t).OnSystemd()
		r.Run(NewBundle(t, r.InSlice(""), withResources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer(int64(8 << 20)), Swap: pointer(int64(8 << 20))}}),
			Args("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=32M", "count=1")))
		noUnit(t, r.Unit())
	})
	t.Run("a create that fails behind the unit", func(t *testing.T) {
		r := New(t).OnSystemd()
		r.RefuseRun(NewBundle(t, r.InSlice(""), Args("/does/not/exist")), "/does/not/exist")
		noUnit(t, r.Unit())
	})
	t.Run("a limit that cannot be applied", func(t *testing.T) {
		r := New(t).OnSystemd()
		r.RefuseRun(NewBundle(t, r.InSlice(""), withResources(specs.LinuxResources{Unified: map[string]string{"memory.none": "1"}})), "memory.none")
		noUnit(t, r.Unit())
	})
}

// onEachBus runs a test with the machine's systemd and with that of a user. bundle makes one whose unit is r.Unit().
func onEachBus(t *testing.T, test func(t *testing.T, r *Runtime, bundle func(...func(*specs.Spec)) *Bundle)) {
	t.Helper()
	t.Run("system", func(t *testing.T) {
		r := New(t).OnSystemd()
		test(t, r, func(mutations ...func(*specs.Spec)) *Bundle {
			return NewBundle(t, append(mutations, Sleep, r.InSlice(""))...)
		})
	})
	t.Run("user", func(t *testing.T) {
		r := NewAs(t, NeedsUser(t, "tester")).OnSystemd()
		test(t, r, func(mutations ...func(*specs.Spec)) *Bundle {
			b := r.SpecBundle(t)
			b.Change(append(mutations, Sleep, r.InSlice(""))...)
			return b
		})
	})
}

func TestSystemdPropertiesOfAnnotations(t *testing.T) {
	NeedsSystemd(t)
	onEachBus(t, func(t *testing.T, r *Runtime, bundle func(...func(*specs.Spec)) *Bundle) {
		r.Start(bundle(func(s *specs.Spec) {
			s.Annotations = map[string]string{
				"org.systemd.property.TimeoutStopUSec": "uint64 12000000",
				"org.systemd.property.RuntimeMaxSec":   "1234",
				"org.systemd.property.CollectMode":     "'inactive-or-failed'",
				"org.systemd.property.IOWeight":        "uint64 55",
			}
		}))
		for property, want := range map[string]string{"TimeoutStopUSec": "12s", "RuntimeMaxUSec": "20min 34s", "CollectMode": "inactive-or-failed", "IOWeight": "55"} {
			if got := r.unitProperty(property); got != want {
				t.Errorf("%s is %q, want %q", property, got, want)
			}
		}
	})
}

func TestUnknownSystemdPropertyIsRefused(t *testing.T) {
	NeedsSystemd(t)
	r := New(t).OnSystemd()
	b := NewBundle(t, r.InSlice(""), func(s *specs.Spec) {
		s.Annotations = map[string]string{"org.systemd.property.NoSuchProperty": "'x'"}
	})
	r.RefuseRun(b, "NoSuchProperty")
	noUnit(t, r.Unit())
}

// The bus is watched by busctl, so every call that anybody makes is seen. zbox as root would go past the bus if none were named; the
// request is the same (cgroup's tests look at that).
func TestOneRequestStartsTheUnit(t *testing.T) {
	NeedsSystemd(t)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/dbus/system_bus_socket")
	onEachBus(t, func(t *testing.T, r *Runtime, bundle func(...func(*specs.Spec)) *Bundle) {
		seen := r.monitorBus()
		c := r.Start(bundle(withResources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer(int64(64 << 20))}})))
		c.Kill()
		c.Delete()
		Eventually(t, "busctl has seen the request", func() bool { return strings.Contains(seen(), "Member=StartTransientUnit") })
		// The test's own session is a unit, too, but one that is started before busctl listens.
		if n := strings.Count(seen(), "Member=StartTransientUnit"); n != 1 {
			t.Errorf("%d units were started, want 1:\n%s", n, seen())
		}
		if strings.Contains(seen(), "Member=SetUnitProperties") {
			t.Errorf("the limits came in a second request:\n%s", seen())
		}
		Eventually(t, "systemd has forgotten the unit", func() bool { return r.unitProperty("LoadState") == "not-found" })
	})
}

// monitorBus lists the requests of systemd that pass the bus from now on.
func (r *Runtime) monitorBus() (seen func() string) {
	r.t.Helper()
	log := filepath.Join(r.t.TempDir(), "bus")
	file, err := os.Create(log)
	if err != nil {
		r.t.Fatal(err)
	}
	args := []string{"monitor", "--match", "type=method_call,interface=org.freedesktop.systemd1.Manager"}
	monitor := exec.Command("busctl", args...)
	if r.User != nil {
		monitor = r.User.command("busctl", append([]string{"--user"}, args...)...)
	}
	monitor.Stdout, monitor.Stderr = file, file
	if err := monitor.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = monitor.Process.Kill(); _ = monitor.Wait(); _ = file.Close() })
	seen = func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			r.t.Fatal(err)
		}
		return string(text)
	}
	Eventually(r.t, "busctl listens", func() bool { return strings.Contains(seen(), "Monitoring") })
	return seen
}

// A bus that is dead: nobody listens, or somebody listens and never answers.
func TestDeadBusIsAnErrorInTime(t *testing.T) {
	NeedsSystemd(t)
	silent := filepath.Join(t.TempDir(), "silent")
	listener, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, address := range map[string]string{"missing": "/does/not/exist", "silent": silent} {
		t.Run(name, func(t *testing.T) {
			r := New(t).OnSystemd()
			b := NewBundle(t, Sleep, r.InSlice(""))
			dead := func(args ...string) (Result, time.Duration) {
				cmd := r.Command(args...)
				cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS=unix:path="+address)
				start := time.Now()
				res := r.doReaping(cmd)
				return res, time.Since(start)
			}
			refuse := func(args ...string) {
				t.Helper()
				res, took := dead(args...)
				// 5 s for the bus, and what a slow and busy machine needs for the rest.
				if took > patience {
					t.Errorf("%s took %v", args[0], took)
				}
				if res.Code == 0 || !strings.Contains(res.Stderr, "systemd") || strings.Count(res.Stderr, "\n") != 1 {
					t.Errorf("%s: exit %d, stderr %q, want one line about systemd", args[0], res.Code, res.Stderr)
				}
			}
			refuse("create", "--bundle", b.Dir, r.ID("dead"))
			c := r.Start(b)
			refuse("update", "--pids-limit", "30", c.ID)
			if res := c.Exec(c.ID, "/bin/true"); res.Code != 0 {
				t.Errorf("exec needs no bus: exit %d: %s", res.Code, res.Stderr)
			}
			// systemd itself lives, and forgets a unit whose last process is dead; whether zbox sees it gone, or that it cannot ask,
			// is a race, but it may not hang, nor lose the container.
			if res, took := dead("delete", "--force", c.ID); took > patience {
				t.Errorf("delete took %v and ended with %d: %s", took, res.Code, res.Stderr)
			}
			if got := r.Do("delete", "--force", c.ID); got.Code != 0 {
				t.Errorf("delete with a living bus: %s", got.Stderr)
			}
			noUnit(t, r.Unit())
		})
	}
}

func TestKilledCreateLeavesNoUnit(t *testing.T) {
	NeedsSystemd(t)
	for i := range 6 {
		t.Run(fmt.Sprintf("after %d ms", 40*(i+1)), func(t *testing.T) {
			r := New(t).OnSystemd()
			id := r.ID("killed")
			b := NewBundle(t, Sleep, r.InSlice(""))
			cmd := r.Command("create", "--bundle", b.Dir, id)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(time.Duration(40*(i+1))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
			_ = cmd.Wait()
			if res := r.doReaping(r.Command("delete", "--force", id)); res.Code != 0 {
				t.Fatalf("delete --force: %s", res.Stderr)
			}
			noUnit(t, r.Unit())
		})
	}
}
