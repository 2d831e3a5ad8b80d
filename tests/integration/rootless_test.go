package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

var session = specs.LinuxResources{
	Memory: &specs.LinuxMemory{Limit: pointer(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: pointer(int64(50))},
	CPU: &specs.LinuxCPU{Quota: pointer(int64(30000)), Period: pointer(uint64(100000)), Cpus: "0"},
}

// withEachDriver runs a test of the user's runtime with both makers of cgroups that a user has.
func withEachDriver(t *testing.T, name string, test func(t *testing.T, r *Runtime, systemd bool)) {
	t.Helper()
	for _, driver := range []string{"cgroupfs", "systemd"} {
		t.Run(driver, func(t *testing.T) {
			r := NewAs(t, NeedsUser(t, name))
			if driver == "systemd" {
				r.OnSystemd()
			}
			test(t, r, driver == "systemd")
		})
	}
}

func TestUserRunsWhatSpecRootlessWrites(t *testing.T) {
	NeedsSystemd(t)
	r := NewAs(t, NeedsUser(t, "tester"))
	seen := r.RunProbe(r.SpecBundle(t))
	if seen.UID[0] != 0 {
		t.Errorf("uid %d inside, want 0", seen.UID[0])
	}
}

func TestUserLifecycle(t *testing.T) {
	NeedsSystemd(t)
	withEachDriver(t, "tester", func(t *testing.T, r *Runtime, systemd bool) {
		b := r.SpecBundle(t)
		b.Change(Sleep, func(s *specs.Spec) { s.Linux.Resources = &session })
		c := r.Start(b)
		for file, want := range map[string]string{"memory.max": "67108864", "pids.max": "50", "cpu.max": "30000 100000", "cpuset.cpus": "0"} {
			if got := c.Unified(file); got != want {
				t.Errorf("%s is %q, want %q", file, got, want)
			}
		}
		manager := fmt.Sprintf("/user@%d.service/", r.User.UID)
		if dir := c.CgroupDir(); !strings.Contains(dir, manager) {
			t.Errorf("the cgroup is %s, want one of %s", dir, manager)
		}
		c.update(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer(int64(60))}, Memory: &specs.LinuxMemory{Limit: pointer(int64(96 << 20))}})
		if p, m := c.Unified("pids.max"), c.Unified("memory.max"); p != "60" || m != "100663296" {
			t.Errorf("pids.max %s and memory.max %s after update", p, m)
		}
		unit := filepath.Base(c.CgroupDir())
		if systemd {
			if got := r.User.systemctl(t, "show", "--property", "MemoryMax", "--value", unit); got != "100663296" {
				t.Errorf("the user's systemd shows MemoryMax=%s", got)
			}
		}
		if res := c.Exec(c.ID, "/bin/true"); res.Code != 0 {
			t.Errorf("exec: exit %d: %s", res.Code, res.Stderr)
		}
		r.Must("pause", c.ID)
		if got := c.Unified("cgroup.freeze"); got != "1" {
			t.Errorf("cgroup.freeze is %s when paused", got)
		}
		r.Must("resume", c.ID)
		c.Kill()
		c.Delete()
		if systemd {
			Eventually(t, "the user's systemd has forgotten "+unit, func() bool {
				return r.User.systemctl(t, "show", "--property", "LoadState", "--value", unit) == "not-found"
			})
		}
	})
}

func TestUserLimitHolds(t *testing.T) {
	NeedsSystemd(t)
	withEachDriver(t, "tester", func(t *testing.T, r *Runtime, _ bool) {
		b := r.SpecBundle(t)
		b.Change(Shell("dd if=/dev/zero of=/dev/null bs=32M count=1 2>/dev/null; echo $?"), withMemory(8<<20))
		if got := strings.TrimSpace(r.Run(b).Stdout); got != "137" && got != "1" {
			t.Errorf("using 32 MiB under a limit of 8 MiB ended with %q, want the kernel to have refused", got)
		}
	})
}

func withMemory(limit int64) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
	}
}

// A user whose session has no cpuset controller, as distributions have it, is told what the administrator can do.
func TestUserWithoutDelegationIsToldTheDropIn(t *testing.T) {
	NeedsSystemd(t)
	told := []string{
		"linux.resources.cpu.cpus: the cpuset controller is not delegated to users here", `the lines "[Service]" and "Delegate=cpu cpuset io memory pids"`,
		"/etc/systemd/system/user@.service.d/delegate.conf", "systemctl daemon-reload",
	}
	cpus := func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}} }
	withEachDriver(t, "plain", func(t *testing.T, r *Runtime, _ bool) {
		b := r.SpecBundle(t)
		b.Change(cpus)
		r.RefuseRun(b, told...)
		// What is delegated works all the same.
		b.Change(withMemory(64<<20), Shell("echo ran"))
		if got := r.MustRun(b); got != "ran\n" {
			t.Errorf("output %q", got)
		}
	})
	t.Run("outside of a session", func(t *testing.T) {
		r := NewOutside(t, NeedsUser(t, "plain"))
		b := r.SpecBundle(t)
		b.Change(withMemory(64 << 20))
		r.RefuseRun(b, "linux.resources.memory", "--systemd-cgroup")
		b.Change(func(s *specs.Spec) { s.Linux.Resources = nil }, Shell("echo ran"))
		if got := r.MustRun(b); got != "ran\n" {
			t.Errorf("output %q without limits", got)
		}
	})
}

func TestUserMapsManyRangesOfIDs(t *testing.T) {
	NeedsSystemd(t)
	r := NewAs(t, NeedsUser(t, "tester"))
	b := r.SpecBundle(t)
	b.Change(Sleep, func(s *specs.Spec) {
		maps := []specs.LinuxIDMapping{
			{ContainerID: 0, HostID: uint32(r.User.UID), Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}, {ContainerID: 70000, HostID: 300000, Size: 1000},
		}
		s.Linux.UIDMappings, s.Linux.GIDMappings = maps, maps
	})
	c := r.Start(b)
	for _, file := range []string{"uid_map", "gid_map"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", c.Pid, file))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Fields(string(text)), fmt.Sprintf("0 %d 1 1 100000 65536 70000 300000 1000", r.User.UID); strings.Join(got, " ") != want {
			t.Errorf("%s is %q, want %s", file, got, want)
		}
	}
	if got := c.Must("exec", "--user", "70005:70005", c.ID, "/bin/sh", "-c", "id -u; id -g"); got != "70005\n70005\n" {
		t.Errorf("ids of an exec in the second range: %q", got)
	}
	c.Must("exec", "--user", "70005:70005", c.ID, "/bin/touch", "/tmp/owned")
	if got := ownerOf(t, b.Rootfs("tmp/owned")); got != 300005 {
		t.Errorf("a file of 70005 belongs to %d on the host, want 300005", got)
	}
}

func TestUserCannotMapIDsOfOthers(t *testing.T) {
	NeedsSystemd(t)
	r := NewAs(t, NeedsUser(t, "tester"))
	b := r.SpecBundle(t)
	b.Change(func(s *specs.Spec) {
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(r.User.UID), Size: 1}, {ContainerID: 1, HostID: 900000, Size: 10}}
	})
	r.RefuseRun(b, "linux.uidMappings", "newuidmap", "900000")
}

// A bus of a user that is dead: nobody listens, or somebody listens and never answers.
func TestDeadUserBusIsAnErrorInTime(t *testing.T) {
	NeedsSystemd(t)
	silent := filepath.Join("/run/user", filepath.Base(t.TempDir())+"-silent")
	listener, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Chmod(silent, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{"missing": "/does/not/exist", "silent": silent} {
		t.Run(name, func(t *testing.T) {
			r := NewAs(t, NeedsUser(t, "tester")).OnSystemd()
			cmd := r.RunCommand(r.SpecBundle(t))
			cmd.Env = append(cmd.Env, "DBUS_SESSION_BUS_ADDRESS=unix:path="+address)
			start := time.Now()
			if res := r.DoCommand(cmd); res.Code != 1 || !strings.Contains(res.Stderr, "connecting to systemd") {
				t.Errorf("exit %d, stderr %q", res.Code, res.Stderr)
			}
			// 5 s for the bus, and what a slow and busy machine needs for the rest.
			if took := time.Since(start); took > patience {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// podman has its rootless containers show their cgroups; on v1 a user may make none, so these are the ones that zbox is in.
func TestUserOnCgroupV1IsShownTheCgroupsItIsIn(t *testing.T) {
	V1Only(t)
	home := t.TempDir()
	const id = 61000 // nobody's
	if err := os.Chown(home, id, id); err != nil {
		t.Fatal(err)
	}
	r := NewOutside(t, &User{Name: "nobody-s", UID: id, GID: id, Runtime: home})
	b := r.SpecBundle(t)
	b.Change(Mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "ro"}}),
		Shell("cat /sys/fs/cgroup/pids/cgroup.procs; mkdir /sys/fs/cgroup/pids/x"))
	res := r.Run(b)
	if res.Stdout == "" || !strings.Contains(res.Stderr, "Read-only file system") {
		t.Errorf("exit %d: processes %q, stderr %q", res.Code, res.Stdout, res.Stderr)
	}
}
