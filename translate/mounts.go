package translate

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// systemMounts are the file systems of the kernel that programs expect (runtime-spec, config-linux.md, "Default Filesystems"). Every
// tmpfs has a size: their pages count as the sandbox's memory, and one that fills up ends in ENOSPC instead of the out-of-memory killer.
func (c *Config) systemMounts(ids idMaps) []specs.Mount {
	pts := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
	if ids.hasTTYGroup() {
		pts = append(pts, fmt.Sprintf("gid=%d", ttyGroup))
	}
	size := "size=" + c.tmpfsSize()
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: pts},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", size}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
		{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777", size}},
	}
}

// tmpfsSize is that of each tmpfs, in the form of tmpfs(5): the kernel's own default is half of the RAM.
func (c *Config) tmpfsSize() string {
	if c.TmpfsSizeMB > 0 {
		return fmt.Sprintf("%dm", c.TmpfsSizeMB)
	}
	return fmt.Sprintf("%dk", c.MemoryLimitMB*1024/2)
}

// bindMount shows source read-only at target; kind is "bind" for a single file or "rbind".
func bindMount(source, target, kind string) specs.Mount {
	options := []string{kind, "ro", "nosuid", "nodev"}
	if kind == "rbind" {
		options = []string{kind, "rro", "rnosuid", "rnodev"}
	}
	return specs.Mount{Destination: target, Type: "bind", Source: source, Options: options}
}

// maskedPaths are entries of procfs and sysfs that tell about the host or drive its hardware; the engines' default list.
func maskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
}

// readonlyPaths can be read, but are switches of the host's kernel; the engines' default list.
func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}
