package cgroup

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Update changes the limits that r sets and leaves the others as they are. Device rules, when there are any, replace all that were
// there.
func (c *Cgroup) Update(r *specs.LinuxResources) error {
	if c.manager == nil {
		return fmt.Errorf("updating cgroup: %w", ErrNone)
	}
	resources, warnings, err := convert(r, c.saved.Version)
	if err != nil {
		return err
	}
	c.warnings = append(c.warnings, warnings...)
	if r != nil && len(r.Devices) > 0 {
		resources.SkipDevices = false
		if resources.Devices, err = deviceRules(r); err != nil {
			return err
		}
	}
	c.complete(resources)
	if c.saved.Driver == Systemd && c.saved.Version == 2 {
		return c.updateUnified(resources)
	}
	if c.saved.Driver == Systemd {
		if err := reachable(c.saved.Rootless); err != nil {
			return err
		}
		return c.setScope(resources)
	}
	return c.limit(resources)
}

// complete fills in the other half of what v2 writes in pairs: swap is counted without memory there, and quota and period share a
// file.
func (c *Cgroup) complete(r *cgroups.Resources) {
	if c.saved.Version != 2 {
		return
	}
	dir := c.saved.Paths[""]
	if r.MemorySwap > 0 && r.Memory == 0 {
		r.Memory = current(dir, "memory.max", 0)
	}
	if r.CpuQuota != 0 && r.CpuPeriod == 0 {
		r.CpuPeriod = uint64(current(dir, "cpu.max", 1))
	} else if r.CpuPeriod != 0 && r.CpuQuota == 0 {
		r.CpuQuota = current(dir, "cpu.max", 0)
	}
}

// current reads a number from a cgroup v2 file: -1 for max, 0 when it cannot be read, which the limit then cannot be either.
func current(dir, file string, field int) int64 {
	text, err := cgroups.ReadFile(dir, file)
	if err != nil {
		return 0
	}
	words := strings.Fields(text)
	if field >= len(words) {
		return 0
	}
	if words[field] == "max" {
		return -1
	}
	n, err := strconv.ParseInt(words[field], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
