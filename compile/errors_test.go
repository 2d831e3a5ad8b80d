package compile

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A change makes a request that compiles into one that does not.
type change func(*Request)

func spec(f func(*specs.Spec)) change       { return func(r *Request) { f(r.Spec) } }
func linux(f func(*specs.Linux)) change     { return func(r *Request) { f(r.Spec.Linux) } }
func process(f func(*specs.Process)) change { return func(r *Request) { f(r.Spec.Process) } }
func mounts(m ...specs.Mount) change        { return spec(func(s *specs.Spec) { s.Mounts = m }) }
func bindWith(options ...string) change     { return mounts(bindMount(options...)) }
func sysctl(key string) change {
	return linux(func(l *specs.Linux) { l.Sysctl = map[string]string{key: "1"} })
}
func euid(id uint32) change                   { return func(r *Request) { r.Facts.EUID = id } }
func bindMount(options ...string) specs.Mount { return fsMount("bind", options...) }
func newMount(options ...string) specs.Mount  { return fsMount("tmpfs", options...) }
func oneID(inside uint32) []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: inside, HostID: 1000, Size: 1}}
}

func fsMount(kind string, options ...string) specs.Mount {
	return specs.Mount{Destination: "/m", Type: kind, Source: "/s", Options: options}
}

// namespacesOf replaces the namespaces of the configuration.
func namespacesOf(types ...specs.LinuxNamespaceType) change {
	return linux(func(l *specs.Linux) {
		l.Namespaces = nil
		for _, t := range types {
			l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: t})
		}
	})
}

// rootless is a caller without privileges and a new user namespace with one id.
func rootless(r *Request) {
	r.Facts.EUID = 1000
	namespacesOf(specs.UserNamespace, specs.MountNamespace)(r)
	r.Spec.Linux.UIDMappings, r.Spec.Linux.GIDMappings = oneID(0), oneID(0)
}

func baseRequest() Request {
	r := Request{ID: "box", Bundle: "/bundle", Facts: baseFacts(), Spec: &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"}, Linux: &specs.Linux{},
	}}
	namespacesOf(specs.MountNamespace, specs.PIDNamespace)(&r)
	return r
}

func (c change) and(others ...change) change {
	return func(r *Request) {
		c(r)
		for _, o := range others {
			o(r)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	onlyPid := namespacesOf(specs.PIDNamespace)
	for _, tc := range []struct {
		name   string
		change change
		want   string
	}{
		{"no configuration", func(r *Request) { r.Spec = nil }, "configuration is empty"},
		{"no root", spec(func(s *specs.Spec) { s.Root = nil }), "root.path: must not be empty"},
		{"empty root path", spec(func(s *specs.Spec) { s.Root.Path = "" }), "root.path: must not be empty"},
		{"no process", spec(func(s *specs.Spec) { s.Process = nil }), "process: must not be empty"},
		{"no arguments", process(func(p *specs.Process) { p.Args = nil }), "process.args: must not be empty"},

		{"unknown namespace", linux(func(l *specs.Linux) { l.Namespaces[1].Type = "moon" }), `linux.namespaces[1].type: "moon" is not a namespace`},
		{
			"namespace listed twice", namespacesOf(specs.MountNamespace, specs.PIDNamespace, specs.MountNamespace),
			"linux.namespaces[2]: the mount namespace is listed twice",
		},
		{
			"rootless without a user namespace", euid(1000),
			"linux.namespaces: without root privileges a container needs a user namespace (`zbox spec --rootless` writes one)",
		},
		{
			"user namespace without maps", namespacesOf(specs.UserNamespace, specs.MountNamespace),
			"linux.uidMappings, linux.gidMappings: a new user namespace needs both",
		},
		{
			"user namespace with one map", namespacesOf(specs.UserNamespace).and(linux(func(l *specs.Linux) { l.UIDMappings = oneID(0) })),
			"linux.uidMappings, linux.gidMappings: a new user namespace needs both",
		},
		{
			"maps without a user namespace", linux(func(l *specs.Linux) { l.GIDMappings = oneID(0) }),
			"linux.uidMappings, linux.gidMappings: need a user namespace",
		},
		{
			"time offsets without a time namespace", linux(func(l *specs.Linux) { l.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}} }),
			"linux.timeOffsets: need a new time namespace",
		},
		{"time offsets for a joined time namespace", linux(func(l *specs.Linux) {
			l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace, Path: "/t"})
			l.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}}
		}), "linux.timeOffsets: need a new time namespace"},
		{"rootless time namespace on an old kernel", change(rootless).and(linux(func(l *specs.Linux) {
			l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		}), func(r *Request) { r.Facts.KernelMinor = 1 }), "linux.namespaces[2]: a new time namespace without root privileges needs Linux 6.2"},
		{
			"network devices on the host's network", linux(func(l *specs.Linux) { l.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}} }),
			"linux.netDevices: need a network namespace",
		},
		{"host name of the host", spec(func(s *specs.Spec) { s.Hostname = "h" }), "hostname: needs a uts namespace"},
		{"domain name of the host", spec(func(s *specs.Spec) { s.Domainname = "d" }), "domainname: needs a uts namespace"},

		{"mounts on the host", onlyPid.and(bindWith("bind")), "mounts: need a mount namespace"},
		{"read-only root on the host", onlyPid.and(spec(func(s *specs.Spec) { s.Root.Readonly = true })), "root.readonly: needs a mount namespace"},
		{
			"devices without a mount namespace", onlyPid.and(linux(func(l *specs.Linux) { l.Devices = []specs.LinuxDevice{{}} })),
			"linux.devices: need a mount namespace",
		},
		{
			"propagation on the host", onlyPid.and(linux(func(l *specs.Linux) { l.RootfsPropagation = "slave" })),
			"linux.rootfsPropagation: needs a mount namespace",
		},
		{"notify socket on the host", onlyPid.and(func(r *Request) { r.NotifyDir = "/n" }), "NOTIFY_SOCKET: needs a mount namespace in linux.namespaces"},
		{
			"masked paths on the host", onlyPid.and(linux(func(l *specs.Linux) { l.MaskedPaths = []string{"/proc/keys"} })),
			"linux.maskedPaths, linux.readonlyPaths: need a mount namespace",
		},
		{
			"read-only paths on the host", onlyPid.and(linux(func(l *specs.Linux) { l.ReadonlyPaths = []string{"/proc/sys"} })),
			"linux.maskedPaths, linux.readonlyPaths: need a mount namespace",
		},
		{
			"unknown propagation", linux(func(l *specs.Linux) { l.RootfsPropagation = "upward" }),
			`linux.rootfsPropagation: "upward" is not private, slave, shared or unbindable`,
		},
		{
			"unknown device type", linux(func(l *specs.Linux) { l.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "x"}} }),
			`linux.devices[0].type: "x" is not c, b, u or p`,
		},

		{"mount without destination", mounts(specs.Mount{Type: "tmpfs"}), "mounts[0] (): destination: must not be empty"},
		{"mount without type", mounts(fsMount("")), "mounts[0] (/m): type: must not be empty for a mount that is no bind"},
		{"mount of type none", mounts(fsMount("none", "ro")), "mounts[0] (/m): type: must not be empty for a mount that is no bind"},
		{"bind without source", mounts(specs.Mount{Destination: "/m", Options: []string{"rbind"}}), "mounts[0] (/m): source: must not be empty for a bind mount"},
		{"bind with data", bindWith("size=1,mode=2", "nosiud"), "mounts[0] (/m): options: nosiud: a bind mount takes no filesystem options"},
		{"cgroup with data", mounts(fsMount("cgroup", "size=1")), "mounts[0] (/m): options: a cgroup mount takes no filesystem options"},
		{
			"cgroup2 on a host of cgroup v1", mounts(fsMount("cgroup2")).and(func(r *Request) { r.Facts.Cgroup.Unified = false }),
			"mounts[0] (/m): type: cgroup2 is not what this host has at /sys/fs/cgroup (cgroup mounts the hierarchies that it has)",
		},
		{"cgroup with tmpcopyup", mounts(fsMount("cgroup2", "tmpcopyup")), "mounts[0] (/m): options: tmpcopyup is for tmpfs"},
		{"bind with tmpcopyup", bindWith("tmpcopyup"), "mounts[0] (/m): options: tmpcopyup is for tmpfs"},
		{"tmpfs with copy-symlink", mounts(newMount("copy-symlink")), "mounts[0] (/m): options: copy-symlink is for bind mounts"},
		{"idmapped tmpfs", mounts(newMount("idmap")), "mounts[0] (/m): options: idmap is for bind mounts"},
		{"idmapped cgroup", mounts(fsMount("cgroup", "ridmap=uids=0-1-2;gids=0-1-2")), "mounts[0] (/m): options: idmap is for bind mounts"},
		{"idmapped remount", bindWith("bind", "remount", "idmap"), "mounts[0] (/m): options: idmap is for bind mounts"},
		{
			"tmpfs with maps", mounts(specs.Mount{Destination: "/m", Type: "tmpfs", UIDMappings: oneID(0), GIDMappings: oneID(0)}),
			"mounts[0] (/m): uidMappings, gidMappings: only bind mounts can be idmapped",
		},
		{
			"remount with maps", mounts(specs.Mount{Destination: "/m", Source: "/s", Options: []string{"bind", "remount"}, UIDMappings: oneID(0), GIDMappings: oneID(0)}),
			"mounts[0] (/m): uidMappings, gidMappings: only bind mounts can be idmapped",
		},
		{
			"idmap with one map", mounts(specs.Mount{Destination: "/m", Type: "bind", Source: "/s", GIDMappings: oneID(0)}),
			"mounts[0] (/m): uidMappings, gidMappings: an idmapped mount needs both",
		},
		{
			"idmap without a user namespace", bindWith("idmap"),
			"mounts[0] (/m): options: idmap without uidMappings and gidMappings needs a new user namespace to take them from",
		},
		{"rootless idmap", change(rootless).and(bindWith("idmap")), "mounts[0] (/m): idmapped mounts need root privileges"},
		{
			"idmap option with another word", bindWith("idmap=uids=0-1-2;pids=0-1-2"),
			`mounts[0] (/m): options: idmap=uids=0-1-2;pids=0-1-2: "pids" is not uids or gids`,
		},
		{"idmap option with a short range", bindWith("idmap=uids=0-1"), `mounts[0] (/m): options: idmap=uids=0-1: "0-1" is not CONTAINER-HOST-SIZE`},
		{
			"idmap option with a word as number", bindWith("idmap=uids=0-1-x;gids=0-1-2"),
			`mounts[0] (/m): options: idmap=uids=0-1-x;gids=0-1-2: "0-1-x" is not CONTAINER-HOST-SIZE`,
		},
		{"empty idmap option", bindWith("idmap="), `mounts[0] (/m): options: idmap= names no ranges`},

		{
			"additional groups while setgroups is denied", change(rootless).and(process(func(p *specs.Process) { p.User.AdditionalGids = []uint32{4} })),
			"process.user.additionalGids: cannot be set without root privileges while only one group is mapped",
		},
		{
			"additional groups below a namespace that has given up setgroups",
			process(func(p *specs.Process) { p.User.AdditionalGids = []uint32{4} }).and(func(r *Request) { r.Facts.SetgroupsDenied = true }),
			"process.user.additionalGids: cannot be set: the user namespace that zbox is in has given up setgroups(2)",
		},
		{
			"unknown personality", linux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: "BSD"} }),
			`linux.personality.domain: "BSD" is not LINUX or LINUX32`,
		},
		{"personality flags", linux(func(l *specs.Linux) {
			l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"X"}}
		}), "linux.personality.flags: the spec defines none"},
		{"AppArmor without AppArmor", process(func(p *specs.Process) { p.ApparmorProfile = "p" }), "process.apparmorProfile: AppArmor is not enabled on this host"},
		{"SELinux without SELinux", process(func(p *specs.Process) { p.SelinuxLabel = "l" }), "process.selinuxLabel: SELinux is not enabled on this host"},
		{
			"unknown rlimit", process(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_FUN"}} }),
			`process.rlimits[0].type: "RLIMIT_FUN" is not a resource limit of Linux`,
		},
		{
			"rlimit listed twice", process(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CPU"}, {Type: "RLIMIT_CPU"}} }),
			"process.rlimits[1]: RLIMIT_CPU is listed twice",
		},
		{
			"unknown I/O class", process(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{Class: "X"} }),
			`process.ioPriority.class: "X" is not an I/O priority class`,
		},
		{
			"I/O priority out of range", process(func(p *specs.Process) {
				p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 8}
			}),
			"process.ioPriority.priority: 8 is out of range 0 to 7",
		},
		{
			"unknown scheduling policy", process(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: "SCHED_FAIR"} }),
			`process.scheduler.policy: "SCHED_FAIR" is not a scheduling policy`,
		},
		{"unknown scheduling flag", process(func(p *specs.Process) {
			p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{"X"}}
		}), `process.scheduler.flags[0]: "X" is not a scheduling flag`},
		{
			"unknown memory policy", linux(func(l *specs.Linux) { l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "X"} }),
			`linux.memoryPolicy.mode: "X" is not a memory policy`,
		},
		{"unknown memory policy flag", linux(func(l *specs.Linux) {
			l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Flags: []specs.MemoryPolicyFlagType{"X"}}
		}), `linux.memoryPolicy.flags[0]: "X" is not a memory policy flag`},
		{
			"memory nodes that are no list", linux(func(l *specs.Linux) { l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "3-1"} }),
			`linux.memoryPolicy.nodes: "3-1" is not a list such as 0-3,7`,
		},
		{"unknown seccomp flag", linux(func(l *specs.Linux) {
			l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"X"}}
		}), `linux.seccomp: flags[0]: unknown flag "X"`},
		{"unknown seccomp flag behind noNewPrivileges", linux(func(l *specs.Linux) {
			l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"X"}}
		}).and(process(func(p *specs.Process) { p.NoNewPrivileges = true })), `linux.seccomp: flags[0]: unknown flag "X"`},

		{"sysctl of the host", sysctl("vm.swappiness"), `linux.sysctl["vm.swappiness"]: is not in a namespace: it would change the host`},
		{"sysctl of the host's network", sysctl("net.ipv4.ip_forward"), `linux.sysctl["net.ipv4.ip_forward"]: belongs to the network namespace, which is the host's`},
		{
			"sysctl with slashes of the host's network", sysctl("net/ipv4/ip_forward"),
			`linux.sysctl["net/ipv4/ip_forward"]: belongs to the network namespace, which is the host's`,
		},
		{"sysctl of the host's ipc", sysctl("kernel.shmmax"), `linux.sysctl["kernel.shmmax"]: belongs to the ipc namespace, which is the host's`},
		{"sysctl of the host's message queues", sysctl("fs.mqueue.msg_max"), `linux.sysctl["fs.mqueue.msg_max"]: belongs to the ipc namespace, which is the host's`},
		{"sysctl of the host's domain name", sysctl("kernel.domainname"), `linux.sysctl["kernel.domainname"]: belongs to the uts namespace, which is the host's`},
		{"sysctl of the host's users", sysctl("user.max_user_namespaces"), `linux.sysctl["user.max_user_namespaces"]: belongs to the user namespace, which is the host's`},
		{"sysctl for the host name", sysctl("kernel.hostname"), `linux.sysctl["kernel.hostname"]: use the hostname field instead`},
		{"sysctl that climbs", sysctl("net/../kernel/core_pattern"), `linux.sysctl["net/../kernel/core_pattern"]: "net/../kernel/core_pattern" is not a sysctl key`},
		{"sysctl that climbs with dots", sysctl("net...kernel"), `linux.sysctl["net...kernel"]: "net...kernel" is not a sysctl key`},
		{
			"sysctl with a second assignment (CVE-2022-0811)", sysctl("kernel.shm_rmid_forced+kernel.core_pattern"),
			`linux.sysctl["kernel.shm_rmid_forced+kernel.core_pattern"]: "kernel.shm_rmid_forced+kernel.core_pattern" is not a sysctl key`,
		},
		{"sysctl with a line", sysctl("net.ipv4\nx"), `linux.sysctl["net.ipv4\nx"]: "net.ipv4\nx" is not a sysctl key`},
		{"empty sysctl", sysctl(""), `linux.sysctl[""]: "" is not a sysctl key`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := baseRequest()
			tc.change(&r)
			p, _, err := Create(r)
			if err == nil {
				t.Fatalf("compiled to\n%s\nwant the error %s", p, tc.want)
			}
			if err.Error() != tc.want {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
		})
	}
}

func TestCreateWithoutALinuxSectionLeavesItOut(t *testing.T) {
	r := baseRequest()
	r.Spec.Linux = nil
	if _, _, err := Create(r); err != nil {
		t.Fatal(err)
	}
	if r.Spec.Linux != nil {
		t.Error("Create wrote to the configuration")
	}
}

func TestExecRefuses(t *testing.T) {
	affinity := func(initial, final string) *specs.Process {
		return &specs.Process{Args: []string{"ls"}, ExecCPUAffinity: &specs.CPUAffinity{Initial: initial, Final: final}}
	}
	with := baseRequest().Spec
	for _, tc := range []struct {
		name    string
		spec    *specs.Spec
		process *specs.Process
		want    string
	}{
		{"no configuration", nil, affinity("", ""), "configuration is empty"},
		{"no process", with, nil, "process.args: must not be empty"},
		{"no arguments", with, &specs.Process{}, "process.args: must not be empty"},
		{"broken first affinity", with, affinity("x", ""), `process.execCPUAffinity.initial: "x" is not a list such as 0-3,7`},
		{"broken second affinity", with, affinity("0", "0-65536"), `process.execCPUAffinity.final: "0-65536" is not a list such as 0-3,7`},
		{
			"unknown rlimit", with, &specs.Process{Args: []string{"ls"}, Rlimits: []specs.POSIXRlimit{{Type: "X"}}},
			`process.rlimits[0].type: "X" is not a resource limit of Linux`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := Exec(ExecRequest{ID: "box", Spec: tc.spec, Process: tc.process, Facts: baseFacts()})
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	for _, tc := range []struct {
		name   string
		env    []string
		uid    uint32
		change change
		want   string
	}{
		{"root has a home", nil, 0, nil, "HOME=/root"},
		{"others have the root directory for a home", nil, 7, nil, "HOME=/"},
		{"the last of a name wins and stays in its place", []string{"A=1", "HOME=/h", "A=2"}, 0, nil, "A=2 HOME=/h"},
		{
			"socket activation",
			[]string{"HOME=/", "LISTEN_FDS=9"},
			0, func(r *Request) { r.ListenFDs, r.ListenFDNames = 2, "a:b" },
			"HOME=/ LISTEN_FDS=2 LISTEN_PID=1 LISTEN_FDNAMES=a:b",
		},
		{
			"the notify socket inside",
			[]string{"HOME=/", "NOTIFY_SOCKET=/host"},
			0, func(r *Request) { r.NotifySocket, r.NotifyDir = "/in/s", "/out" },
			"HOME=/ NOTIFY_SOCKET=/in/s",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := baseRequest()
			r.Spec.Process.Env, r.Spec.Process.User.UID = tc.env, tc.uid
			if tc.change != nil {
				tc.change(&r)
			}
			if got := strings.Join(execStep(t, r).Env, " "); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
