package cgroup

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func ptr[T any](v T) *T { return &v }

// read returns the text of a cgroup file without its end of line; "" when it is missing.
func read(t *testing.T, c *Cgroup, controller, file string) string {
	t.Helper()
	if c.saved.Version == 2 {
		controller = ""
	}
	text, err := os.ReadFile(filepath.Join(c.Paths()[controller], file))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(text), "\n")
}

func TestLimitsAreAppliedBeforeAnyProcess(t *testing.T) {
	unified := probe(t).Unified
	const mib = 1 << 20
	tests := []struct {
		name      string
		resources specs.LinuxResources
		files     map[string]string // controller/file: content
		unified   bool
	}{
		{
			name: "memory on v2", unified: true,
			resources: specs.LinuxResources{Memory: &specs.LinuxMemory{
				Limit: ptr(int64(32 * mib)), Reservation: ptr(int64(16 * mib)), Swap: ptr(int64(32 * mib)),
			}},
			files: map[string]string{"memory/memory.max": "33554432", "memory/memory.low": "16777216", "memory/memory.swap.max": "0"},
		},
		{
			name: "unlimited memory on v2", unified: true,
			resources: specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(-1))}},
			files:     map[string]string{"memory/memory.max": "max", "memory/memory.swap.max": "max"},
		},
		{
			name: "cpu on v2", unified: true,
			resources: specs.LinuxResources{CPU: &specs.LinuxCPU{
				Shares: ptr(uint64(1024)), Quota: ptr(int64(40000)), Period: ptr(uint64(50000)), Burst: ptr(uint64(1000)),
			}},
			files: map[string]string{"cpu/cpu.weight": "100", "cpu/cpu.max": "40000 50000", "cpu/cpu.max.burst": "1000"},
		},
		{
			name: "pids on v2", unified: true,
			resources: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(17))}},
			files:     map[string]string{"pids/pids.max": "17"},
		},
		{
			name: "cpuset on v2", unified: true,
			resources: specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "1", Mems: "0"}},
			files:     map[string]string{"cpuset/cpuset.cpus": "1", "cpuset/cpuset.mems": "0"},
		},
		{
			name: "unified on v2", unified: true,
			resources: specs.LinuxResources{Unified: map[string]string{"memory.high": "1048576", "memory.oom.group": "1"}},
			files:     map[string]string{"memory/memory.high": "1048576", "memory/memory.oom.group": "1"},
		},
		{
			name: "memory",
			resources: specs.LinuxResources{Memory: &specs.LinuxMemory{
				Limit: ptr(int64(32 * mib)), Reservation: ptr(int64(16 * mib)), Swappiness: ptr(uint64(7)),
			}},
			files: map[string]string{
				"memory/memory.limit_in_bytes": "33554432", "memory/memory.soft_limit_in_bytes": "16777216", "memory/memory.swappiness": "7",
			},
		},
		{
			name:      "pids",
			resources: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(17))}},
			files:     map[string]string{"pids/pids.max": "17"},
		},
		{
			name:      "pids 0 is the smallest limit",
			resources: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}},
			files:     map[string]string{"pids/pids.max": "1"},
		},
		{
			name:      "pids -1 is no limit",
			resources: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}},
			files:     map[string]string{"pids/pids.max": "max"},
		},
		{
			name: "cpu",
			resources: specs.LinuxResources{CPU: &specs.LinuxCPU{
				Shares: ptr(uint64(512)), Quota: ptr(int64(40000)), Period: ptr(uint64(50000)), Burst: ptr(uint64(1000)),
			}},
			files: map[string]string{
				"cpu/cpu.shares": "512", "cpu/cpu.cfs_quota_us": "40000", "cpu/cpu.cfs_period_us": "50000", "cpu/cpu.cfs_burst_us": "1000",
			},
		},
		{
			name:      "cpu idle",
			resources: specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(1))}},
			files:     map[string]string{"cpu/cpu.idle": "1"},
		},
		{
			name:      "cpuset",
			resources: specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "1", Mems: "0"}},
			files:     map[string]string{"cpuset/cpuset.cpus": "1", "cpuset/cpuset.mems": "0"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.unified != unified {
				t.Skip("of the other cgroup version")
			}
			needControllers(t, slices.Collect(maps.Keys(tt.files)))
			c := create(t, Config{Resources: &tt.resources})
			for file, want := range tt.files {
				controller, name, _ := strings.Cut(file, "/")
				if got := read(t, c, controller, name); got != want {
					t.Errorf("%s: %q, want %q", file, got, want)
				}
			}
		})
	}
}

// needControllers skips where the machine uses the controllers of these files for cgroup v1 while the test is about v2.
func needControllers(t *testing.T, files []string) {
	t.Helper()
	for _, file := range files {
		controller, _, _ := strings.Cut(file, "/")
		if probe(t).Unified && !hasController(mountpoint, "cgroup.controllers", controller) {
			t.Skipf("cgroup v2 has no %s controller here", controller)
		}
	}
}

// TestLimitThatCannotBeAppliedNamesTheField: every error leaves nothing behind, which testID checks.
func TestLimitThatCannotBeAppliedNamesTheField(t *testing.T) {
	const (
		noController = "the cgroup v2 hierarchy has no %s controller; it is not in the kernel, is disabled, or is used by cgroup v1"
		notMounted   = "the %s controller of cgroup v1 is not mounted"
	)
	missing := func(template, name string) string { return strings.ReplaceAll(template, "%s", name) }
	tests := []struct {
		name      string
		resources specs.LinuxResources
		v1, v2    string // the error; "" for none
	}{
		{
			name:      "memory limit",
			resources: specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 25))}},
			v2:        "linux.resources.memory.limit: " + missing(noController, "memory"),
		},
		{
			name:      "pids",
			resources: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(9))}},
			v2:        "linux.resources.pids.limit: " + missing(noController, "pids"),
		},
		{
			name:      "cpu quota",
			resources: specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5000))}},
			v2:        "linux.resources.cpu.quota: " + missing(noController, "cpu"),
		},
		{
			name:      "cpu quota below the kernel's minimum",
			resources: specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5))}},
			v1:        "linux.resources.cpu.quota: writing cpu.cfs_quota_us: invalid argument",
			v2:        "linux.resources.cpu.quota: " + missing(noController, "cpu"),
		},
		{
			name:      "cpus that do not exist",
			resources: specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}},
			v1:        "linux.resources.cpu.cpus: writing cpuset.cpus: numerical result out of range",
			v2:        "linux.resources.cpu.cpus: " + missing(noController, "cpuset"),
		},
		{
			name:      "rdma",
			resources: specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx5_0": {HcaHandles: ptr(uint32(3))}}},
			v1:        "linux.resources.rdma: " + missing(notMounted, "rdma"),
			v2:        "linux.resources.rdma: " + missing(noController, "rdma"),
		},
		{
			name:      "network class",
			resources: specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1))}},
			v1:        "linux.resources.network.classID: " + missing(notMounted, "net_cls"),
			v2:        "linux.resources.network.classID: cgroup v2 has no such setting",
		},
		{
			name: "throttle",
			resources: specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{
				LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 4000, Minor: 1}, Rate: 5,
			}}}},
			v1: "linux.resources.blockIO.throttleReadBpsDevice: writing blkio.throttle.read_bps_device: no such device",
			v2: "linux.resources.blockIO.throttleReadBpsDevice: " + missing(noController, "io"),
		},
		{
			name:      "unknown unified file",
			resources: specs.LinuxResources{Unified: map[string]string{"memory.max": "1000000"}},
			v1:        "linux.resources.unified: this machine has cgroup v1, which has no unified hierarchy",
			v2:        `linux.resources.unified["memory.max"]: ` + missing(noController, "memory"),
		},
		{
			name:      "unified file that moves zbox itself",
			resources: specs.LinuxResources{Unified: map[string]string{"cgroup.procs": "0"}},
			v1:        "linux.resources.unified: this machine has cgroup v1, which has no unified hierarchy",
			v2:        `linux.resources.unified["cgroup.procs"]: cgroup.procs is not a limit`,
		},
		{
			name:      "unified file of another directory",
			resources: specs.LinuxResources{Unified: map[string]string{"../cgroup.procs": "0"}},
			v1:        "linux.resources.unified: this machine has cgroup v1, which has no unified hierarchy",
			v2:        `linux.resources.unified["../cgroup.procs"]: unified resource "../cgroup.procs" must be a file name (no slashes)`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.v1
			if probe(t).Unified {
				want = tt.v2
				_, reason, _ := strings.Cut(want, ": ")
				if name, ok := strings.CutPrefix(reason, "the cgroup v2 hierarchy has no "); ok {
					name, _, _ = strings.Cut(name, " ")
					if hasController(mountpoint, "cgroup.controllers", name) {
						t.Skipf("cgroup v2 has the %s controller here", name)
					}
				}
			}
			cfg := Config{ID: testID(t), Resources: &tt.resources, Facts: probe(t)}
			c, err := New(cfg)
			if err == nil {
				err = c.Create()
			}
			if text(err) != want {
				t.Errorf("error %q\nwant  %q", text(err), want)
			}
			if err == nil {
				if err := c.Destroy(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestUnifiedFilesAreWritten(t *testing.T) {
	if !probe(t).Unified {
		t.Skip("cgroup v2 only")
	}
	c := create(t, Config{Resources: &specs.LinuxResources{
		Unified:        map[string]string{"cgroup.max.depth": "3", "cgroup.max.descendants": "5"},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}},
	}})
	for file, want := range map[string]string{
		"cgroup.max.depth": "3", "cgroup.max.descendants": "5", "hugetlb.2MB.max": "4194304",
	} {
		if got := read(t, c, "", file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestUpdateChangesOnlyWhatIsSet(t *testing.T) {
	if probe(t).Unified {
		c := create(t, Config{})
		err := c.Update(&specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 2 << 20}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, c, "", "hugetlb.2MB.max"); got != "2097152" {
			t.Errorf("hugetlb.2MB.max: %q", got)
		}
		return
	}
	c := create(t, Config{Resources: &specs.LinuxResources{
		Pids: &specs.LinuxPids{Limit: ptr(int64(17))}, CPU: &specs.LinuxCPU{Quota: ptr(int64(40000)), Period: ptr(uint64(50000))},
	}})
	before := read(t, c, "devices", "devices.list")
	err := c.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(20000))}})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"pids/pids.max": "17", "cpu/cpu.cfs_quota_us": "20000", "cpu/cpu.cfs_period_us": "50000", "devices/devices.list": before,
	} {
		controller, name, _ := strings.Cut(file, "/")
		if got := read(t, c, controller, name); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	err = c.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, c, "pids", "pids.max"); got != "max" {
		t.Errorf("pids.max: %q, want max", got)
	}
}

// TestMemlockLimitOfZboxStays stands in for opencontainers/cgroups, which may not raise the limit everywhere.
func TestMemlockLimitOfZboxStays(t *testing.T) {
	var before, after unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &before); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &before) }()
	failure := errors.New("no")
	for _, want := range []error{nil, failure} {
		err := keepMemlock(func() error {
			if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: before.Cur / 2, Max: before.Max}); err != nil {
				t.Fatal(err)
			}
			return want
		})
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
		if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &after); err != nil {
			t.Fatal(err)
		}
		if after != before {
			t.Errorf("limit %+v, want %+v", after, before)
		}
	}
}

func TestControllerThatIsNotDelegatedHasARemedy(t *testing.T) {
	if !probe(t).Unified {
		t.Skip("cgroup v2 only")
	}
	parent := create(t, Config{})
	sleeper(t, parent) // a cgroup with processes cannot hand controllers down
	c, err := New(Config{
		ID: "a", Path: parent.Path() + "/a", Facts: probe(t),
		Resources: &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1 << 21}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := parent.Paths()[""]
	want := "linux.resources.hugepageLimits: the hugetlb controller is not delegated to " + dir + "/a; write +hugetlb to " + dir +
		"/cgroup.subtree_control, which must hold no processes"
	if hasController(dir, "cgroup.controllers", "memory") { // then the child cannot have any processes
		want = "linux.cgroupsPath: creating cgroup " + dir + "/a: a cgroup above it holds processes or is threaded, so that no limits can" +
			" be set below; choose another path"
	}
	if err := c.Create(); text(err) != want {
		t.Errorf("error %q\nwant  %q", text(err), want)
	}
	if c.Exists() {
		t.Error("left after a failed Create")
	}
}
