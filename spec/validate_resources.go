package spec

import (
	"fmt"
	"math"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// validateResources checks linux.resources. What depends on the machine, such as which CPUs there are, shows when the cgroup is
// written. Values that engines write for "not set" are accepted: a weight, quota or period of 0, a swappiness of -1.
func validateResources(prefix string, r *specs.LinuxResources) error {
	for i, d := range r.Devices {
		if err := validateDeviceRule(fmt.Sprintf("%sdevices[%d]", prefix, i), d); err != nil {
			return err
		}
	}
	if r.Memory != nil {
		if err := validateMemory(prefix+"memory.", r.Memory); err != nil {
			return err
		}
	}
	if r.CPU != nil {
		if err := validateCPU(prefix+"cpu.", r.CPU); err != nil {
			return err
		}
	}
	if p := r.Pids; p != nil && p.Limit != nil && *p.Limit < -1 {
		return fmt.Errorf("%spids.limit: %d is neither -1 (no limit) nor a count", prefix, *p.Limit)
	}
	if r.BlockIO != nil {
		if err := validateBlockIO(prefix+"blockIO.", r.BlockIO); err != nil {
			return err
		}
	}
	if err := validateHugepages(prefix+"hugepageLimits", r.HugepageLimits); err != nil {
		return err
	}
	if r.Network != nil {
		for i, p := range r.Network.Priorities {
			if !validDeviceName(p.Name) {
				return fmt.Errorf("%snetwork.priorities[%d].name: %s is not the name of a network device", prefix, i, quoted(p.Name))
			}
		}
	}
	for _, device := range sortedKeys(r.Rdma) {
		if l := r.Rdma[device]; l.HcaHandles == nil && l.HcaObjects == nil {
			return fmt.Errorf("%srdma[%s]: needs hcaHandles or hcaObjects", prefix, quoted(device))
		}
	}
	return validateUnified(prefix+"unified", r.Unified)
}

func validateDeviceRule(field string, d specs.LinuxDeviceCgroup) error {
	if d.Type != "" {
		if err := requireOneOf(field+".type", d.Type, []string{"a", "b", "c"}); err != nil {
			return err
		}
	}
	if strings.Trim(d.Access, "rwm") != "" {
		return fmt.Errorf("%s.access: %s is not made of r, w and m", field, quoted(d.Access))
	}
	// -1 is how engines that pass the cgroup's own notation on write "all".
	if d.Major != nil && (*d.Major < -1 || *d.Major > maxMajor) {
		return fmt.Errorf("%s.major: %d is not from 0 to %d", field, *d.Major, maxMajor)
	}
	if d.Minor != nil && (*d.Minor < -1 || *d.Minor > maxMinor) {
		return fmt.Errorf("%s.minor: %d is not from 0 to %d", field, *d.Minor, maxMinor)
	}
	return nil
}

func validateMemory(prefix string, m *specs.LinuxMemory) error {
	for _, limit := range []struct {
		name  string
		value *int64
	}{
		{"limit", m.Limit},
		{"reservation", m.Reservation},
		{"swap", m.Swap},
		{"kernel", m.Kernel},
		{"kernelTCP", m.KernelTCP},
	} {
		if limit.value != nil && *limit.value < -1 {
			return fmt.Errorf("%s%s: %d is neither -1 (no limit) nor a number of bytes", prefix, limit.name, *limit.value)
		}
	}
	if m.Limit != nil && m.Swap != nil && *m.Swap > 0 && *m.Limit > *m.Swap {
		return fmt.Errorf("%sswap: %d, the limit of memory and swap together, is below memory.limit, %d", prefix, *m.Swap, *m.Limit)
	}
	if s := m.Swappiness; s != nil && *s > 100 && *s != math.MaxUint64 {
		return fmt.Errorf("%sswappiness: %d is not from 0 to 100", prefix, *s)
	}
	return nil
}

func validateCPU(prefix string, c *specs.LinuxCPU) error {
	if c.Burst != nil && c.Quota != nil && *c.Quota > 0 && *c.Burst > uint64(*c.Quota) {
		return fmt.Errorf("%sburst: %d is over the quota, %d", prefix, *c.Burst, *c.Quota)
	}
	if c.Idle != nil && *c.Idle != 0 && *c.Idle != 1 {
		return fmt.Errorf("%sidle: %d is neither 0 nor 1", prefix, *c.Idle)
	}
	if c.RealtimeRuntime != nil && c.RealtimePeriod != nil && *c.RealtimePeriod > 0 && *c.RealtimeRuntime > 0 &&
		uint64(*c.RealtimeRuntime) > *c.RealtimePeriod {
		return fmt.Errorf("%srealtimeRuntime: %d is over realtimePeriod, %d", prefix, *c.RealtimeRuntime, *c.RealtimePeriod)
	}
	if err := validateList(prefix+"cpus", c.Cpus); err != nil {
		return err
	}
	return validateList(prefix+"mems", c.Mems)
}

func validateBlockIO(prefix string, b *specs.LinuxBlockIO) error {
	if err := validateWeight(prefix+"weight", b.Weight); err != nil {
		return err
	}
	if err := validateWeight(prefix+"leafWeight", b.LeafWeight); err != nil {
		return err
	}
	for i, d := range b.WeightDevice {
		field := fmt.Sprintf("%sweightDevice[%d]", prefix, i)
		if d.Weight == nil && d.LeafWeight == nil {
			return fmt.Errorf("%s: needs weight or leafWeight", field)
		}
		if err := validateWeight(field+".weight", d.Weight); err != nil {
			return err
		}
		if err := validateWeight(field+".leafWeight", d.LeafWeight); err != nil {
			return err
		}
		if err := validateNumbers(field, d.LinuxBlockIODevice); err != nil {
			return err
		}
	}
	for _, list := range []struct {
		name    string
		devices []specs.LinuxThrottleDevice
	}{
		{"throttleReadBpsDevice", b.ThrottleReadBpsDevice},
		{"throttleWriteBpsDevice", b.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", b.ThrottleReadIOPSDevice},
		{"throttleWriteIOPSDevice", b.ThrottleWriteIOPSDevice},
	} {
		for i, d := range list.devices {
			if err := validateNumbers(fmt.Sprintf("%s%s[%d]", prefix, list.name, i), d.LinuxBlockIODevice); err != nil {
				return err
			}
		}
	}
	return nil
}

func validateNumbers(field string, d specs.LinuxBlockIODevice) error {
	if d.Major < 0 || d.Major > maxMajor {
		return fmt.Errorf("%s.major: %d is not from 0 to %d", field, d.Major, maxMajor)
	}
	if d.Minor < 0 || d.Minor > maxMinor {
		return fmt.Errorf("%s.minor: %d is not from 0 to %d", field, d.Minor, maxMinor)
	}
	return nil
}

// validateWeight: 10 to 1000 are the weights of the kernel's blkio controller, which those of v2 are computed from.
func validateWeight(field string, weight *uint16) error {
	if weight != nil && *weight != 0 && (*weight < 10 || *weight > 1000) {
		return fmt.Errorf("%s: %d is not from 10 to 1000", field, *weight)
	}
	return nil
}

func validateHugepages(field string, limits []specs.LinuxHugepageLimit) error {
	for i, l := range limits {
		if !validPageSize(l.Pagesize) {
			return fmt.Errorf("%s[%d].pageSize: %s is no size such as 64KB, 2MB or 1GB", field, i, quoted(l.Pagesize))
		}
	}
	return nil
}

// validPageSize: a number, maybe one of the prefixes that the kernel knows, and B.
func validPageSize(size string) bool {
	number, ok := strings.CutSuffix(size, "B")
	if n := len(number); ok && n > 0 && strings.IndexByte("KMGTP", number[n-1]) >= 0 {
		number = number[:n-1]
	}
	return ok && number != "" && number[0] != '0' && strings.Trim(number, "0123456789") == ""
}

// validateUnified: each key is a file of the container's cgroup, such as memory.high, and of no other directory.
func validateUnified(field string, files map[string]string) error {
	for _, file := range sortedKeys(files) {
		if file == "" || strings.Contains(file, "/") || !strings.Contains(file, ".") || strings.Trim(file, ".") == "" {
			return fmt.Errorf("%s[%s]: not the name of a cgroup file", field, quoted(file))
		}
	}
	return nil
}
