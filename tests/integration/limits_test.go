package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// limit is one limit of CONTRACT 2.4: what config.json says at create and at update, and what the files of both cgroup versions say then.
type limit struct {
	name           string
	field          string // that a refusal names, below linux.resources
	create, update specs.LinuxResources
	v1, v2         written
	// shown is what systemd says of its property at both times; "" without one.
	property string
	shown    [2]string
	// ahead says why Debian 12's runc and crun do not do the same.
	ahead string
	// lazy: Debian 12's runc leaves it as it is at update.
	lazy bool
}

// written is a line of a cgroup file after create and after update. Without a file the cgroup version has no such limit.
type written struct{ file, created, updated string }

func limits(t *testing.T) []limit {
	t.Helper()
	const mib = int64(1 << 20)
	return slices.Concat(memoryLimits(mib), cpuLimits(), otherLimits(), blockLimits(t), unifiedLimits())
}

func memoryLimits(mib int64) []limit {
	memory := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	return []limit{
		{
			name: "memory.limit", field: "memory.limit",
			create: memory(specs.LinuxMemory{Limit: pointer(64 * mib)}), update: memory(specs.LinuxMemory{Limit: pointer(96 * mib)}),
			v1: written{"memory/memory.limit_in_bytes", "67108864", "100663296"}, v2: written{"memory.max", "67108864", "100663296"},
			property: "MemoryMax", shown: [2]string{"67108864", "100663296"},
		},
		{
			name: "memory.limit of -1", field: "memory.limit",
			create: memory(specs.LinuxMemory{Limit: pointer(64 * mib)}), update: memory(specs.LinuxMemory{Limit: pointer(int64(-1))}),
			v1: written{"memory/memory.limit_in_bytes", "67108864", "9223372036854771712"}, v2: written{"memory.max", "67108864", "max"},
			property: "MemoryMax", shown: [2]string{"67108864", "infinity"},
		},
		{
			name: "memory.reservation", field: "memory.reservation",
			create: memory(specs.LinuxMemory{Reservation: pointer(16 * mib)}), update: memory(specs.LinuxMemory{Reservation: pointer(8 * mib)}),
			v1: written{"memory/memory.soft_limit_in_bytes", "16777216", "8388608"}, v2: written{"memory.low", "16777216", "8388608"},
			property: "MemoryLow", shown: [2]string{"16777216", "8388608"},
		},
		{
			name: "memory.swap with its memory", field: "memory",
			create: memory(specs.LinuxMemory{Limit: pointer(64 * mib), Swap: pointer(96 * mib)}),
			update: memory(specs.LinuxMemory{Limit: pointer(64 * mib), Swap: pointer(64 * mib)}),
			v1:     written{"memory/memory.memsw.limit_in_bytes", "100663296", "67108864"}, v2: written{"memory.swap.max", "33554432", "0"},
			property: "MemorySwapMax", shown: [2]string{"33554432", "0"},
		},
		{
			name: "memory.swap of -1", field: "memory",
			create: memory(specs.LinuxMemory{Limit: pointer(64 * mib), Swap: pointer(96 * mib)}),
			update: memory(specs.LinuxMemory{Limit: pointer(64 * mib), Swap: pointer(int64(-1))}),
			v1:     written{"memory/memory.memsw.limit_in_bytes", "100663296", "9223372036854771712"}, v2: written{"memory.swap.max", "33554432", "max"},
			property: "MemorySwapMax", shown: [2]string{"33554432", "infinity"},
		},
		{
			name: "memory.swap alone at update", field: "memory",
			create: memory(specs.LinuxMemory{Limit: pointer(64 * mib), Swap: pointer(96 * mib)}), update: memory(specs.LinuxMemory{Swap: pointer(80 * mib)}),
			v1: written{"memory/memory.memsw.limit_in_bytes", "100663296", "83886080"}, v2: written{"memory.swap.max", "33554432", "16777216"},
			property: "MemorySwapMax", shown: [2]string{"33554432", "16777216"}, ahead: "they want the memory limit once more",
		},
		{
			name: "memory.swappiness", lazy: true, field: "memory.swappiness",
			create: memory(specs.LinuxMemory{Swappiness: pointer(uint64(30))}), update: memory(specs.LinuxMemory{Swappiness: pointer(uint64(40))}),
			v1: written{"memory/memory.swappiness", "30", "40"},
		},
		{
			name: "memory.disableOOMKiller", field: "memory.disableOOMKiller",
			create: memory(specs.LinuxMemory{DisableOOMKiller: pointer(true)}), update: memory(specs.LinuxMemory{Limit: pointer(64 * mib)}),
			v1: written{"memory/memory.oom_control", "oom_kill_disable 1", "oom_kill_disable 1"},
		},
	}
}

func cpuLimits() []limit {
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	quota := func(q int64, period uint64) *specs.LinuxCPU { return &specs.LinuxCPU{Quota: &q, Period: &period} }
	burst := *quota(30000, 100000)
	burst.Burst = pointer(uint64(10000))
	return []limit{
		{
			name: "cpu.shares", field: "cpu.shares",
			create: cpu(specs.LinuxCPU{Shares: pointer(uint64(1024))}), update: cpu(specs.LinuxCPU{Shares: pointer(uint64(512))}),
			v1: written{"cpu/cpu.shares", "1024", "512"}, v2: written{"cpu.weight", "100", "59"},
			property: "CPUWeight", shown: [2]string{"100", "59"}, ahead: "they have the linear formula, by which a container of 1024 shares gets 39",
		},
		{
			name: "cpu.quota", field: "cpu.quota",
			create: cpu(*quota(30000, 100000)), update: cpu(*quota(50000, 200000)),
			v1: written{"cpu/cpu.cfs_quota_us", "30000", "50000"}, v2: written{"cpu.max", "30000 100000", "50000 200000"},
			property: "CPUQuotaPerSecUSec", shown: [2]string{"300ms", "250ms"},
		},
		{
			name: "cpu.period", field: "cpu",
			create: cpu(*quota(30000, 100000)), update: cpu(specs.LinuxCPU{Period: pointer(uint64(200000))}),
			v1: written{"cpu/cpu.cfs_period_us", "100000", "200000"}, v2: written{"cpu.max", "30000 100000", "30000 200000"},
			property: "CPUQuotaPerSecUSec", shown: [2]string{"300ms", "150ms"}, ahead: "they drop the quota",
		},
		{
			name: "cpu.quota alone at update", field: "cpu.quota",
			create: cpu(*quota(30000, 50000)), update: cpu(specs.LinuxCPU{Quota: pointer(int64(20000))}),
			v1: written{"cpu/cpu.cfs_quota_us", "30000", "20000"}, v2: written{"cpu.max", "30000 50000", "20000 50000"},
			property: "CPUQuotaPerSecUSec", shown: [2]string{"600ms", "400ms"},
		},
		{
			name: "cpu.quota of -1", field: "cpu.quota",
			create: cpu(*quota(30000, 100000)), update: cpu(specs.LinuxCPU{Quota: pointer(int64(-1))}),
			v1: written{"cpu/cpu.cfs_quota_us", "30000", "-1"}, v2: written{"cpu.max", "30000 100000", "max 100000"},
			property: "CPUQuotaPerSecUSec", shown: [2]string{"300ms", "infinity"},
		},
		{
			name: "cpu.burst", field: "cpu", create: cpu(burst), update: cpu(specs.LinuxCPU{Burst: pointer(uint64(5000))}),
			v1: written{"cpu/cpu.cfs_burst_us", "10000", "5000"}, v2: written{"cpu.max.burst", "10000", "5000"}, ahead: "it is newer",
		},
		{
			name: "cpu.idle", field: "cpu.idle", create: cpu(specs.LinuxCPU{Idle: pointer(int64(1))}), update: cpu(specs.LinuxCPU{Idle: pointer(int64(0))}),
			v1: written{"cpu/cpu.idle", "1", "0"}, v2: written{"cpu.idle", "1", "0"}, ahead: "it is newer",
		},
		{
			name: "cpu.realtimeRuntime", field: "cpu.realtimeRuntime",
			create: cpu(specs.LinuxCPU{RealtimeRuntime: pointer(int64(5000)), RealtimePeriod: pointer(uint64(100000))}),
			update: cpu(specs.LinuxCPU{RealtimeRuntime: pointer(int64(3000))}),
			v1:     written{"cpu/cpu.rt_runtime_us", "5000", "3000"},
		},
		{
			name: "cpu.realtimePeriod", field: "cpu.realtimePeriod",
			create: cpu(specs.LinuxCPU{RealtimePeriod: pointer(uint64(200000))}), update: cpu(specs.LinuxCPU{RealtimePeriod: pointer(uint64(100000))}),
			v1: written{"cpu/cpu.rt_period_us", "200000", "100000"},
		},
		{
			name: "cpu.cpus", field: "cpu.cpus", create: cpu(specs.LinuxCPU{Cpus: "0-1"}), update: cpu(specs.LinuxCPU{Cpus: "1"}),
			v1: written{"cpuset/cpuset.cpus", "0-1", "1"}, v2: written{"cpuset.cpus", "0-1", "1"},
			property: "AllowedCPUs", shown: [2]string{"0-1", "1"},
		},
		{
			name: "cpu.mems", field: "cpu.mems", create: cpu(specs.LinuxCPU{Mems: "0"}), update: cpu(specs.LinuxCPU{Mems: "0"}),
			v1: written{"cpuset/cpuset.mems", "0", "0"}, v2: written{"cpuset.mems", "0", "0"},
			property: "AllowedMemoryNodes", shown: [2]string{"0", "0"},
		},
	}
}

func otherLimits() []limit {
	pids := func(n int64) specs.LinuxResources { return specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}} }
	huge := func(n uint64) specs.LinuxResources {
		return specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: n}}}
	}
	return []limit{
		{
			name: "pids.limit", field: "pids.limit", create: pids(77), update: pids(33),
			v1: written{"pids/pids.max", "77", "33"}, v2: written{"pids.max", "77", "33"}, property: "TasksMax", shown: [2]string{"77", "33"},
		},
		{
			name: "pids.limit of -1", field: "pids.limit", create: pids(77), update: pids(-1),
			v1: written{"pids/pids.max", "77", "max"}, v2: written{"pids.max", "77", "max"}, property: "TasksMax", shown: [2]string{"77", "infinity"},
		},
		{
			name: "pids.limit of 0", field: "pids.limit", create: pids(0), update: pids(5),
			v1: written{"pids/pids.max", "1", "5"}, v2: written{"pids.max", "1", "5"}, property: "TasksMax", shown: [2]string{"1", "5"},
			ahead: "they take 0 for no limit",
		},
		{
			name: "hugepageLimits", lazy: true, field: "hugepageLimits", create: huge(4 << 20), update: huge(8 << 20),
			v1: written{"hugetlb/hugetlb.2MB.limit_in_bytes", "4194304", "8388608"}, v2: written{"hugetlb.2MB.max", "4194304", "8388608"},
		},
		{
			name: "hugepageLimits, reserved", field: "hugepageLimits", create: huge(4 << 20), update: huge(8 << 20),
			v1:    written{"hugetlb/hugetlb.2MB.rsvd.limit_in_bytes", "4194304", "8388608"},
			v2:    written{"hugetlb.2MB.rsvd.max", "4194304", "8388608"},
			ahead: "it is newer",
		},
		{
			name: "network.classID", field: "network",
			create: specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: pointer(uint32(1))}},
			update: specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: pointer(uint32(2))}},
			v1:     written{"net_cls/net_cls.classid", "1", "2"},
		},
		{
			name: "network.priorities", field: "network",
			create: specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 3}}}},
			update: specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 4}}}},
			v1:     written{"net_prio/net_prio.ifpriomap", "lo 3", "lo 4"},
		},
	}
}

func blockLimits(t *testing.T) []limit {
	t.Helper()
	major, minor := loopDevice(t)
	device := fmt.Sprintf("%d:%d ", major, minor)
	block := func(b specs.LinuxBlockIO) specs.LinuxResources { return specs.LinuxResources{BlockIO: &b} }
	throttle := func(rate uint64) []specs.LinuxThrottleDevice {
		d := specs.LinuxThrottleDevice{Rate: rate}
		d.Major, d.Minor = major, minor
		return []specs.LinuxThrottleDevice{d}
	}
	weight := func(n uint16) []specs.LinuxWeightDevice {
		d := specs.LinuxWeightDevice{Weight: &n}
		d.Major, d.Minor = major, minor
		return []specs.LinuxWeightDevice{d}
	}
	return []limit{
		{
			name: "blockIO.weight", field: "blockIO.weight",
			create: block(specs.LinuxBlockIO{Weight: pointer(uint16(500))}), update: block(specs.LinuxBlockIO{Weight: pointer(uint16(1000))}),
			v1: written{"blkio/blkio.bfq.weight", "500", "1000"}, v2: written{"io.bfq.weight", "default 500", "default 1000"},
		},
		{
			name: "blockIO.weightDevice", lazy: true, field: "blockIO",
			create: block(specs.LinuxBlockIO{WeightDevice: weight(300)}), update: block(specs.LinuxBlockIO{WeightDevice: weight(400)}),
			v1: written{"blkio/blkio.bfq.weight_device", device + "300", device + "400"}, v2: written{"io.bfq.weight", device + "300", device + "400"},
		},
		{
			name: "blockIO.throttleReadBpsDevice", lazy: true, field: "blockIO.throttleReadBpsDevice",
			create: block(specs.LinuxBlockIO{ThrottleReadBpsDevice: throttle(1 << 20)}), update: block(specs.LinuxBlockIO{ThrottleReadBpsDevice: throttle(2 << 20)}),
			v1: written{"blkio/blkio.throttle.read_bps_device", device + "1048576", device + "2097152"},
			v2: written{"io.max", device + "rbps=1048576 wbps=max riops=max wiops=max", device + "rbps=2097152 wbps=max riops=max wiops=max"},
		},
		{
			name: "blockIO.throttleWriteBpsDevice", lazy: true, field: "blockIO.throttleWriteBpsDevice",
			create: block(specs.LinuxBlockIO{ThrottleWriteBpsDevice: throttle(4096)}), update: block(specs.LinuxBlockIO{ThrottleWriteBpsDevice: throttle(8192)}),
			v1: written{"blkio/blkio.throttle.write_bps_device", device + "4096", device + "8192"},
			v2: written{"io.max", device + "rbps=max wbps=4096 riops=max wiops=max", device + "rbps=max wbps=8192 riops=max wiops=max"},
		},
		{
			name: "blockIO.throttleReadIOPSDevice", lazy: true, field: "blockIO.throttleReadIOPSDevice",
			create: block(specs.LinuxBlockIO{ThrottleReadIOPSDevice: throttle(50)}), update: block(specs.LinuxBlockIO{ThrottleReadIOPSDevice: throttle(60)}),
			v1: written{"blkio/blkio.throttle.read_iops_device", device + "50", device + "60"},
			v2: written{"io.max", device + "rbps=max wbps=max riops=50 wiops=max", device + "rbps=max wbps=max riops=60 wiops=max"},
		},
		{
			name: "blockIO.throttleWriteIOPSDevice", lazy: true, field: "blockIO.throttleWriteIOPSDevice",
			create: block(specs.LinuxBlockIO{ThrottleWriteIOPSDevice: throttle(100)}), update: block(specs.LinuxBlockIO{ThrottleWriteBpsDevice: throttle(4096)}),
			v1: written{"blkio/blkio.throttle.write_iops_device", device + "100", device + "100"},
			v2: written{"io.max", device + "rbps=max wbps=max riops=max wiops=100", device + "rbps=max wbps=4096 riops=max wiops=100"},
		},
	}
}

func unifiedLimits() []limit {
	row := func(file, created, updated, property, shown, later string) limit {
		files := func(v string) specs.LinuxResources { return specs.LinuxResources{Unified: map[string]string{file: v}} }
		return limit{
			name: "unified " + file, field: "unified", create: files(created), update: files(updated),
			v2: written{file, created, updated}, property: property, shown: [2]string{shown, later},
		}
	}
	return []limit{
		row("memory.high", "50331648", "33554432", "MemoryHigh", "50331648", "33554432"),
		row("memory.max", "50331648", "max", "MemoryMax", "50331648", "infinity"),
		row("memory.min", "8388608", "4194304", "MemoryMin", "8388608", "4194304"),
		row("memory.oom.group", "1", "0", "", "", ""),
		row("cpu.weight", "250", "50", "CPUWeight", "250", "50"),
		row("cpu.max", "40000 80000", "max 100000", "CPUQuotaPerSecUSec", "500ms", "infinity"),
		row("cpuset.cpus", "0-1", "0", "AllowedCPUs", "0-1", "0"),
		row("pids.max", "44", "55", "TasksMax", "44", "55"),
		row("io.weight", "default 200", "default 300", "", "", ""),
		row("hugetlb.2MB.max", "2097152", "4194304", "", "", ""),
		row("cgroup.max.depth", "3", "4", "", "", ""),
	}
}

// loopDevice makes a disk that nobody uses, whose scheduler is the one that knows weights, bfq.
func loopDevice(t *testing.T) (major, minor int64) {
	t.Helper()
	_ = exec.Command("modprobe", "-a", "-q", "loop", "bfq").Run() // in many kernels they are no modules
	file := filepath.Join(t.TempDir(), "disk")
	writeText(t, file, "")
	if err := os.Truncate(file, 1<<20); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, out)
	}
	path := strings.TrimSpace(string(out))
	scheduler := filepath.Join("/sys/block", filepath.Base(path), "queue/scheduler")
	t.Cleanup(func() {
		writeText(t, scheduler, "none") // bfq stays in use else
		if out, err := exec.Command("losetup", "--detach", path).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach: %v: %s", err, out)
		}
	})
	writeText(t, scheduler, "bfq")
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
}

// here is what the machine's cgroup version writes, and where; there is no path when it does not have the limit.
func (l limit) here(t *testing.T) (w written, has bool) {
	t.Helper()
	if !CgroupV2() {
		controller, _, _ := strings.Cut(l.v1.file, "/")
		_, err := os.Stat("/sys/fs/cgroup/" + controller)
		return l.v1, l.v1.file != "" && err == nil
	}
	if l.v2.file == "" {
		return l.v2, false
	}
	names, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	if err != nil {
		t.Fatal(err)
	}
	controller, _, _ := strings.Cut(l.v2.file, ".")
	has = slices.Contains(append(strings.Fields(string(names)), "cgroup"), controller)
	if !has && os.Getenv("MACHINE") == "systemd" {
		t.Fatalf("MACHINE=systemd says that there is the %s controller", controller)
	}
	return l.v2, has
}

// limitOf reads a file of the container's cgroup: v1's, with its controller in front, or v2's.
func (c *Container) limitOf(file string) string {
	c.t.Helper()
	if CgroupV2() {
		return c.Unified(file)
	}
	controller, name, _ := strings.Cut(file, "/")
	return c.readCgroup(controller, name)
}

func (c *Container) wantLimit(when, file, want string) {
	c.t.Helper()
	if got := c.limitOf(file); !slices.Contains(strings.Split(got, "\n"), want) {
		c.t.Errorf("%s is %q after %s, want %q", file, got, when, want)
	}
}

// update changes a container's limits as engines do.
func (c *Container) update(resources specs.LinuxResources) {
	c.t.Helper()
	cmd := c.Command("update", "--resources", "-", c.ID)
	text, err := json.Marshal(resources)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd.Stdin = strings.NewReader(string(text))
	if res := c.DoCommand(cmd); res.Code != 0 {
		c.t.Fatalf("update: exit %d: %s", res.Code, res.Stderr)
	}
}

// No limit is lost in silence: it is in the file of the machine's cgroup version, or refused.
func TestLimitsAreWrittenAtCreateAndAtUpdateOrRefused(t *testing.T) {
	for _, l := range limits(t) {
		t.Run(l.name, func(t *testing.T) {
			r := New(t)
			w, has := l.here(t)
			if !has {
				ZboxOnly(t, "others ignore some of what a cgroup version has not")
				r.RefuseRun(NewBundle(t, withResources(l.create)), "linux.resources."+l.field)
				return
			}
			if l.ahead != "" {
				ZboxOnly(t, l.ahead)
			}
			c := r.Start(NewBundle(t, Sleep, withResources(l.create)))
			c.wantLimit("create", w.file, w.created)
			if l.lazy {
				ZboxOnly(t, "others leave it as it is at update")
			}
			c.update(l.update)
			c.wantLimit("update", w.file, w.updated)
		})
	}
}

func TestRdmaLimitsAreWrittenAtCreateAndAtUpdate(t *testing.T) {
	NeedsAllOfVersion2(t)
	device := rdmaDevice(t)
	limits := func(l specs.LinuxRdma) specs.LinuxResources {
		return specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{device: l}}
	}
	r := New(t)
	c := r.Start(NewBundle(t, Sleep, withResources(limits(specs.LinuxRdma{HcaHandles: pointer(uint32(3)), HcaObjects: pointer(uint32(10000))}))))
	c.wantLimit("create", "rdma.max", device+" hca_handle=3 hca_object=10000")
	c.update(limits(specs.LinuxRdma{HcaHandles: pointer(uint32(5))}))
	c.wantLimit("update", "rdma.max", device+" hca_handle=5 hca_object=10000")
}

// rdmaDevice makes a device for RDMA, in software, where the kernel has such: Debian's for virtual machines has none.
func rdmaDevice(t *testing.T) string {
	t.Helper()
	const device, link = "zboxrxe", "zboxrdma"
	if out, err := exec.Command("modprobe", "rdma_rxe").CombinedOutput(); err != nil {
		t.Skipf("this kernel has no RDMA device in software: modprobe rdma_rxe: %v: %s", err, out)
	}
	for _, args := range [][]string{
		{"ip", "link", "add", link, "type", "dummy"},
		{"ip", "link", "set", link, "up"},
		{"rdma", "link", "add", device, "type", "rxe", "netdev", link},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
		}
		if args[2] == "add" {
			t.Cleanup(func() {
				if out, err := exec.Command(args[0], "link", "delete", args[3]).CombinedOutput(); err != nil {
					t.Errorf("deleting %s: %v: %s", args[3], err, out)
				}
			})
		}
	}
	return device
}

// Without bfq's own weights there are those of the io controller (1 to 10000).
func TestBlockIOWeightWithoutBFQ(t *testing.T) {
	NeedsAllOfVersion2(t)
	if out, err := exec.Command("modprobe", "-r", "bfq").CombinedOutput(); err != nil {
		t.Fatalf("unloading bfq: %v: %s", err, out)
	}
	for weight, want := range map[uint16]string{10: "default 1", 500: "default 4950", 1000: "default 10000"} {
		t.Run(fmt.Sprint(weight), func(t *testing.T) {
			r := New(t)
			c := r.Start(NewBundle(t, Sleep, withResources(specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: &weight}})))
			c.wantLimit("create", "io.weight", want)
		})
	}
}

func TestLimitsHold(t *testing.T) {
	NeedsControllers(t)
	tight := &specs.LinuxMemory{Limit: pointer(int64(8 << 20)), Swap: pointer(int64(8 << 20))}
	t.Run("memory", func(t *testing.T) {
		r := New(t)
		b := NewBundle(t, withResources(specs.LinuxResources{Memory: tight}), Shell("dd if=/dev/zero of=/dev/null bs=32M count=1 2>/dev/null; echo $?"))
		if got := strings.TrimSpace(r.Run(b).Stdout); got != "137" && got != "1" {
			t.Errorf("using 32 MiB under a limit of 8 MiB ended with %q, want the kernel to have refused", got)
		}
	})
	t.Run("memory.oom.group", func(t *testing.T) {
		V2Only(t)
		r := New(t)
		b := NewBundle(t, withResources(specs.LinuxResources{Memory: tight, Unified: map[string]string{"memory.oom.group": "1"}}),
			Shell("dd if=/dev/zero of=/dev/null bs=32M count=1 2>/dev/null; echo survived"))
		if res := r.Run(b); res.Code != 137 || res.Stdout != "" {
			t.Errorf("exit %d, output %q, want all processes killed with the one that used too much", res.Code, res.Stdout)
		}
	})
	t.Run("pids", func(t *testing.T) {
		r := New(t)
		b := NewBundle(t, withResources(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer(int64(4))}}),
			Shell("sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & echo all forked"))
		if res := r.Run(b); strings.Contains(res.Stdout, "all forked") {
			t.Errorf("six processes ran under a limit of four")
		}
	})
}

func TestUpdateFlags(t *testing.T) {
	NeedsControllers(t)
	r := New(t)
	c := running(t, r)
	for _, test := range []struct {
		flags  []string
		v1, v2 [2]string // file and content
	}{
		{[]string{"--memory", "67108864"}, [2]string{"memory/memory.limit_in_bytes", "67108864"}, [2]string{"memory.max", "67108864"}},
		{[]string{"--memory-reservation", "33554432"}, [2]string{"memory/memory.soft_limit_in_bytes", "33554432"}, [2]string{"memory.low", "33554432"}},
		{[]string{"--memory", "134217728"}, [2]string{"memory/memory.limit_in_bytes", "134217728"}, [2]string{"memory.max", "134217728"}},
		{
			[]string{"--memory", "134217728", "--memory-swap", "167772160"},
			[2]string{"memory/memory.memsw.limit_in_bytes", "167772160"},
			[2]string{"memory.swap.max", "33554432"},
		},
		{[]string{"--cpu-share", "1024"}, [2]string{"cpu/cpu.shares", "1024"}, [2]string{"cpu.weight", "100"}},
		{[]string{"--cpu-period", "100000", "--cpu-quota", "25000"}, [2]string{"cpu/cpu.cfs_quota_us", "25000"}, [2]string{"cpu.max", "25000 100000"}},
		{[]string{"--cpu-quota", "50000"}, [2]string{"cpu/cpu.cfs_quota_us", "50000"}, [2]string{"cpu.max", "50000 100000"}},
		{[]string{"--cpuset-cpus", "0"}, [2]string{"cpuset/cpuset.cpus", "0"}, [2]string{"cpuset.cpus", "0"}},
		{[]string{"--cpuset-mems", "0"}, [2]string{"cpuset/cpuset.mems", "0"}, [2]string{"cpuset.mems", "0"}},
		{[]string{"--pids-limit", "33"}, [2]string{"pids/pids.max", "33"}, [2]string{"pids.max", "33"}},
	} {
		t.Run(strings.Join(test.flags, " "), func(t *testing.T) {
			want := test.v1
			if CgroupV2() {
				want = test.v2
				if test.flags[0] == "--cpu-share" {
					ZboxOnly(t, "they have the linear formula")
				}
			}
			r.Must(append(append([]string{"update"}, test.flags...), c.ID)...)
			if got := c.limitOf(want[0]); got != want[1] {
				t.Errorf("%s is %s, want %s", want[0], got, want[1])
			}
		})
	}
}

func TestUpdateResourcesFromStdinAndFile(t *testing.T) {
	NeedsControllers(t)
	for _, flag := range []string{"--resources=-", "--resources=FILE", "-r -"} {
		t.Run(flag, func(t *testing.T) {
			r := New(t)
			c := running(t, r)
			text := `{"memory":{"limit":50331648},"pids":{"limit":21},"cpu":{"quota":20000,"period":100000}}`
			file := filepath.Join(t.TempDir(), "resources.json")
			writeText(t, file, text)
			args := append([]string{"update"}, strings.Fields(strings.ReplaceAll(flag, "FILE", file))...)
			cmd := r.Command(append(args, c.ID)...)
			cmd.Stdin = strings.NewReader(text)
			if res := r.DoCommand(cmd); res.Code != 0 {
				t.Fatalf("exit %d: %s", res.Code, res.Stderr)
			}
			want := map[string]string{"memory/memory.limit_in_bytes": "50331648", "pids/pids.max": "21", "cpu/cpu.cfs_quota_us": "20000"}
			if CgroupV2() {
				want = map[string]string{"memory.max": "50331648", "pids.max": "21", "cpu.max": "20000 100000"}
			}
			for file, content := range want {
				c.wantLimit("update", file, content)
			}
		})
	}
}

func TestUpdateThatCannotBeAppliedIsRefused(t *testing.T) {
	NeedsControllers(t)
	r := New(t)
	c := running(t, r)
	for name, flags := range map[string][]string{
		"no number": {"--memory", "many"}, "cpu that is not there": {"--cpuset-cpus", "4000"}, "quota below the minimum": {"--cpu-quota", "1"},
	} {
		t.Run(name, func(t *testing.T) { r.Refuse(nil, append(append([]string{"update"}, flags...), c.ID)...) })
	}
}
