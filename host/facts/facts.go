// Package facts holds what host.Probe found out about the machine, as plain values, so that packages which must stay pure
// (compile) can take them as input.
package facts

// Facts describes the machine, once per run.
type Facts struct {
	EUID, EGID uint32
	// KernelMajor and KernelMinor are the version of uname(2).
	KernelMajor, KernelMinor int
	// InUserns: zbox itself runs in a user namespace that is not the initial one.
	InUserns bool
	// ForeignMounts: and the mounts that it sees belong to another one above.
	ForeignMounts bool
	// SetgroupsDenied: that namespace has given up setgroups(2), and with it all below (user_namespaces(7)).
	SetgroupsDenied bool
	// LastCap is the kernel's highest capability number; Caps is what zbox may hand on (its bounding set, a mask).
	LastCap uint32
	Caps    uint64
	// AppArmor and SELinux: the LSM is there and enabled.
	AppArmor, SELinux bool
	// Systemd: the machine was booted with systemd (sd_booted(3)).
	Systemd bool
	// Kcore: the kernel offers its memory as a core file, /proc/kcore.
	Kcore  bool
	Cgroup Cgroup
}

// Cgroup describes the cgroup hierarchies that are mounted.
type Cgroup struct {
	// Unified: /sys/fs/cgroup is cgroup2 (the "pure v2" set-up). Otherwise controllers are those of v1.
	Unified bool
	// Mounts are the mounted v1 hierarchies, in mount order.
	Mounts []CgroupMount
	// Self is zbox's own cgroup: controller or "name=systemd" to path, "" to the v2 path.
	Self map[string]string
}

// CgroupMount is one mounted cgroup v1 hierarchy.
type CgroupMount struct {
	Mountpoint  string
	Root        string   // the directory of the hierarchy that is mounted there
	Controllers []string // such as cpu, cpuacct, or name=systemd
}
