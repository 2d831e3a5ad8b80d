package libzbox

import "github.com/opencontainers/cgroups"

// Stats is the "data" of `zbox events --stats`. Its JSON names are those of runc, which go-runc and with it containerd decode.
type Stats struct {
	CPU     CPUStats                `json:"cpu"`
	CPUSet  cgroups.CPUSetStats     `json:"cpuset"` // has the names already
	Memory  MemoryStats             `json:"memory"`
	Pids    PidsStats               `json:"pids"`
	Blkio   BlkioStats              `json:"blkio"`
	Hugetlb map[string]HugetlbStats `json:"hugetlb"` // by page size, such as 2MB
	// IntelRdt is empty without linux.intelRdt.
	IntelRdt IntelRdtStats `json:"intel_rdt"`
	// NetworkInterfaces is null: zbox makes no interfaces of its own, as runc.
	NetworkInterfaces []struct{} `json:"network_interfaces"`
}

// CPUStats are times in nanoseconds since the container was created.
type CPUStats struct {
	Usage struct {
		Total        uint64   `json:"total,omitempty"`
		Percpu       []uint64 `json:"percpu,omitempty"`
		PercpuKernel []uint64 `json:"percpu_kernel,omitempty"`
		PercpuUser   []uint64 `json:"percpu_user,omitempty"`
		Kernel       uint64   `json:"kernel"`
		User         uint64   `json:"user"`
	} `json:"usage"`
	Throttling struct {
		Periods          uint64 `json:"periods,omitempty"`
		ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
		ThrottledTime    uint64 `json:"throttledTime,omitempty"`
	} `json:"throttling"`
	PSI *cgroups.PSIStats `json:"psi,omitempty"` // pressure, v2 only
}

// MemoryStats are sizes in bytes.
type MemoryStats struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     MemoryEntry       `json:"usage"`
	Swap      MemoryEntry       `json:"swap"` // memory and swap together, also on v2
	Kernel    MemoryEntry       `json:"kernel"`
	KernelTCP MemoryEntry       `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"` // memory.stat
	PSI       *cgroups.PSIStats `json:"psi,omitempty"`
}

// MemoryEntry is one kind of memory. No limit is the largest number of the kernel's.
type MemoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// PidsStats count tasks; a limit of 0 is none.
type PidsStats struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlkioStats are what block devices did, by device and operation.
type BlkioStats struct {
	IoServiceBytesRecursive []BlkioEntry      `json:"ioServiceBytesRecursive,omitempty"`
	IoServicedRecursive     []BlkioEntry      `json:"ioServicedRecursive,omitempty"`
	IoQueuedRecursive       []BlkioEntry      `json:"ioQueueRecursive,omitempty"`
	IoServiceTimeRecursive  []BlkioEntry      `json:"ioServiceTimeRecursive,omitempty"`
	IoWaitTimeRecursive     []BlkioEntry      `json:"ioWaitTimeRecursive,omitempty"`
	IoMergedRecursive       []BlkioEntry      `json:"ioMergedRecursive,omitempty"`
	IoTimeRecursive         []BlkioEntry      `json:"ioTimeRecursive,omitempty"`
	SectorsRecursive        []BlkioEntry      `json:"sectorsRecursive,omitempty"`
	PSI                     *cgroups.PSIStats `json:"psi,omitempty"`
}

// BlkioEntry is one counter of one device.
type BlkioEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// HugetlbStats are sizes in bytes; Failcnt counts allocations.
type HugetlbStats struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

func newStats(cg *cgroups.Stats) *Stats {
	s := &Stats{
		CPU:    newCPUStats(cg.CpuStats),
		CPUSet: cg.CPUSetStats,
		Memory: MemoryStats{
			Cache:     cg.MemoryStats.Cache,
			Usage:     newMemoryEntry(cg.MemoryStats.Usage),
			Swap:      newMemoryEntry(cg.MemoryStats.SwapUsage),
			Kernel:    newMemoryEntry(cg.MemoryStats.KernelUsage),
			KernelTCP: newMemoryEntry(cg.MemoryStats.KernelTCPUsage),
			Raw:       cg.MemoryStats.Stats,
			PSI:       cg.MemoryStats.PSI,
		},
		Pids:    PidsStats(cg.PidsStats),
		Blkio:   newBlkioStats(cg.BlkioStats),
		Hugetlb: map[string]HugetlbStats{},
	}
	for size, h := range cg.HugetlbStats {
		s.Hugetlb[size] = HugetlbStats{Usage: h.Usage, Max: h.MaxUsage, Failcnt: h.Failcnt}
	}
	return s
}

func newCPUStats(cg cgroups.CpuStats) (c CPUStats) {
	c.Usage.Total, c.Usage.Kernel, c.Usage.User = cg.CpuUsage.TotalUsage, cg.CpuUsage.UsageInKernelmode, cg.CpuUsage.UsageInUsermode
	c.Usage.Percpu = cg.CpuUsage.PercpuUsage
	c.Usage.PercpuKernel, c.Usage.PercpuUser = cg.CpuUsage.PercpuUsageInKernelmode, cg.CpuUsage.PercpuUsageInUsermode
	c.Throttling.Periods, c.Throttling.ThrottledPeriods = cg.ThrottlingData.Periods, cg.ThrottlingData.ThrottledPeriods
	c.Throttling.ThrottledTime = cg.ThrottlingData.ThrottledTime
	c.PSI = cg.PSI
	return c
}

func newMemoryEntry(m cgroups.MemoryData) MemoryEntry {
	return MemoryEntry{Limit: m.Limit, Usage: m.Usage, Max: m.MaxUsage, Failcnt: m.Failcnt}
}

func newBlkioStats(cg cgroups.BlkioStats) BlkioStats {
	return BlkioStats{
		IoServiceBytesRecursive: newBlkioEntries(cg.IoServiceBytesRecursive),
		IoServicedRecursive:     newBlkioEntries(cg.IoServicedRecursive),
		IoQueuedRecursive:       newBlkioEntries(cg.IoQueuedRecursive),
		IoServiceTimeRecursive:  newBlkioEntries(cg.IoServiceTimeRecursive),
		IoWaitTimeRecursive:     newBlkioEntries(cg.IoWaitTimeRecursive),
		IoMergedRecursive:       newBlkioEntries(cg.IoMergedRecursive),
		IoTimeRecursive:         newBlkioEntries(cg.IoTimeRecursive),
		SectorsRecursive:        newBlkioEntries(cg.SectorsRecursive),
		PSI:                     cg.PSI,
	}
}

func newBlkioEntries(cg []cgroups.BlkioStatEntry) (entries []BlkioEntry) {
	for _, e := range cg {
		entries = append(entries, BlkioEntry(e))
	}
	return entries
}
