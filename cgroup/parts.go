package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// part is the share of the resources that one section of linux.resources asks for. They are applied one by one, so that an error
// can be traced to its section; sections that ask for nothing cost nothing.
type part struct {
	asked      bool
	field      string
	controller [2]string // its name on v1 and v2
	resources  cgroups.Resources
}

// split sorts resources into their sections, without the device rules.
func split(r *cgroups.Resources) []part {
	all := []part{{
		r.PidsLimit != nil, "linux.resources.pids",
		[2]string{"pids", "pids"},
		cgroups.Resources{PidsLimit: r.PidsLimit},
	}, {
		r.Memory != 0 || r.MemoryReservation != 0 || r.MemorySwap != 0 || r.MemorySwappiness != nil || r.OomKillDisable,
		"linux.resources.memory",
		[2]string{"memory", "memory"},
		cgroups.Resources{
			Memory: r.Memory, MemoryReservation: r.MemoryReservation, MemorySwap: r.MemorySwap,
			MemorySwappiness: r.MemorySwappiness, OomKillDisable: r.OomKillDisable, MemoryCheckBeforeUpdate: r.MemoryCheckBeforeUpdate,
		},
	}, {
		r.CpuShares != 0 || r.CpuQuota != 0 || r.CpuPeriod != 0 || r.CpuBurst != nil || r.CPUIdle != nil || r.CpuRtRuntime != 0 ||
			r.CpuRtPeriod != 0,
		"linux.resources.cpu",
		[2]string{"cpu", "cpu"},
		cgroups.Resources{
			CpuShares: r.CpuShares, CpuWeight: r.CpuWeight, CpuQuota: r.CpuQuota, CpuPeriod: r.CpuPeriod, CpuBurst: r.CpuBurst,
			CPUIdle: r.CPUIdle, CpuRtRuntime: r.CpuRtRuntime, CpuRtPeriod: r.CpuRtPeriod,
		},
	}, {
		r.CpusetCpus != "" || r.CpusetMems != "", "linux.resources.cpu",
		[2]string{"cpuset", "cpuset"},
		cgroups.Resources{CpusetCpus: r.CpusetCpus, CpusetMems: r.CpusetMems},
	}, {
		len(r.HugetlbLimit) > 0, "linux.resources.hugepageLimits",
		[2]string{"hugetlb", "hugetlb"},
		cgroups.Resources{HugetlbLimit: r.HugetlbLimit},
	}, {
		len(r.Rdma) > 0, "linux.resources.rdma",
		[2]string{"rdma", "rdma"},
		cgroups.Resources{Rdma: r.Rdma},
	}, {
		r.NetClsClassid != 0, "linux.resources.network.classID",
		[2]string{"net_cls", ""},
		cgroups.Resources{NetClsClassid: r.NetClsClassid},
	}, {
		len(r.NetPrioIfpriomap) > 0, "linux.resources.network.priorities",
		[2]string{"net_prio", ""},
		cgroups.Resources{NetPrioIfpriomap: r.NetPrioIfpriomap},
	}}
	all = append(all, splitBlockIO(r)...)
	all = append(all, splitUnified(r.Unified)...)
	parts := all[:0]
	for _, p := range all {
		if p.asked {
			p.resources.SkipDevices = true
			parts = append(parts, p)
		}
	}
	return parts
}

func splitBlockIO(r *cgroups.Resources) []part {
	blkio := [2]string{"blkio", "io"}
	return []part{{
		r.BlkioWeight != 0 || r.BlkioLeafWeight != 0 || len(r.BlkioWeightDevice) > 0, "linux.resources.blockIO", blkio,
		cgroups.Resources{BlkioWeight: r.BlkioWeight, BlkioLeafWeight: r.BlkioLeafWeight, BlkioWeightDevice: r.BlkioWeightDevice},
	}, {
		len(r.BlkioThrottleReadBpsDevice) > 0, "linux.resources.blockIO.throttleReadBpsDevice", blkio,
		cgroups.Resources{BlkioThrottleReadBpsDevice: r.BlkioThrottleReadBpsDevice},
	}, {
		len(r.BlkioThrottleWriteBpsDevice) > 0, "linux.resources.blockIO.throttleWriteBpsDevice", blkio,
		cgroups.Resources{BlkioThrottleWriteBpsDevice: r.BlkioThrottleWriteBpsDevice},
	}, {
		len(r.BlkioThrottleReadIOPSDevice) > 0, "linux.resources.blockIO.throttleReadIOPSDevice", blkio,
		cgroups.Resources{BlkioThrottleReadIOPSDevice: r.BlkioThrottleReadIOPSDevice},
	}, {
		len(r.BlkioThrottleWriteIOPSDevice) > 0, "linux.resources.blockIO.throttleWriteIOPSDevice", blkio,
		cgroups.Resources{BlkioThrottleWriteIOPSDevice: r.BlkioThrottleWriteIOPSDevice},
	}}
}

// splitUnified gives every file a part of its own, in the order of their names.
func splitUnified(files map[string]string) (parts []part) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		controller, _, _ := strings.Cut(name, ".")
		parts = append(parts, part{
			asked: true, field: fmt.Sprintf("linux.resources.unified[%q]", name), controller: [2]string{"", controller},
			resources: cgroups.Resources{Unified: map[string]string{name: files[name]}},
		})
	}
	return parts
}

// fields are the properties behind the files of both cgroup versions, below the field of their section. Files that are not
// listed belong to the section as a whole.
var fields = map[string]string{
	"pids.max": ".limit", "memory.max": ".limit", "memory.swap.max": ".swap", "memory.low": ".reservation",
	"memory.limit_in_bytes": ".limit", "memory.memsw.limit_in_bytes": ".swap", "memory.soft_limit_in_bytes": ".reservation",
	"memory.oom_control": ".disableOOMKiller", "memory.swappiness": ".swappiness",
	"io.weight": ".weight", "io.bfq.weight": ".weight", "blkio.weight": ".weight", "blkio.bfq.weight": ".weight",
	"blkio.leaf_weight": ".leafWeight", "blkio.weight_device": ".weightDevice", "blkio.bfq.weight_device": ".weightDevice",
	"blkio.leaf_weight_device": ".weightDevice", "cpu.weight": ".shares", "cpu.shares": ".shares", "cpu.max": ".quota",
	"cpu.cfs_quota_us": ".quota", "cpu.cfs_period_us": ".period", "cpu.max.burst": ".burst", "cpu.cfs_burst_us": ".burst",
	"cpuset.cpus": ".cpus", "cpuset.mems": ".mems", "cpu.idle": ".idle", "cpu.rt_runtime_us": ".realtimeRuntime", "cpu.rt_period_us": ".realtimePeriod",
}

// explain turns the error of a part into one that names the JSON field, and the remedy where there is one.
func (c *Cgroup) explain(p part, err error) error {
	var pe *os.PathError
	if !errors.As(err, &pe) {
		// opencontainers/cgroups has its own words for a unified file without controller, and no error behind them.
		if missing := c.missingController(p); missing != "" && strings.HasSuffix(err.Error(), "not available") {
			return fmt.Errorf("%s: %s", p.field, missing)
		}
		return fmt.Errorf("%s: %w", p.field, err)
	}
	file := filepath.Base(pe.Path)
	field := p.field
	if !strings.Contains(field, "unified[") {
		field += fields[file]
	}
	if errors.Is(pe.Err, unix.ENOENT) || errors.Is(pe.Err, unix.EACCES) || errors.Is(pe.Err, unix.EPERM) {
		if missing := c.missingController(p); missing != "" {
			return fmt.Errorf("%s: %s", field, missing)
		}
	}
	if errors.Is(pe.Err, unix.ENOENT) {
		return fmt.Errorf("%s: this kernel has no %s", field, file)
	}
	return fmt.Errorf("%s: writing %s: %w", field, file, pe.Err)
}

// missingController says why the cgroup does not have the controller of p; "" when it does.
func (c *Cgroup) missingController(p part) string {
	if c.saved.Version == 1 {
		if name := p.controller[0]; c.saved.Paths[name] == "" && c.saved.Rootless {
			return c.unprivileged()
		} else if c.saved.Paths[name] == "" {
			return fmt.Sprintf("the %s controller of cgroup v1 is not mounted", name)
		}
		return ""
	}
	name, dir := p.controller[1], c.saved.Paths[""]
	if name == "cgroup" || hasController(dir, "cgroup.controllers", name) {
		return ""
	}
	if !hasController(mountpoint, "cgroup.controllers", name) {
		return fmt.Sprintf("the cgroup v2 hierarchy has no %s controller; it is not in the kernel, is disabled, or is used by cgroup v1", name)
	}
	if c.saved.Rootless {
		return fmt.Sprintf("the %s controller is not delegated to users here; as root, write the lines \"[Service]\" and \"Delegate=cpu cpuset io"+
			" memory pids\" to /etc/systemd/system/user@.service.d/delegate.conf, run `systemctl daemon-reload`, and log in again", name)
	}
	// The first ancestor that does not hand it down is the one to change.
	above, lacking := mountpoint, mountpoint
	for _, element := range strings.Split(strings.TrimPrefix(dir, mountpoint+"/"), "/") {
		if lacking = above; !hasController(above, "cgroup.subtree_control", name) {
			break
		}
		above += "/" + element
	}
	return fmt.Sprintf("the %s controller is not delegated to %s; write +%s to %s/cgroup.subtree_control, which must hold no processes",
		name, dir, name, lacking)
}

func hasController(dir, file, name string) bool {
	text, err := cgroups.ReadFile(dir, file)
	return err == nil && slices.Contains(strings.Fields(text), name)
}

// blame finds the part whose file an error names, when all were applied at once.
func blame(parts []part, err error) (part, bool) {
	for _, p := range parts {
		for _, controller := range p.controller {
			if controller != "" && strings.Contains(err.Error(), "/"+controller+".") {
				return p, true
			}
		}
	}
	return part{field: "linux.resources"}, false
}
