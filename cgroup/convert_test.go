package cgroup

import (
	"reflect"
	"testing"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestConvert(t *testing.T) {
	const mib = int64(1 << 20)
	tests := []struct {
		name    string
		version int
		in      specs.LinuxResources
		want    cgroups.Resources // but for SkipDevices
	}{
		{
			name: "memory", version: 1,
			in: specs.LinuxResources{Memory: &specs.LinuxMemory{
				Limit: ptr(mib), Reservation: ptr(mib / 2), Swap: ptr(2 * mib), Swappiness: ptr(uint64(3)),
				DisableOOMKiller: ptr(true), CheckBeforeUpdate: ptr(true),
			}},
			want: cgroups.Resources{
				Memory: mib, MemoryReservation: mib / 2, MemorySwap: 2 * mib, MemorySwappiness: ptr(uint64(3)), OomKillDisable: true,
				MemoryCheckBeforeUpdate: true,
			},
		},
		{
			name: "swappiness of -1 is not set", version: 2,
			in: specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(^uint64(0)), DisableOOMKiller: ptr(false)}},
		},
		{
			name: "shares become weight on v2", version: 2,
			in:   specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(5)), Period: ptr(uint64(6))}},
			want: cgroups.Resources{CpuShares: 1024, CpuWeight: 100, CpuQuota: 5, CpuPeriod: 6},
		},
		{
			name: "realtime, cpuset, idle and burst", version: 1,
			in: specs.LinuxResources{CPU: &specs.LinuxCPU{
				RealtimeRuntime: ptr(int64(1)), RealtimePeriod: ptr(uint64(2)), Cpus: "0-1", Mems: "0", Idle: ptr(int64(1)), Burst: ptr(uint64(3)),
			}},
			want: cgroups.Resources{
				CpuRtRuntime: 1, CpuRtPeriod: 2, CpusetCpus: "0-1", CpusetMems: "0", CPUIdle: ptr(int64(1)), CpuBurst: ptr(uint64(3)),
			},
		},
		{
			name: "block io", version: 1,
			in: specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
				Weight: ptr(uint16(10)), LeafWeight: ptr(uint16(1000)),
				WeightDevice: []specs.LinuxWeightDevice{{
					LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 8, Minor: 1}, Weight: ptr(uint16(20)), LeafWeight: ptr(uint16(30)),
				}},
				ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{{
					LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 8}, Rate: 7,
				}},
			}},
			want: cgroups.Resources{
				BlkioWeight: 10, BlkioLeafWeight: 1000, BlkioWeightDevice: []*cgroups.WeightDevice{cgroups.NewWeightDevice(8, 1, 20, 30)},
				BlkioThrottleWriteIOPSDevice: []*cgroups.ThrottleDevice{cgroups.NewThrottleDevice(8, 0, 7)},
			},
		},
		{
			name: "network, rdma and hugepages", version: 1,
			in: specs.LinuxResources{
				Network:        &specs.LinuxNetwork{ClassID: ptr(uint32(9)), Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 2}}},
				Rdma:           map[string]specs.LinuxRdma{"a": {HcaObjects: ptr(uint32(4))}},
				HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "1GB", Limit: 5}},
			},
			want: cgroups.Resources{
				NetClsClassid: 9, NetPrioIfpriomap: []*cgroups.IfPrioMap{{Interface: "lo", Priority: 2}},
				Rdma: map[string]cgroups.LinuxRdma{"a": {HcaObjects: ptr(uint32(4))}}, HugetlbLimit: []*cgroups.HugepageLimit{{Pagesize: "1GB", Limit: 5}},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, warnings, err := convert(&tt.in, tt.version)
			if err != nil || warnings != nil {
				t.Fatalf("error %v, warnings %q", err, warnings)
			}
			tt.want.SkipDevices = true
			if !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", *got, tt.want)
			}
			for _, p := range split(got) {
				merge(&tt.want, p.resources)
			}
			if !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("the parts differ from the whole:\n%+v\n%+v", tt.want, *got)
			}
		})
	}
}

// merge copies what is set in one part over what is in to.
func merge(to *cgroups.Resources, part cgroups.Resources) {
	dst, src := reflect.ValueOf(to).Elem(), reflect.ValueOf(part)
	for i := range src.NumField() {
		if !src.Field(i).IsZero() {
			dst.Field(i).Set(src.Field(i))
		}
	}
}

// TestEveryResourceHasAPart fails when a field is converted and then forgotten by split.
func TestEveryResourceHasAPart(t *testing.T) {
	elsewhere := map[string]bool{
		"Devices": true, "Freezer": true, "SkipDevices": true, "SkipFreezeOnSet": true, "Unified": true,
		"MemoryCheckBeforeUpdate": true, "CpuWeight": true, // only together with others
	}
	all := reflect.TypeFor[cgroups.Resources]()
	for i := range all.NumField() {
		name := all.Field(i).Name
		if elsewhere[name] {
			continue
		}
		var r cgroups.Resources
		fill(reflect.ValueOf(&r).Elem().Field(i))
		parts := split(&r)
		if len(parts) != 1 || reflect.ValueOf(parts[0].resources).Field(i).IsZero() {
			t.Errorf("%s is in no part", name)
		}
	}
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64, reflect.Uint32, reflect.Uint16:
		v.SetUint(1)
	case reflect.String:
		v.SetString("1")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x"), reflect.Zero(v.Type().Elem()))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		panic(v.Kind())
	}
}

func TestConvertRefuses(t *testing.T) {
	memory := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	io := func(b specs.LinuxBlockIO) specs.LinuxResources { return specs.LinuxResources{BlockIO: &b} }
	tests := []struct {
		name    string
		version int
		in      specs.LinuxResources
		err     string
	}{
		{"swappiness", 2, memory(specs.LinuxMemory{Swappiness: ptr(uint64(1))}), "linux.resources.memory.swappiness: cgroup v2 has no such setting"},
		{
			"no OOM killer", 2, memory(specs.LinuxMemory{DisableOOMKiller: ptr(true)}),
			"linux.resources.memory.disableOOMKiller: cgroup v2 has no such setting",
		},
		{"realtime", 2, cpu(specs.LinuxCPU{RealtimeRuntime: ptr(int64(1))}), "linux.resources.cpu.realtimeRuntime: cgroup v2 has no such setting"},
		{"realtime period", 2, cpu(specs.LinuxCPU{RealtimePeriod: ptr(uint64(1))}), "linux.resources.cpu.realtimePeriod: cgroup v2 has no such setting"},
		{"leaf weight", 2, io(specs.LinuxBlockIO{LeafWeight: ptr(uint16(10))}), "linux.resources.blockIO.leafWeight: cgroup v2 has no such setting"},
		{"weight too small", 2, io(specs.LinuxBlockIO{Weight: ptr(uint16(9))}), "linux.resources.blockIO.weight: 9 is outside 10 to 1000"},
		{"weight too large", 1, io(specs.LinuxBlockIO{LeafWeight: ptr(uint16(1001))}), "linux.resources.blockIO.leafWeight: 1001 is outside 10 to 1000"},
		{
			"device weight", 1, io(specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{}, {Weight: ptr(uint16(1))}}}),
			"linux.resources.blockIO.weightDevice[1].weight: 1 is outside 10 to 1000",
		},
		{
			"page size", 1,
			specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2M/../B"}}},
			`linux.resources.hugepageLimits[0].pageSize: "2M/../B" is not a size such as 2MB`,
		},
		{
			"page size without number", 1,
			specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "MB"}}},
			`linux.resources.hugepageLimits[0].pageSize: "MB" is not a size such as 2MB`,
		},
		{
			"unified", 1,
			specs.LinuxResources{Unified: map[string]string{"memory.high": "1"}},
			"linux.resources.unified: this machine has cgroup v1, which has no unified hierarchy",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := convert(&tt.in, tt.version); text(err) != tt.err {
				t.Errorf("error %q, want %q", text(err), tt.err)
			}
		})
	}
}

func TestConvertWarnsOfWhatNoKernelHas(t *testing.T) {
	_, warnings, err := convert(&specs.LinuxResources{Memory: &specs.LinuxMemory{Kernel: ptr(int64(1)), KernelTCP: ptr(int64(1))}}, 1)
	want := []string{
		"linux.resources.memory.kernel: the kernel no longer has this limit; it is not applied",
		"linux.resources.memory.kernelTCP: this limit is deprecated; it is not applied",
	}
	if err != nil || !reflect.DeepEqual(warnings, want) {
		t.Errorf("warnings %q, %v; want %q", warnings, err, want)
	}
}
