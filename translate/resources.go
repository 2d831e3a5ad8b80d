package translate

import specs "github.com/opencontainers/runtime-spec/specs-go"

const cpuPeriod = 100000 // microseconds, the kernel's default

// resources are the limits. There is no cpuset: the seed's 0..n-1 put all sandboxes on the same processors (SEED.md 6.2, row 28); the
// quota alone gives the same amount of time.
func (c *Config) resources(o Options) *specs.LinuxResources {
	period := uint64(cpuPeriod)
	quota := cpuPeriod * c.CPUCores * c.CPULimitPercent / 100
	memory := c.MemoryLimitMB << 20
	// Swap is memory plus swap (runtime-spec, config-linux.md, "Memory"): the same number is no swap at all.
	swap := memory + c.MemorySwapMB<<20
	pids := c.PidsLimit
	r := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		CPU:     &specs.LinuxCPU{Quota: &quota, Period: &period},
		Memory:  &specs.LinuxMemory{Limit: &memory, Swap: &swap},
		Pids:    &specs.LinuxPids{Limit: &pids},
	}
	if o.CgroupV2 {
		r.Unified = map[string]string{"memory.oom.group": "1"}
	}
	return r
}
