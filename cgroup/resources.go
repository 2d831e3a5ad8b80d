package cgroup

import (
	"fmt"
	"math"
	"strings"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// convert turns linux.resources, but for the devices, into those of opencontainers/cgroups for cgroup version 1 or 2. What that
// version cannot do is an error here, before anything is made; what nobody can do any more is a warning.
//
// The device rules are left alone (SkipDevices); see deviceRules. As in runc, 0 and "" mean "not set", except for pids.limit, where the kernel's smallest useful limit (1) stands for 0.
func convert(r *specs.LinuxResources, version int) (*cgroups.Resources, []string, error) {
	out := &cgroups.Resources{SkipDevices: true}
	if r == nil {
		return out, nil, nil
	}
	warnings := convertMemory(r.Memory, out)
	convertCPU(r.CPU, out)
	if r.Pids != nil {
		out.PidsLimit = r.Pids.Limit
	}
	convertNetwork(r.Network, out)
	for device, limit := range r.Rdma {
		if out.Rdma == nil {
			out.Rdma = map[string]cgroups.LinuxRdma{}
		}
		out.Rdma[device] = cgroups.LinuxRdma{HcaHandles: limit.HcaHandles, HcaObjects: limit.HcaObjects}
	}
	if len(r.Unified) > 0 {
		out.Unified = r.Unified
	}
	if err := convertBlockIO(r.BlockIO, out); err != nil {
		return nil, nil, err
	}
	if err := convertHugepages(r.HugepageLimits, out); err != nil {
		return nil, nil, err
	}
	if version == 2 {
		return out, warnings, convertToUnified(out)
	}
	return out, warnings, refuseOnLegacy(out)
}

func convertMemory(m *specs.LinuxMemory, out *cgroups.Resources) (warnings []string) {
	if m == nil {
		return nil
	}
	out.Memory, out.MemoryReservation, out.MemorySwap = value(m.Limit), value(m.Reservation), value(m.Swap)
	out.OomKillDisable, out.MemoryCheckBeforeUpdate = value(m.DisableOOMKiller), value(m.CheckBeforeUpdate)
	// -1, as engines write it, comes as the largest number.
	if m.Swappiness != nil && *m.Swappiness != math.MaxUint64 {
		out.MemorySwappiness = m.Swappiness
	}
	// Linux 5.16 dropped the limits of kernel memory, 5.11 the choice of hierarchy.
	if value(m.Kernel) > 0 {
		warnings = append(warnings, "linux.resources.memory.kernel: the kernel no longer has this limit; it is not applied")
	}
	if value(m.KernelTCP) > 0 {
		warnings = append(warnings, "linux.resources.memory.kernelTCP: this limit is deprecated; it is not applied")
	}
	return warnings
}

func convertCPU(cpu *specs.LinuxCPU, out *cgroups.Resources) {
	if cpu == nil {
		return
	}
	out.CpuShares, out.CpuQuota, out.CpuPeriod, out.CpuBurst = value(cpu.Shares), value(cpu.Quota), value(cpu.Period), cpu.Burst
	out.CpuRtRuntime, out.CpuRtPeriod = value(cpu.RealtimeRuntime), value(cpu.RealtimePeriod)
	out.CpusetCpus, out.CpusetMems, out.CPUIdle = cpu.Cpus, cpu.Mems, cpu.Idle
}

func convertNetwork(n *specs.LinuxNetwork, out *cgroups.Resources) {
	if n == nil {
		return
	}
	out.NetClsClassid = value(n.ClassID)
	for _, p := range n.Priorities {
		out.NetPrioIfpriomap = append(out.NetPrioIfpriomap, &cgroups.IfPrioMap{Interface: p.Name, Priority: int64(p.Priority)})
	}
}

func convertBlockIO(b *specs.LinuxBlockIO, out *cgroups.Resources) error {
	if b == nil {
		return nil
	}
	out.BlkioWeight, out.BlkioLeafWeight = value(b.Weight), value(b.LeafWeight)
	if err := checkWeight("weight", out.BlkioWeight); err != nil {
		return err
	}
	if err := checkWeight("leafWeight", out.BlkioLeafWeight); err != nil {
		return err
	}
	for i, d := range b.WeightDevice {
		wd := cgroups.NewWeightDevice(d.Major, d.Minor, value(d.Weight), value(d.LeafWeight))
		if err := checkWeight(fmt.Sprintf("weightDevice[%d].weight", i), wd.Weight); err != nil {
			return err
		}
		out.BlkioWeightDevice = append(out.BlkioWeightDevice, wd)
	}
	out.BlkioThrottleReadBpsDevice = throttles(b.ThrottleReadBpsDevice)
	out.BlkioThrottleWriteBpsDevice = throttles(b.ThrottleWriteBpsDevice)
	out.BlkioThrottleReadIOPSDevice = throttles(b.ThrottleReadIOPSDevice)
	out.BlkioThrottleWriteIOPSDevice = throttles(b.ThrottleWriteIOPSDevice)
	return nil
}

// checkWeight keeps to the range of the runtime spec (config-linux.md, "Block IO"); below it, the conversion to io.weight would
// wrap around.
func checkWeight(field string, weight uint16) error {
	if weight != 0 && (weight < 10 || weight > 1000) {
		return fmt.Errorf("linux.resources.blockIO.%s: %d is outside 10 to 1000", field, weight)
	}
	return nil
}

func throttles(in []specs.LinuxThrottleDevice) (out []*cgroups.ThrottleDevice) {
	for _, d := range in {
		out = append(out, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
	}
	return out
}

func convertHugepages(limits []specs.LinuxHugepageLimit, out *cgroups.Resources) error {
	for i, l := range limits {
		if !isPageSize(l.Pagesize) {
			return fmt.Errorf("linux.resources.hugepageLimits[%d].pageSize: %q is not a size such as 2MB", i, l.Pagesize)
		}
		out.HugetlbLimit = append(out.HugetlbLimit, &cgroups.HugepageLimit{Pagesize: l.Pagesize, Limit: l.Limit})
	}
	return nil
}

// isPageSize: digits, then KB, MB or GB (config-linux.md, "Huge page limits"). The text becomes part of a file name.
func isPageSize(text string) bool {
	unit := strings.TrimLeft(text, "0123456789")
	return len(unit) < len(text) && (unit == "KB" || unit == "MB" || unit == "GB")
}

// convertToUnified refuses what cgroup v2 has no file for, and converts what is counted differently.
func convertToUnified(r *cgroups.Resources) error {
	missing := []struct {
		asked bool
		field string
	}{
		{r.MemorySwappiness != nil, "memory.swappiness"},
		{r.OomKillDisable, "memory.disableOOMKiller"},
		{r.CpuRtRuntime != 0, "cpu.realtimeRuntime"},
		{r.CpuRtPeriod != 0, "cpu.realtimePeriod"},
		{r.BlkioLeafWeight != 0, "blockIO.leafWeight"},
		{anyLeafWeight(r.BlkioWeightDevice), "blockIO.weightDevice.leafWeight"},
		{r.NetClsClassid != 0, "network.classID"},
		{len(r.NetPrioIfpriomap) > 0, "network.priorities"},
	}
	for _, m := range missing {
		if m.asked {
			return fmt.Errorf("linux.resources.%s: cgroup v2 has no such setting", m.field)
		}
	}
	r.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(r.CpuShares)
	return nil
}

func anyLeafWeight(devices []*cgroups.WeightDevice) bool {
	for _, d := range devices {
		if d.LeafWeight != 0 {
			return true
		}
	}
	return false
}

func refuseOnLegacy(r *cgroups.Resources) error {
	if len(r.Unified) > 0 {
		return fmt.Errorf("linux.resources.unified: this machine has cgroup v1, which has no unified hierarchy")
	}
	return nil
}

// refuseLimits: without a cgroup no limit can be applied. Device rules are not counted, as every engine sends them.
func refuseLimits(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	without := *r
	without.Unified = nil
	out, _, err := convert(&without, 1)
	if err != nil {
		return err
	}
	out.Unified = r.Unified
	if parts := split(out); len(parts) > 0 {
		return fmt.Errorf("%s: the container has no cgroup (cgroup manager disabled)", parts[0].field)
	}
	return nil
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
