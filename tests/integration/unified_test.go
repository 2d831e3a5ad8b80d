package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What cgroup v2 has not, and what the kernel does not take, is refused, with the field's name.
func TestLimitsThatCannotBeAppliedOnVersion2AreRefused(t *testing.T) {
	NeedsAllOfVersion2(t)
	for field, resources := range map[string]specs.LinuxResources{
		"linux.resources.blockIO.leafWeight":     {BlockIO: &specs.LinuxBlockIO{LeafWeight: pointer(uint16(100))}},
		"linux.resources.rdma":                   {Rdma: map[string]specs.LinuxRdma{"mlx5_1": {HcaHandles: pointer(uint32(3))}}},
		`linux.resources.unified["memory.none"]`: {Unified: map[string]string{"memory.none": "1"}},
		`linux.resources.unified["other.max"]`:   {Unified: map[string]string{"other.max": "1"}},
		"linux.resources.cpu.cpus":               {CPU: &specs.LinuxCPU{Cpus: "0-4000"}},
		"linux.resources.cpu.quota":              {CPU: &specs.LinuxCPU{Quota: pointer(int64(1))}},
		"linux.resources.hugepageLimits":         {HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}},
	} {
		t.Run(field, func(t *testing.T) {
			r := New(t)
			r.RefuseRun(NewBundle(t, withResources(resources)), field)
		})
	}
}

func TestMemoryLimitBelowUseIsRefusedWhenAsked(t *testing.T) {
	NeedsAllOfVersion2(t)
	r := New(t)
	c := r.Start(NewBundle(t, Shell("dd if=/dev/zero of=/dev/shm/fill bs=1M count=8 2>/dev/null; echo filled; sleep 1000"), withResources(
		specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer(int64(64 << 20))}})))
	Eventually(t, "it has filled its memory", func() bool { return c.Output() != "" })
	cmd := c.Command("update", "--resources", "-", c.ID)
	cmd.Stdin = strings.NewReader(`{"memory":{"limit":1048576,"checkBeforeUpdate":true}}`)
	res := c.DoCommand(cmd)
	if res.Code != 1 || !strings.Contains(res.Stderr, "linux.resources.memory") {
		t.Errorf("exit %d, stderr %q, want a refusal that names linux.resources.memory", res.Code, res.Stderr)
	}
	if got := c.Unified("memory.max"); got != "67108864" {
		t.Errorf("memory.max is %s, want it as it was", got)
	}
}

func TestPauseFreezesTheCgroup(t *testing.T) {
	V2Only(t)
	r := New(t)
	c := running(t, r)
	r.Must("pause", c.ID)
	if got := c.Unified("cgroup.freeze"); got != "1" {
		t.Errorf("cgroup.freeze is %s after pause, want 1", got)
	}
	if got := c.Unified("cgroup.events"); !strings.Contains(got, "frozen 1") {
		t.Errorf("cgroup.events after pause: %q", got)
	}
	r.Must("resume", c.ID)
	if got := c.Unified("cgroup.freeze"); got != "0" {
		t.Errorf("cgroup.freeze is %s after resume, want 0", got)
	}
}

// Without a pid namespace, killing init does not kill the others: cgroup.kill must.
func TestDeleteKillsProcessesInSubCgroups(t *testing.T) {
	V2Only(t)
	r := New(t)
	c := r.Start(NewBundle(t, WithoutNamespace(specs.PIDNamespace), Shell("sleep 1001 & echo $!; sleep 1000")))
	Eventually(t, "it has forked", func() bool { return c.Output() != "" })
	child := strings.TrimSpace(c.Output())
	sub := filepath.Join(c.CgroupDir(), "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(sub, "cgroup.procs"), child)
	if res := r.doReaping(r.Command("delete", "--force", c.ID)); res.Code != 0 {
		t.Fatalf("delete: %s", res.Stderr)
	}
	if _, err := os.Stat(sub); !os.IsNotExist(err) {
		t.Errorf("the sub-cgroup is still there: %v", err)
	}
}

// Each pressure and counter of events --stats is one that the kernel has for the container.
func TestEventsStatsOfVersion2(t *testing.T) {
	NeedsAllOfVersion2(t)
	r := New(t)
	c := r.Start(NewBundle(t, Shell("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo done; sleep 1000"), withResources(specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: pointer(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: pointer(int64(9))},
	})))
	Eventually(t, "it has used the processor", func() bool { return c.Output() != "" })
	type pressure struct {
		Some *struct{ Total uint64 } `json:"some"`
	}
	var event struct {
		Data struct {
			CPU struct {
				Usage struct{ Total, Kernel, User uint64 }
				PSI   *pressure
			}
			Memory struct {
				Usage struct{ Limit, Usage uint64 }
				Raw   map[string]uint64
				PSI   *pressure
			}
			Pids  struct{ Current, Limit uint64 }
			Blkio struct{ PSI *pressure }
		}
	}
	text := r.Must("events", "--stats", c.ID)
	if err := json.Unmarshal([]byte(text), &event); err != nil {
		t.Fatal(err)
	}
	d := event.Data
	if d.CPU.Usage.Total == 0 || d.Memory.Usage.Limit != 64<<20 || d.Memory.Usage.Usage == 0 || d.Memory.Raw["anon"] == 0 || d.Pids.Current != 1 || d.Pids.Limit != 9 {
		t.Errorf("statistics: %s", text)
	}
	if _, err := os.Stat(filepath.Join(c.CgroupDir(), "cpu.pressure")); err != nil {
		t.Fatal("this kernel has no pressure stall information: ", err)
	}
	if d.CPU.PSI == nil || d.Memory.PSI == nil || d.Blkio.PSI == nil {
		t.Errorf("no pressure in the statistics: %s", text)
	}
}

func TestEventsTellOfAnOOMKill(t *testing.T) {
	NeedsAllOfVersion2(t)
	r := New(t)
	c := r.Create(NewBundle(t, withResources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer(int64(8 << 20)), Swap: pointer(int64(8 << 20))}}),
		Shell("dd if=/dev/zero of=/dev/null bs=32M count=1 2>/dev/null; sleep 1000")))
	out := filepath.Join(t.TempDir(), "events")
	file, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := r.Command("events", "--interval", "1h", c.ID)
	cmd.Stdout = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	r.Must("start", c.ID)
	Eventually(t, "events tells of the kill", func() bool { return strings.Contains(c.read(out), `"type":"oom"`) })
}

// A container with a cgroup namespace and a writable cgroup mount manages its own cgroup; the one with a read-only mount does not.
func TestWritableCgroupMountIsDelegated(t *testing.T) {
	NeedsAllOfVersion2(t)
	bundle := func(option string) *Bundle {
		return NewBundle(t, WithUserNamespace, WithNamespace(specs.CgroupNamespace, ""),
			Mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", option}}),
			Shell(`cd /sys/fs/cgroup && mkdir own && echo 0 >own/cgroup.procs && echo "+memory +pids" >cgroup.subtree_control &&
mkdir child && echo 5 >child/pids.max && cat child/pids.max; echo; sleep 1000`))
	}
	t.Run("rw", func(t *testing.T) {
		r := New(t)
		c := r.Start(bundle("rw"))
		dir := strings.TrimSuffix(c.CgroupDir(), "/own") // where its init may have gone already
		Eventually(t, "it has written", func() bool { return strings.Contains(c.Output(), "\n") })
		if got := strings.TrimSpace(c.Output()); got != "5" {
			t.Errorf("limit of a child cgroup: %q, want 5; %s", got, c.Errors())
		}
		for file, want := range map[string]uint32{"cgroup.procs": 100000, "cgroup.subtree_control": 100000, "cgroup.threads": 100000, "memory.max": 0, "pids.max": 0} {
			if got := ownerOf(t, filepath.Join(dir, file)); got != want {
				t.Errorf("%s belongs to %d, want %d", file, got, want)
			}
		}
		// exec must find its way although the container's cgroup itself may hold no processes any more.
		if res := c.Exec(c.ID, "/bin/true"); res.Code != 0 {
			t.Errorf("exec: exit %d: %s", res.Code, res.Stderr)
		}
	})
	t.Run("ro", func(t *testing.T) {
		r := New(t)
		c := r.Start(bundle("ro"))
		Eventually(t, "it has written", func() bool { return strings.Contains(c.Output(), "\n") })
		if owner := ownerOf(t, filepath.Join(c.CgroupDir(), "cgroup.procs")); owner != 0 {
			t.Errorf("cgroup.procs belongs to %d, want 0", owner)
		}
	})
}

// systemd mounts cgroup v2 with nsdelegate: then no process crosses the border of a cgroup namespace that it is in.
func TestExecEntersACgroupNamespace(t *testing.T) {
	V2Only(t)
	for name, users := range map[string]func(*specs.Spec){"as root": func(*specs.Spec) {}, "in a user namespace": WithUserNamespace} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			c := r.Start(NewBundle(t, Sleep, WithNamespace(specs.CgroupNamespace, ""), users))
			if got := c.Must("exec", c.ID, "/bin/cat", "/proc/self/cgroup"); !strings.HasSuffix(got, "0::/\n") {
				t.Errorf("exec sees the cgroup %q, want the root of its namespace", got)
			}
		})
	}
}

func TestJoinedCgroupNamespace(t *testing.T) {
	V2Only(t)
	r := New(t)
	first := r.Start(NewBundle(t, Sleep, WithNamespace(specs.CgroupNamespace, "")))
	second := NewBundle(t, Shell("cat /proc/self/cgroup"), WithNamespace(specs.CgroupNamespace, fmt.Sprintf("/proc/%d/ns/cgroup", first.Pid)))
	if got := r.MustRun(second); !strings.Contains(got, "0::/../") {
		t.Errorf("the cgroup is %q, want one beside the root of the first container's namespace", got)
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatalf("stat %s: %v", path, err)
	}
	return st.Uid
}

// The device is tun, which anybody may open that the cgroup lets.
func TestDeviceRulesOfReadingWritingAndUpdate(t *testing.T) {
	ZboxOnly(t, "runc 1.1 allows tun to every container")
	tun := func(access string) []specs.LinuxDeviceCgroup {
		return []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}, {Allow: true, Type: "c", Major: pointer(int64(10)), Minor: pointer(int64(200)), Access: access}}
	}
	script := `try() { (eval "$2") 2>/dev/null && echo "$1 yes" || echo "$1 no"; }
try read ": </dev/tun"; try write ": >/dev/tun"; try default ": >/dev/null"; try mem ": </dev/mem"`
	for access, want := range map[string]string{
		"":    "read no\nwrite no\ndefault yes\nmem no\n",
		"r":   "read yes\nwrite no\ndefault yes\nmem no\n",
		"w":   "read no\nwrite yes\ndefault yes\nmem no\n",
		"rwm": "read yes\nwrite yes\ndefault yes\nmem no\n",
	} {
		t.Run("access "+access, func(t *testing.T) {
			r := New(t)
			rules := tun(access)
			if access == "" {
				rules = nil // what is not allowed is denied
			}
			c := r.Start(NewBundle(t, Sleep, func(s *specs.Spec) {
				s.Linux.Resources.Devices = rules
				s.Linux.Devices = []specs.LinuxDevice{
					{Path: "/dev/tun", Type: "c", Major: 10, Minor: 200, FileMode: pointer(os.FileMode(0o666))},
					{Path: "/dev/mem", Type: "c", Major: 1, Minor: 1, FileMode: pointer(os.FileMode(0o666))},
				}
			}))
			if got := c.Must("exec", c.ID, "/bin/sh", "-c", script); got != want {
				t.Errorf("before update:\n%swant\n%s", got, want)
			}
			c.update(specs.LinuxResources{Devices: tun("r")})
			if got := c.Must("exec", c.ID, "/bin/sh", "-c", script); got != "read yes\nwrite no\ndefault yes\nmem no\n" {
				t.Errorf("after update to r:\n%s", got)
			}
		})
	}
}
