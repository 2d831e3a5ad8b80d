package cgroup

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	systemdDbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/systemd"
)

// limitProperties are the limits as properties of a systemd unit (systemd.resource-control(5)), so that systemd shows them and keeps
// them when it is reloaded. Limits that systemd has no property for are only in the cgroup's files, where all limits are written too.
func limitProperties(r *cgroups.Resources) ([]systemdDbus.Property, error) {
	var props []systemdDbus.Property
	add := func(name string, value any) { props = append(props, property(name, value)) }
	if r.Memory != 0 {
		add("MemoryMax", infinite(r.Memory))
	}
	if r.MemoryReservation != 0 {
		add("MemoryLow", infinite(r.MemoryReservation))
	}
	swap, err := cgroups.ConvertMemorySwapToCgroupV2Value(r.MemorySwap, r.Memory)
	if err != nil {
		return nil, fmt.Errorf("linux.resources.memory.swap: %w", err)
	}
	if r.MemorySwap != 0 || swap != 0 {
		add("MemorySwapMax", infinite(swap))
	}
	// CPUWeight=idle, which D-Bus has as 0, is new in systemd 252; there is no property to take it back.
	if r.CpuWeight != 0 {
		add("CPUWeight", r.CpuWeight)
	}
	if r.CpuQuota != 0 || r.CpuPeriod != 0 {
		props = append(props, quotaProperties(r.CpuQuota, r.CpuPeriod)...)
	}
	if r.PidsLimit != nil {
		add("TasksMax", tasks(*r.PidsLimit))
	}
	cpus, err := cpusetProperties("linux.resources.cpu.cpus", r.CpusetCpus, "linux.resources.cpu.mems", r.CpusetMems)
	if err != nil {
		return nil, err
	}
	props = append(props, cpus...)
	for _, file := range slices.Sorted(maps.Keys(r.Unified)) {
		more, err := unifiedProperties(file, strings.TrimSpace(r.Unified[file]))
		if err != nil {
			return nil, fmt.Errorf("linux.resources.unified[%q]: %w", file, err)
		}
		props = append(props, more...)
	}
	return props, nil
}

// infinite is a limit as D-Bus has it: negative means none.
func infinite(n int64) uint64 {
	if n < 0 {
		return math.MaxUint64
	}
	return uint64(n)
}

// tasks is pids.limit: 0 is the smallest there is.
func tasks(limit int64) uint64 {
	if limit == 0 {
		return 1
	}
	return infinite(limit)
}

// defaultPeriod is the kernel's, in microseconds (cgroup-v2.rst, "cpu.max").
const defaultPeriod = 100_000

// quotaProperties are cpu.max as systemd has it: time per second, in whole percents when it writes them down, so up to the next.
func quotaProperties(quota int64, period uint64) (props []systemdDbus.Property) {
	if period != 0 {
		props = append(props, property("CPUQuotaPeriodUSec", period))
	} else {
		period = defaultPeriod
	}
	perSecond := uint64(math.MaxUint64)
	if quota > 0 {
		const percent = 10_000
		perSecond = (uint64(quota)*1_000_000/period + percent - 1) / percent * percent
	}
	return append(props, property("CPUQuotaPerSecUSec", perSecond))
}

func cpusetProperties(cpusField, cpus, memsField, mems string) (props []systemdDbus.Property, err error) {
	for _, set := range []struct{ field, text, name string }{{cpusField, cpus, "AllowedCPUs"}, {memsField, mems, "AllowedMemoryNodes"}} {
		if set.text == "" {
			continue
		}
		bits, err := systemd.RangeToBits(set.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", set.field, set.text, err)
		}
		props = append(props, property(set.name, bits))
	}
	return props, nil
}

// unifiedProperties is the property behind a file of cgroup v2, if there is one.
func unifiedProperties(file, value string) ([]systemdDbus.Property, error) {
	numbers := map[string]string{
		"memory.min": "MemoryMin", "memory.low": "MemoryLow", "memory.high": "MemoryHigh", "memory.max": "MemoryMax",
		"memory.swap.max": "MemorySwapMax", "pids.max": "TasksMax", "cpu.weight": "CPUWeight",
	}
	switch {
	case numbers[file] != "":
		n, err := maxOrNumber(value)
		if err != nil {
			return nil, err
		}
		return []systemdDbus.Property{property(numbers[file], infinite(n))}, nil
	case file == "cpu.max":
		quota, rest, _ := strings.Cut(value, " ")
		n, err := maxOrNumber(quota)
		if err != nil {
			return nil, err
		}
		period := uint64(defaultPeriod)
		if rest != "" {
			if period, err = strconv.ParseUint(strings.TrimSpace(rest), 10, 64); err != nil || period == 0 {
				return nil, fmt.Errorf("%q is not a period", rest)
			}
		}
		return quotaProperties(n, period), nil
	case file == "cpuset.cpus":
		return cpusetProperties(file, value, "", "")
	case file == "cpuset.mems":
		return cpusetProperties("", "", file, value)
	}
	return nil, nil
}

// maxOrNumber is -1 for max.
func maxOrNumber(text string) (int64, error) {
	if text == "max" {
		return -1, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is neither a number nor max", text)
	}
	return n, nil
}
