package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func pointer[T any](v T) *T { return &v }

// readCgroup reads a file of the container's version 1 cgroup.
func (c *Container) readCgroup(controller, file string) string {
	c.t.Helper()
	return strings.TrimSpace(c.read(filepath.Join("/sys/fs/cgroup", controller, c.ID, file)))
}

func withResources(resources specs.LinuxResources) func(*specs.Spec) {
	return func(s *specs.Spec) {
		resources.Devices = s.Linux.Resources.Devices
		s.Linux.Resources = &resources
	}
}

func TestLimitsOfVersion1AreWritten(t *testing.T) {
	V1Only(t)
	for _, test := range []struct {
		name      string
		resources specs.LinuxResources
		want      map[string]string // controller/file
	}{
		{
			"memory",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer(int64(64 << 20)), Reservation: pointer(int64(32 << 20)), Swappiness: pointer(uint64(30))}},
			map[string]string{"memory/memory.limit_in_bytes": "67108864", "memory/memory.soft_limit_in_bytes": "33554432", "memory/memory.swappiness": "30"},
		},
		{
			"cpu",
			specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: pointer(uint64(333)), Quota: pointer(int64(30000)), Period: pointer(uint64(200000))}},
			map[string]string{"cpu/cpu.shares": "333", "cpu/cpu.cfs_quota_us": "30000", "cpu/cpu.cfs_period_us": "200000"},
		},
		{
			"cpuset",
			specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0", Mems: "0"}},
			map[string]string{"cpuset/cpuset.cpus": "0", "cpuset/cpuset.mems": "0"},
		},
		{
			"pids",
			specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer(int64(77))}},
			map[string]string{"pids/pids.max": "77"},
		},
		{
			"pids without a limit",
			specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer(int64(-1))}},
			map[string]string{"pids/pids.max": "max"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			c := r.Start(NewBundle(t, Sleep, withResources(test.resources)))
			for file, want := range test.want {
				controller, name, _ := strings.Cut(file, "/")
				if got := c.readCgroup(controller, name); got != want {
					t.Errorf("%s is %s, want %s", file, got, want)
				}
			}
		})
	}
}

func TestPidsLimitHolds(t *testing.T) {
	V1Only(t)
	r := New(t)
	b := NewBundle(t, withResources(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer(int64(4))}}),
		Shell("sleep 1 & sleep 1 & sleep 1 & sleep 1 & sleep 1 & echo all forked"))
	if res := r.Run(b); strings.Contains(res.Stdout, "all forked") {
		t.Errorf("six processes ran under a limit of four")
	}
}

func TestMemoryLimitHolds(t *testing.T) {
	V1Only(t)
	r := New(t)
	b := NewBundle(t, withResources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer(int64(8 << 20)), Swap: pointer(int64(8 << 20))}}),
		Shell("dd if=/dev/zero of=/dev/null bs=32M count=1 2>/dev/null; echo $?"))
	if got := strings.TrimSpace(r.Run(b).Stdout); got != "137" && got != "1" {
		t.Errorf("using 32 MiB under a limit of 8 MiB ended with %q, want the kernel to have refused", got)
	}
}

func TestCgroupPathIsUsed(t *testing.T) {
	r := New(t)
	parent := "/" + r.Marker + "-parent"
	c := r.Start(NewBundle(t, Sleep, func(s *specs.Spec) { s.Linux.CgroupsPath = parent + "/child" }))
	text, err := os.ReadFile("/proc/" + strconv.Itoa(c.Pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), parent+"/child") {
		t.Errorf("cgroups of the process:\n%s", text)
	}
	c.Kill()
	c.Delete()
	// The parent was made for it, but may be shared with others: it stays, and is the test's to remove.
	removeCgroup(t, parent)
}

func removeCgroup(t *testing.T, path string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup" + path, "/sys/fs/cgroup/*" + path} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
				t.Errorf("removing %s: %v", dir, err)
			}
		}
	}
}

func TestUpdateFlags(t *testing.T) {
	V1Only(t)
	r := New(t)
	c := running(t, r)
	for _, test := range []struct {
		flags []string
		file  string
		want  string
	}{
		{[]string{"--memory", "67108864"}, "memory/memory.limit_in_bytes", "67108864"},
		{[]string{"--memory-reservation", "33554432"}, "memory/memory.soft_limit_in_bytes", "33554432"},
		{[]string{"--memory", "134217728"}, "memory/memory.limit_in_bytes", "134217728"},
		{[]string{"--cpu-share", "512"}, "cpu/cpu.shares", "512"},
		{[]string{"--cpu-period", "100000", "--cpu-quota", "25000"}, "cpu/cpu.cfs_quota_us", "25000"},
		{[]string{"--cpu-quota", "50000"}, "cpu/cpu.cfs_quota_us", "50000"},
		{[]string{"--cpuset-cpus", "0"}, "cpuset/cpuset.cpus", "0"},
		{[]string{"--pids-limit", "33"}, "pids/pids.max", "33"},
	} {
		t.Run(strings.Join(test.flags, " "), func(t *testing.T) {
			r.Must(append(append([]string{"update"}, test.flags...), c.ID)...)
			controller, name, _ := strings.Cut(test.file, "/")
			if got := c.readCgroup(controller, name); got != test.want {
				t.Errorf("%s is %s, want %s", test.file, got, test.want)
			}
		})
	}
}

func TestUpdateResourcesFromStdinAndFile(t *testing.T) {
	V1Only(t)
	for _, flag := range []string{"--resources=-", "--resources=FILE", "-r -"} {
		t.Run(flag, func(t *testing.T) {
			r := New(t)
			c := running(t, r)
			text := `{"memory":{"limit":50331648},"pids":{"limit":21},"cpu":{"shares":700}}`
			file := filepath.Join(t.TempDir(), "resources.json")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"update"}, strings.Fields(strings.ReplaceAll(flag, "FILE", file))...)
			cmd := r.Command(append(args, c.ID)...)
			cmd.Stdin = strings.NewReader(text)
			if res := r.DoCommand(cmd); res.Code != 0 {
				t.Fatalf("exit %d: %s", res.Code, res.Stderr)
			}
			if m, p, s := c.readCgroup("memory", "memory.limit_in_bytes"), c.readCgroup("pids", "pids.max"), c.readCgroup("cpu", "cpu.shares"); m != "50331648" || p != "21" || s != "700" {
				t.Errorf("memory %s, pids %s, shares %s", m, p, s)
			}
		})
	}
}

func TestUpdateThatCannotBeAppliedIsRefused(t *testing.T) {
	V1Only(t)
	r := New(t)
	c := running(t, r)
	for name, flags := range map[string][]string{
		"no number": {"--memory", "many"}, "cpu that is not there": {"--cpuset-cpus", "4000"}, "quota below the minimum": {"--cpu-quota", "1"},
	} {
		t.Run(name, func(t *testing.T) { r.Refuse(nil, append(append([]string{"update"}, flags...), c.ID)...) })
	}
}

func TestPausedProcessesDoNotRun(t *testing.T) {
	r := New(t)
	c := r.Start(NewBundle(t, Shell("while :; do echo x; sleep 0.01; done")))
	Eventually(t, "it writes", func() bool { return c.Output() != "" })
	r.Must("pause", c.ID)
	before := len(c.Output())
	r.Must("state", c.ID) // time in which it would write
	r.Must("state", c.ID)
	if after := len(c.Output()); after != before {
		t.Errorf("it wrote %d bytes while it was paused", after-before)
	}
	r.Must("resume", c.ID)
	Eventually(t, "it writes again", func() bool { return len(c.Output()) > before })
}

func TestKillReachesAPausedContainer(t *testing.T) {
	r := New(t)
	c := paused(t, r)
	r.Must("kill", c.ID, "KILL")
	if !IsZbox() {
		r.Do("resume", c.ID) // runc 1.1 may leave it frozen on version 1
	}
	c.WaitStopped()
}

func TestEventsStats(t *testing.T) {
	r := New(t)
	c := running(t, r)
	var event struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		Data struct {
			CPU struct {
				Usage struct {
					Total uint64 `json:"total"`
				} `json:"usage"`
			} `json:"cpu"`
			Memory struct {
				Usage struct {
					Usage uint64 `json:"usage"`
				} `json:"usage"`
			} `json:"memory"`
			Pids struct {
				Current uint64 `json:"current"`
			} `json:"pids"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(r.Must("events", "--stats", c.ID)), &event); err != nil {
		t.Fatal(err)
	}
	if event.Type != "stats" || event.ID != c.ID {
		t.Errorf("event %+v", event)
	}
	if !CgroupV2() && (event.Data.CPU.Usage.Total == 0 || event.Data.Memory.Usage.Usage == 0 || event.Data.Pids.Current != 1) {
		t.Errorf("stats %+v", event.Data)
	}
}

func TestUnifiedKeysWithoutTheirControllerAreRefused(t *testing.T) {
	WithoutControllers(t)
	r := New(t)
	r.RefuseRun(NewBundle(t, withResources(specs.LinuxResources{Unified: map[string]string{"memory.max": "33554432"}})))
}

func TestLimitsWithoutTheirControllerAreRefused(t *testing.T) {
	V2Only(t)
	WithoutControllers(t)
	for name, resources := range map[string]specs.LinuxResources{
		"memory": {Memory: &specs.LinuxMemory{Limit: pointer(int64(64 << 20))}},
		"pids":   {Pids: &specs.LinuxPids{Limit: pointer(int64(10))}},
		"cpu":    {CPU: &specs.LinuxCPU{Quota: pointer(int64(10000)), Period: pointer(uint64(100000))}},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			r.RefuseRun(NewBundle(t, withResources(resources)), name)
		})
	}
}

func TestHugepageLimitsAreWritten(t *testing.T) {
	V2Only(t)
	r := New(t)
	c := r.Start(NewBundle(t, Sleep, withResources(specs.LinuxResources{
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}},
	})))
	if got := c.readCgroup("", "hugetlb.2MB.max"); got != "4194304" {
		t.Errorf("hugetlb.2MB.max is %s, want 4194304", got)
	}
}
