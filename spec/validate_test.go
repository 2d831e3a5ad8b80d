package spec

import (
	"math"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestValidateAcceptsEverythingThatIsAllowed(t *testing.T) {
	for name, s := range map[string]*specs.Spec{"example": Example(false), "rootless": Example(true), "full": full()} {
		if err := Validate(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateVersion(t *testing.T) {
	for version, want := range map[string]string{
		"1.0.0":          "",
		"1.0.0-rc1":      "",
		"1.0.0-rc":       "",
		"1.0.2-dev":      "",
		"1.3.0":          "",
		"1.1.0+dev":      "",
		"1.99.0-a.1+b.2": "",
		"1.0.0-beta":     `ociVersion: "1.0.0-beta" is not supported, only 1.0.0-rc to 1.x`,
		"0.9.0":          `ociVersion: "0.9.0" is not supported, only 1.0.0-rc to 1.x`,
		"2.0.0":          `ociVersion: "2.0.0" is not supported, only 1.0.0-rc to 1.x`,
		"1.0":            `ociVersion: "1.0" is not a version by SemVer 2.0.0`,
		"v1.0.0":         `ociVersion: "v1.0.0" is not a version by SemVer 2.0.0`,
		"1.0.0-a.01":     `ociVersion: "1.0.0-a.01" is not a version by SemVer 2.0.0`,
		"1.0.0-":         `ociVersion: "1.0.0-" is not a version by SemVer 2.0.0`,
		"1.0.0+":         `ociVersion: "1.0.0+" is not a version by SemVer 2.0.0`,
		"1.0.0+001":      "",
		"1.2.0-0-a":      "",
		"1.0.-1":         `ociVersion: "1.0.-1" is not a version by SemVer 2.0.0`,
		"1.a.0":          `ociVersion: "1.a.0" is not a version by SemVer 2.0.0`,
		"10.0.0":         `ociVersion: "10.0.0" is not supported, only 1.0.0-rc to 1.x`,
		"1.0.01":         `ociVersion: "1.0.01" is not a version by SemVer 2.0.0`,
		"1.0.0\n":        `ociVersion: "1.0.0\n" is not a version by SemVer 2.0.0`,
		"":               "ociVersion: missing",
	} {
		s := Example(false)
		s.Version = version
		if got := errorText(Validate(s)); got != want {
			t.Errorf("%q: %s\nnot %s", version, got, want)
		}
	}
}

type mistake struct {
	name   string
	change func(*specs.Spec)
	want   string
}

func runMistakes(t *testing.T, mistakes []mistake) {
	t.Helper()
	for _, tt := range mistakes {
		t.Run(tt.name, func(t *testing.T) {
			s := full()
			tt.change(s)
			if got := errorText(Validate(s)); got != tt.want {
				t.Errorf("%s\nnot %s", got, tt.want)
			}
		})
	}
}

func TestValidateProcessAndRoot(t *testing.T) {
	long := strings.Repeat("x", 200)
	runMistakes(t, []mistake{
		{"no process", func(s *specs.Spec) { s.Process = nil }, "process: missing"},
		{"no root", func(s *specs.Spec) { s.Root = nil }, "root.path: missing"},
		{"no root.path", func(s *specs.Spec) { s.Root.Path = "" }, "root.path: missing"},
		{"no args", func(s *specs.Spec) { s.Process.Args = nil }, "process.args: missing; at least one entry is needed"},
		{"no cwd", func(s *specs.Spec) { s.Process.Cwd = "" }, "process.cwd: missing"},
		{"relative cwd", func(s *specs.Spec) { s.Process.Cwd = long }, `process.cwd: "` + long[:100] + `"... is not an absolute path`},
		{"zero byte in an argument", func(s *specs.Spec) { s.Process.Args = []string{"a", "b\x00c"} }, `process.args[1]: "b\x00c" holds a zero byte`},
		{"zero byte in the root", func(s *specs.Spec) { s.Root.Path = "a\x00" }, `root.path: "a\x00" holds a zero byte`},
		{
			"zero byte in a sysctl", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"a": "\x00"} },
			`linux.sysctl["a"]: "\x00" holds a zero byte`,
		},
		{
			"zero byte in a name of a call", func(s *specs.Spec) { s.Linux.Seccomp.Syscalls[1].Names[0] = "mount\x00" },
			`linux.seccomp.syscalls[1].names[0]: "mount\x00" holds a zero byte`,
		},
		{"environment without a value", func(s *specs.Spec) { s.Process.Env = []string{"A=b", "FOO"} }, `process.env[1]: "FOO" has no "="`},
		{"environment without a name", func(s *specs.Spec) { s.Process.Env = []string{"=b"} }, `process.env[0]: "=b" has no name`},
		{"user -1", func(s *specs.Spec) { s.Process.User.UID = math.MaxUint32 }, "process.user.uid: 4294967295 is no user"},
		{"group -1", func(s *specs.Spec) { s.Process.User.GID = math.MaxUint32 }, "process.user.gid: 4294967295 is no group"},
		{
			"additional group -1", func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{1, math.MaxUint32} },
			"process.user.additionalGids[1]: 4294967295 is no group",
		},
		{
			"umask of 10 bits", func(s *specs.Spec) { s.Process.User.Umask = ptr(uint32(512)) },
			"process.user.umask: 512 is not from 0 to 511 (octal 0777)",
		},
		{
			"unknown rlimit", func(s *specs.Spec) { s.Process.Rlimits[0].Type = "RLIMIT_NOFILES" },
			`process.rlimits[0].type: unknown value "RLIMIT_NOFILES", did you mean "RLIMIT_NOFILE"?`,
		},
		{
			"duplicate rlimit", func(s *specs.Spec) { s.Process.Rlimits = append(s.Process.Rlimits, s.Process.Rlimits[0]) },
			"process.rlimits[1].type: RLIMIT_NOFILE is already in process.rlimits[0]",
		},
		{"soft over hard", func(s *specs.Spec) { s.Process.Rlimits[0].Soft = 1025 }, "process.rlimits[0].soft: 1025 is over the hard limit, 1024"},
		{"oomScoreAdj", func(s *specs.Spec) { s.Process.OOMScoreAdj = ptr(1001) }, "process.oomScoreAdj: 1001 is not from -1000 to 1000"},
		{
			"console too high", func(s *specs.Spec) { s.Process.ConsoleSize.Height = 65536 },
			"process.consoleSize.height: 65536 is not from 0 to 65535",
		},
		{"console size without a terminal", func(s *specs.Spec) { s.Process.ConsoleSize.Height, s.Process.Terminal = 65536, false }, ""},
		{"unknown capability", func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_NEW"} }, ""},
	})
}

func TestValidateScheduling(t *testing.T) {
	scheduler := func(c specs.Scheduler) func(*specs.Spec) { return func(s *specs.Spec) { s.Process.Scheduler = &c } }
	runMistakes(t, []mistake{
		{"no policy", scheduler(specs.Scheduler{}), "process.scheduler.policy: missing; it is one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, " +
			"SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE"},
		{
			"unknown policy", scheduler(specs.Scheduler{Policy: "SCHED_FIFOO"}),
			`process.scheduler.policy: unknown value "SCHED_FIFOO", did you mean "SCHED_FIFO"?`,
		},
		{
			"unknown flag", scheduler(specs.Scheduler{Policy: "SCHED_RR", Flags: []specs.LinuxSchedulerFlag{"X"}}),
			`process.scheduler.flags[0]: unknown value "X"; it is one of SCHED_FLAG_RESET_ON_FORK, SCHED_FLAG_RECLAIM, ` +
				`SCHED_FLAG_DL_OVERRUN, SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_UTIL_CLAMP_MIN, SCHED_FLAG_UTIL_CLAMP_MAX`,
		},
		{"nice", scheduler(specs.Scheduler{Policy: "SCHED_OTHER", Nice: 20}), "process.scheduler.nice: 20 is not from -20 to 19"},
		{
			"no priority", scheduler(specs.Scheduler{Policy: "SCHED_FIFO"}),
			"process.scheduler.priority: 0 is not from 1 to 99, which SCHED_FIFO needs",
		},
		{
			"a priority too many", scheduler(specs.Scheduler{Policy: "SCHED_BATCH", Priority: 1}),
			"process.scheduler.priority: 1 must be 0 with SCHED_BATCH",
		},
		{
			"runtime", scheduler(specs.Scheduler{Policy: "SCHED_RR", Priority: 1, Runtime: 1}),
			"process.scheduler: runtime, deadline and period need SCHED_DEADLINE, not SCHED_RR",
		},
		{
			"deadline", scheduler(specs.Scheduler{Policy: "SCHED_DEADLINE", Runtime: 2000, Deadline: 1000}),
			"process.scheduler: 0 < runtime (2000) <= deadline (1000) <= period (0) must hold",
		},
		{"deadline without a period", scheduler(specs.Scheduler{Policy: "SCHED_DEADLINE", Runtime: 2000, Deadline: 3000}), ""},
		{
			"I/O class", func(s *specs.Spec) { s.Process.IOPriority.Class = "IOPRIO_CLASS_XY" },
			`process.ioPriority.class: unknown value "IOPRIO_CLASS_XY", did you mean "IOPRIO_CLASS_RT"?`,
		},
		{"I/O priority", func(s *specs.Spec) { s.Process.IOPriority.Priority = 8 }, "process.ioPriority.priority: 8 is not from 0 to 7"},
		{
			"affinity", func(s *specs.Spec) { s.Process.ExecCPUAffinity.Final = "0,x" },
			`process.execCPUAffinity.final: "x" in "0,x" is no number or range such as 0-3`,
		},
	})
}

func TestValidateHooks(t *testing.T) {
	hook := func(h specs.Hook) []specs.Hook { return []specs.Hook{{Path: "/ok"}, h} }
	runMistakes(t, []mistake{
		{"no path", func(s *specs.Spec) { s.Hooks.Prestart = hook(specs.Hook{}) }, "hooks.prestart[1].path: missing"},
		{
			"relative path", func(s *specs.Spec) { s.Hooks.CreateRuntime = hook(specs.Hook{Path: "bin/x"}) },
			`hooks.createRuntime[1].path: "bin/x" is not an absolute path`,
		},
		{
			"timeout 0", func(s *specs.Spec) { s.Hooks.CreateContainer = hook(specs.Hook{Path: "/x", Timeout: ptr(0)}) },
			"hooks.createContainer[1].timeout: 0 is not greater than zero",
		},
		{
			"negative timeout", func(s *specs.Spec) { s.Hooks.StartContainer = hook(specs.Hook{Path: "/x", Timeout: ptr(-1)}) },
			"hooks.startContainer[1].timeout: -1 is not greater than zero",
		},
		{
			"environment", func(s *specs.Spec) { s.Hooks.Poststart = hook(specs.Hook{Path: "/x", Env: []string{"A"}}) },
			`hooks.poststart[1].env[0]: "A" has no "="`,
		},
		{"zero byte", func(s *specs.Spec) { s.Hooks.Poststop = hook(specs.Hook{Path: "/x\x00"}) }, `hooks.poststop[1].path: "/x\x00" holds a zero byte`},
	})
}

func TestValidateNamespaces(t *testing.T) {
	drop := func(s *specs.Spec, unwanted specs.LinuxNamespaceType) {
		var left []specs.LinuxNamespace
		for _, ns := range s.Linux.Namespaces {
			if ns.Type != unwanted {
				left = append(left, ns)
			}
		}
		s.Linux.Namespaces = left
	}
	join := func(s *specs.Spec, joined specs.LinuxNamespaceType) {
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == joined {
				s.Linux.Namespaces[i].Path = "/proc/1/ns/x"
			}
		}
	}
	devices := func(d map[string]specs.LinuxNetDevice) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.NetDevices = d }
	}
	runMistakes(t, []mistake{
		{
			"unknown type", func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "net" },
			`linux.namespaces[0].type: unknown value "net"; it is one of cgroup, ipc, mount, network, pid, time, user, uts`,
		},
		{
			"duplicate type", func(s *specs.Spec) {
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "ipc"})
			},
			"linux.namespaces[8].type: ipc is already in linux.namespaces[1]",
		},
		{"relative path", func(s *specs.Spec) { s.Linux.Namespaces[4].Path = "ns/pid" }, `linux.namespaces[4].path: "ns/pid" is not an absolute path`},
		{"host name without a uts namespace", func(s *specs.Spec) { drop(s, "uts") }, "hostname: needs a uts namespace in linux.namespaces"},
		{
			"domain name without a uts namespace", func(s *specs.Spec) { s.Hostname = ""; drop(s, "uts") },
			"domainname: needs a uts namespace in linux.namespaces",
		},
		{"host name with a uts namespace to join", func(s *specs.Spec) { join(s, "uts") }, ""},
		{"host name without linux", func(s *specs.Spec) { s.Linux = nil }, "hostname: needs a uts namespace in linux.namespaces"},
		{
			"long host name", func(s *specs.Spec) { s.Hostname = strings.Repeat("h", 65) },
			`hostname: "` + strings.Repeat("h", 65) + `" is 65 bytes long, longer than 64`,
		},
		{
			"long domain name", func(s *specs.Spec) { s.Domainname = strings.Repeat("h", 65) },
			`domainname: "` + strings.Repeat("h", 65) + `" is 65 bytes long, longer than 64`,
		},
		{
			"unknown clock", func(s *specs.Spec) { s.Linux.TimeOffsets["realtime"] = specs.LinuxTimeOffset{} },
			"linux.timeOffsets.realtime: unknown clock; it is monotonic or boottime",
		},
		{
			"nanoseconds", func(s *specs.Spec) { s.Linux.TimeOffsets["boottime"] = specs.LinuxTimeOffset{Nanosecs: 1e9} },
			"linux.timeOffsets.boottime.nanosecs: 1000000000 is not from 0 to 999999999",
		},
		{"offsets without a time namespace", func(s *specs.Spec) { drop(s, "time") }, "linux.timeOffsets: needs a new time namespace in linux.namespaces"},
		{
			"offsets for a time namespace to join", func(s *specs.Spec) { join(s, "time") },
			"linux.timeOffsets: needs a new time namespace in linux.namespaces",
		},
		{
			"mappings without a user namespace", func(s *specs.Spec) { drop(s, "user") },
			"linux.uidMappings, linux.gidMappings: need a user namespace in linux.namespaces",
		},
		{
			"no gidMappings", func(s *specs.Spec) { s.Linux.GIDMappings = nil },
			"linux.gidMappings: missing; linux.uidMappings needs it beside it",
		},
		{
			"no uidMappings", func(s *specs.Spec) { s.Linux.UIDMappings = nil },
			"linux.uidMappings: missing; linux.gidMappings needs it beside it",
		},
		{"empty range", func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{}} }, "linux.uidMappings[0].size: must be at least 1"},
		{"range to -1", func(s *specs.Spec) {
			s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: math.MaxUint32 - 1, Size: 2}}
		}, "linux.gidMappings[0]: container ids 4294967294 to 4294967295 do not fit in 32 bits"},
		{"the whole range but -1", func(s *specs.Spec) {
			s.Linux.GIDMappings = []specs.LinuxIDMapping{{Size: math.MaxUint32}}
		}, ""},
		{"overlap in the container", func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 0, Size: 10}, {ContainerID: 9, HostID: 50, Size: 1}}
		}, "linux.uidMappings[1]: container ids overlap those of linux.uidMappings[0]"},
		{"overlap on the host", func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 5, Size: 10}, {ContainerID: 10, HostID: 0, Size: 6}}
		}, "linux.uidMappings[1]: host ids overlap those of linux.uidMappings[0]"},
		{
			"too many ranges", func(s *specs.Spec) { s.Linux.UIDMappings = make([]specs.LinuxIDMapping, 341) },
			"linux.uidMappings: 341 ranges are more than the kernel's 340",
		},
		{
			"network devices without a namespace", func(s *specs.Spec) { drop(s, "network") },
			"linux.netDevices: needs a new network namespace in linux.namespaces",
		},
		{
			"network devices for a namespace to join", func(s *specs.Spec) { join(s, "network") },
			"linux.netDevices: needs a new network namespace in linux.namespaces",
		},
		{"bad device name", devices(map[string]specs.LinuxNetDevice{"a/b": {}}), `linux.netDevices["a/b"]: not the name of a network device`},
		{
			"template for a device of the host", devices(map[string]specs.LinuxNetDevice{"eth%d": {}}),
			`linux.netDevices["eth%d"]: not the name of a network device`,
		},
		{
			"long new name", devices(map[string]specs.LinuxNetDevice{"eth0": {Name: "sixteencharacter"}}),
			`linux.netDevices["eth0"].name: "sixteencharacter" is not the name of a network device`,
		},
		{
			"two templates in one name", devices(map[string]specs.LinuxNetDevice{"eth0": {Name: "a%d%d"}}),
			`linux.netDevices["eth0"].name: "a%d%d" is not the name of a network device`,
		},
		{
			"the same new name twice", devices(map[string]specs.LinuxNetDevice{"eth0": {Name: "x"}, "x": {}}),
			`linux.netDevices["x"].name: "x" is already the name of linux.netDevices["eth0"]`,
		},
		{
			"the name of the loopback device", devices(map[string]specs.LinuxNetDevice{"eth0": {Name: "lo"}}),
			`linux.netDevices["eth0"].name: "lo" is already the name of the loopback device`,
		},
		{"the same template twice", devices(map[string]specs.LinuxNetDevice{"eth0": {Name: "e%d"}, "eth1": {Name: "e%d"}}), ""},
	})
}

func TestValidateMounts(t *testing.T) {
	last := func(s *specs.Spec) *specs.Mount { return &s.Mounts[len(s.Mounts)-1] }
	noUserns := func(s *specs.Spec) {
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		s.Linux.Namespaces = []specs.LinuxNamespace{{Type: "mount"}, {Type: "uts"}, {Type: "time"}, {Type: "network"}}
	}
	runMistakes(t, []mistake{
		{"no destination", func(s *specs.Spec) { last(s).Destination = "" }, "mounts[7].destination: missing"},
		{
			"only uidMappings", func(s *specs.Spec) { last(s).GIDMappings = nil },
			"mounts[7] (data).gidMappings: missing; mounts[7] (data).uidMappings needs it beside it",
		},
		{
			"empty range", func(s *specs.Spec) { last(s).UIDMappings = []specs.LinuxIDMapping{{}} },
			"mounts[7] (data).uidMappings[0].size: must be at least 1",
		},
		{"idmap with the user namespace's mappings", func(s *specs.Spec) { last(s).UIDMappings, last(s).GIDMappings = nil, nil }, ""},
		{"idmap without any mappings", func(s *specs.Spec) {
			noUserns(s)
			last(s).UIDMappings, last(s).GIDMappings = nil, nil
		}, "mounts[7] (data): idmap needs uidMappings and gidMappings, or a user namespace in linux.namespaces"},
		{"ridmap without any mappings", func(s *specs.Spec) {
			noUserns(s)
			last(s).UIDMappings, last(s).GIDMappings, last(s).Options = nil, nil, []string{"rbind", "ridmap"}
		}, "mounts[7] (data): idmap needs uidMappings and gidMappings, or a user namespace in linux.namespaces"},
		{"idmap with mappings of its own", noUserns, ""},
	})
}

func TestValidateLinux(t *testing.T) {
	policy := func(p specs.LinuxMemoryPolicy) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.MemoryPolicy = &p }
	}
	flags := func(f ...specs.MemoryPolicyFlagType) []specs.MemoryPolicyFlagType { return f }
	rdt := func(r specs.LinuxIntelRdt) func(*specs.Spec) { return func(s *specs.Spec) { s.Linux.IntelRdt = &r } }
	runMistakes(t, []mistake{
		{"device without a path", func(s *specs.Spec) { s.Linux.Devices[0].Path = "" }, "linux.devices[0].path: missing"},
		{
			"device with a relative path", func(s *specs.Spec) { s.Linux.Devices[0].Path = "dev/x" },
			`linux.devices[0].path: "dev/x" is not an absolute path`,
		},
		{
			"device of an unknown type", func(s *specs.Spec) { s.Linux.Devices[0].Type = "x" },
			`linux.devices[0] (/dev/x).type: unknown value "x"; it is one of b, c, p, u`,
		},
		{"device with a big number", func(s *specs.Spec) { s.Linux.Devices[0].Major = 4096 }, "linux.devices[0] (/dev/x).major: 4096 is not from 0 to 4095"},
		{
			"device with a negative number", func(s *specs.Spec) { s.Linux.Devices[0].Minor = -1 },
			"linux.devices[0] (/dev/x).minor: -1 is not from 0 to 1048575",
		},
		{
			"device of no user", func(s *specs.Spec) { s.Linux.Devices[0].UID = ptr(uint32(math.MaxUint32)) },
			"linux.devices[0] (/dev/x).uid: 4294967295 is no user",
		},
		{"relative masked path", func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/a", "b"} }, `linux.maskedPaths[1]: "b" is not an absolute path`},
		{"relative read-only path", func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"b"} }, `linux.readonlyPaths[0]: "b" is not an absolute path`},
		{
			"propagation", func(s *specs.Spec) { s.Linux.RootfsPropagation = "sharde" },
			`linux.rootfsPropagation: unknown value "sharde", did you mean "shared"?`,
		},
		{
			"personality", func(s *specs.Spec) { s.Linux.Personality.Domain = "LINUX33" },
			`linux.personality.domain: unknown value "LINUX33", did you mean "LINUX32"?`,
		},
		{
			"personality flags", func(s *specs.Spec) { s.Linux.Personality.Flags = []specs.LinuxPersonalityFlag{"X"} },
			`linux.personality.flags: "X": no flags are defined`,
		},
		{
			"memory policy mode", policy(specs.LinuxMemoryPolicy{Mode: "MPOL_BIN"}),
			`linux.memoryPolicy.mode: unknown value "MPOL_BIN", did you mean "MPOL_BIND"?`,
		},
		{
			"memory policy flag", policy(specs.LinuxMemoryPolicy{Mode: "MPOL_BIND", Nodes: "0", Flags: flags("MPOL_F_STATIC_NODE")}),
			`linux.memoryPolicy.flags[0]: unknown value "MPOL_F_STATIC_NODE", did you mean "MPOL_F_STATIC_NODES"?`,
		},
		{"nodes for MPOL_LOCAL", policy(specs.LinuxMemoryPolicy{Mode: "MPOL_LOCAL", Nodes: "0"}), "linux.memoryPolicy.nodes: MPOL_LOCAL takes none"},
		{"no nodes for MPOL_BIND", policy(specs.LinuxMemoryPolicy{Mode: "MPOL_BIND"}), "linux.memoryPolicy.nodes: missing; MPOL_BIND needs at least one"},
		{
			"nodes backwards", policy(specs.LinuxMemoryPolicy{Mode: "MPOL_BIND", Nodes: "3-1"}),
			`linux.memoryPolicy.nodes: "3-1" in "3-1" is no number or range such as 0-3`,
		},
		{"flags that exclude each other", policy(specs.LinuxMemoryPolicy{
			Mode: "MPOL_BIND", Nodes: "0", Flags: flags(specs.MpolFStaticNodes, specs.MpolFRelativeNodes),
		}), "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other"},
		{
			"flag without nodes", policy(specs.LinuxMemoryPolicy{Mode: "MPOL_PREFERRED", Flags: flags(specs.MpolFStaticNodes)}),
			"linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES need nodes",
		},
		{
			"balancing without MPOL_BIND", policy(specs.LinuxMemoryPolicy{Mode: "MPOL_INTERLEAVE", Nodes: "0", Flags: flags(specs.MpolFNumaBalancing)}),
			"linux.memoryPolicy.flags: MPOL_F_NUMA_BALANCING needs MPOL_BIND or MPOL_PREFERRED_MANY",
		},
		{"closID with a slash", rdt(specs.LinuxIntelRdt{ClosID: "a/b"}), `linux.intelRdt.closID: "a/b" is no name of a directory`},
		{"closID ..", rdt(specs.LinuxIntelRdt{ClosID: ".."}), `linux.intelRdt.closID: ".." is no name of a directory`},
		{"memBwSchema", rdt(specs.LinuxIntelRdt{MemBwSchema: "L3:0=f"}), `linux.intelRdt.memBwSchema: "L3:0=f" does not start with "MB:"`},
		{"newline in memBwSchema", rdt(specs.LinuxIntelRdt{MemBwSchema: "MB:0=1\n"}), `linux.intelRdt.memBwSchema: holds a newline`},
		{"newline in schemata", rdt(specs.LinuxIntelRdt{Schemata: []string{"a", "b\n"}}), `linux.intelRdt.schemata[1]: holds a newline`},
	})
}

func TestValidateResources(t *testing.T) {
	change := func(f func(*specs.LinuxResources)) func(*specs.Spec) {
		return func(s *specs.Spec) { f(s.Linux.Resources) }
	}
	type res = specs.LinuxResources
	runMistakes(t, []mistake{
		{
			"device rule type", change(func(r *res) { r.Devices[1].Type = "p" }),
			`linux.resources.devices[1].type: unknown value "p"; it is one of a, b, c`,
		},
		{"device rule access", change(func(r *res) { r.Devices[1].Access = "rx" }), `linux.resources.devices[1].access: "rx" is not made of r, w and m`},
		{"device rule number", change(func(r *res) { r.Devices[1].Major = ptr(int64(-2)) }), "linux.resources.devices[1].major: -2 is not from 0 to 4095"},
		{
			"memory", change(func(r *res) { r.Memory.Reservation = ptr(int64(-2)) }),
			"linux.resources.memory.reservation: -2 is neither -1 (no limit) nor a number of bytes",
		},
		{
			"swap below memory", change(func(r *res) { r.Memory.Swap = ptr(int64(1)) }),
			"linux.resources.memory.swap: 1, the limit of memory and swap together, is below memory.limit, 1048576",
		},
		{"swappiness", change(func(r *res) { r.Memory.Swappiness = ptr(uint64(101)) }), "linux.resources.memory.swappiness: 101 is not from 0 to 100"},
		{"burst over quota", change(func(r *res) { r.CPU.Burst = ptr(uint64(50001)) }), "linux.resources.cpu.burst: 50001 is over the quota, 50000"},
		{"idle", change(func(r *res) { r.CPU.Idle = ptr(int64(2)) }), "linux.resources.cpu.idle: 2 is neither 0 nor 1"},
		{
			"realtime", change(func(r *res) { r.CPU.RealtimeRuntime, r.CPU.RealtimePeriod = ptr(int64(2)), ptr(uint64(1)) }),
			"linux.resources.cpu.realtimeRuntime: 2 is over realtimePeriod, 1",
		},
		{"cpus", change(func(r *res) { r.CPU.Cpus = "0-" }), `linux.resources.cpu.cpus: "0-" in "0-" is no number or range such as 0-3`},
		{"mems", change(func(r *res) { r.CPU.Mems = "a" }), `linux.resources.cpu.mems: "a" in "a" is no number or range such as 0-3`},
		{"pids", change(func(r *res) { r.Pids.Limit = ptr(int64(-2)) }), "linux.resources.pids.limit: -2 is neither -1 (no limit) nor a count"},
		{"weight", change(func(r *res) { r.BlockIO.Weight = ptr(uint16(9)) }), "linux.resources.blockIO.weight: 9 is not from 10 to 1000"},
		{"leaf weight", change(func(r *res) { r.BlockIO.LeafWeight = ptr(uint16(1001)) }), "linux.resources.blockIO.leafWeight: 1001 is not from 10 to 1000"},
		{
			"device weight missing", change(func(r *res) { r.BlockIO.WeightDevice[0].Weight = nil }),
			"linux.resources.blockIO.weightDevice[0]: needs weight or leafWeight",
		},
		{
			"device weight", change(func(r *res) { r.BlockIO.WeightDevice[0].Weight = ptr(uint16(1)) }),
			"linux.resources.blockIO.weightDevice[0].weight: 1 is not from 10 to 1000",
		},
		{
			"throttled device", change(func(r *res) { r.BlockIO.ThrottleReadBpsDevice[0].Major = -1 }),
			"linux.resources.blockIO.throttleReadBpsDevice[0].major: -1 is not from 0 to 4095",
		},
		{
			"page size", change(func(r *res) { r.HugepageLimits[0].Pagesize = "2mb" }),
			`linux.resources.hugepageLimits[0].pageSize: "2mb" is no size such as 64KB, 2MB or 1GB`,
		},
		{
			"network priority", change(func(r *res) { r.Network.Priorities[0].Name = "" }),
			`linux.resources.network.priorities[0].name: "" is not the name of a network device`,
		},
		{"rdma without a limit", change(func(r *res) { r.Rdma["a"] = specs.LinuxRdma{} }), `linux.resources.rdma["a"]: needs hcaHandles or hcaObjects`},
		{
			"unified key in another directory", change(func(r *res) { r.Unified["../memory.max"] = "1" }),
			`linux.resources.unified["../memory.max"]: not the name of a cgroup file`,
		},
		{
			"unified key without a controller", change(func(r *res) { r.Unified["memory"] = "1" }),
			`linux.resources.unified["memory"]: not the name of a cgroup file`,
		},
	})
}

func TestValidateSeccomp(t *testing.T) {
	change := func(f func(*specs.LinuxSeccomp)) func(*specs.Spec) {
		return func(s *specs.Spec) { f(s.Linux.Seccomp) }
	}
	type profile = specs.LinuxSeccomp
	runMistakes(t, []mistake{
		{"no default", change(func(p *profile) { p.DefaultAction = "" }), "linux.seccomp.defaultAction: missing; it is one of SCMP_ACT_ALLOW, " +
			"SCMP_ACT_ERRNO, SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_LOG, SCMP_ACT_NOTIFY, SCMP_ACT_TRACE, SCMP_ACT_TRAP"},
		{
			"unknown default", change(func(p *profile) { p.DefaultAction = "SCMP_ACT_DENY" }),
			`linux.seccomp.defaultAction: unknown value "SCMP_ACT_DENY"; it is one of SCMP_ACT_ALLOW, ` +
				"SCMP_ACT_ERRNO, SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_LOG, SCMP_ACT_NOTIFY, SCMP_ACT_TRACE, SCMP_ACT_TRAP",
		},
		{
			"NOTIFY by default", change(func(p *profile) { p.DefaultAction, p.DefaultErrnoRet = specs.ActNotify, nil }),
			"linux.seccomp.defaultAction: SCMP_ACT_NOTIFY can be the action only of single system calls",
		},
		{
			"a value for ALLOW", change(func(p *profile) { p.DefaultAction = specs.ActAllow }),
			"linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no value",
		},
		{"an errno of 13 bits", change(func(p *profile) { p.DefaultErrnoRet = ptr(uint(4096)) }), "linux.seccomp.defaultErrnoRet: 4096 is not from 0 to 4095"},
		{
			"a trace value of 17 bits", change(func(p *profile) { p.Syscalls[0].ErrnoRet = ptr(uint(65536)) }),
			"linux.seccomp.syscalls[0].errnoRet: 65536 is not from 0 to 65535",
		},
		{
			"unknown architecture", change(func(p *profile) { p.Architectures = append(p.Architectures, "SCMP_ARCH_X86-64") }),
			`linux.seccomp.architectures[1]: unknown value "SCMP_ARCH_X86-64", did you mean "SCMP_ARCH_X86_64"?`,
		},
		{
			"unknown flag", change(func(p *profile) { p.Flags[0] = "SECCOMP_FILTER_FLAG_LOGS" }),
			`linux.seccomp.flags[0]: unknown value "SECCOMP_FILTER_FLAG_LOGS", did you mean "SECCOMP_FILTER_FLAG_LOG"?`,
		},
		{
			"metadata without a listener", change(func(p *profile) { p.ListenerPath = "" }),
			"linux.seccomp.listenerMetadata: needs linux.seccomp.listenerPath",
		},
		{
			"NOTIFY without a listener", change(func(p *profile) { p.ListenerPath, p.ListenerMetadata = "", "" }),
			"linux.seccomp.syscalls[1].action: SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath",
		},
		{"relative listener", change(func(p *profile) { p.ListenerPath = "s" }), `linux.seccomp.listenerPath: "s" is not an absolute path`},
		{
			"NOTIFY for what hands the listener over", change(func(p *profile) { p.Syscalls[1].Names = []string{"mount", "sendmsg"} }),
			"linux.seccomp.syscalls[1].names[1]: sendmsg cannot have SCMP_ACT_NOTIFY: it is what hands the listener over",
		},
		{"no names", change(func(p *profile) { p.Syscalls[0].Names = nil }), "linux.seccomp.syscalls[0].names: missing; at least one entry is needed"},
		{"empty name", change(func(p *profile) { p.Syscalls[0].Names = []string{""} }), "linux.seccomp.syscalls[0].names[0]: is empty"},
		{
			"unknown action", change(func(p *profile) { p.Syscalls[0].Action = "SCMP_ACT_ALOW" }),
			`linux.seccomp.syscalls[0].action: unknown value "SCMP_ACT_ALOW", did you mean "SCMP_ACT_ALLOW"?`,
		},
		{
			"unknown operator", change(func(p *profile) { p.Syscalls[1].Args[0].Op = "SCMP_CMP_EQUAL" }),
			`linux.seccomp.syscalls[1].args[0].op: unknown value "SCMP_CMP_EQUAL", did you mean "SCMP_CMP_EQ"?`,
		},
		{
			"seventh argument", change(func(p *profile) { p.Syscalls[1].Args[0].Index = 6 }),
			"linux.seccomp.syscalls[1].args[0].index: 6 is not from 0 to 5",
		},
	})
}

func TestValidPageSize(t *testing.T) {
	for size, want := range map[string]bool{
		"2MB": true, "64KB": true, "1GB": true, "16B": true, "": false, "B": false, "MB": false, "02MB": false, "2M": false, "2mB": false,
		"2 MB": false, "2MMB": false,
	} {
		if got := validPageSize(size); got != want {
			t.Errorf("%q: %v", size, got)
		}
	}
}

func TestValidateListReadsWhatTheKernelReads(t *testing.T) {
	for list, valid := range map[string]bool{
		"": true, "0": true, "0-3,7": true, " 1, 2 \n": true, "all": true, "N": true, "0-N": true, "0-31:2/4": true, "1,": true,
		"x": false, "3-2": false, "-1": false, "1-2-3": false, "0-31:5/4": false, "0-31:1/0": false, "0:1/2": false, "4294967296": false,
		"0;1": false,
	} {
		if got := validateList("f", list) == nil; got != valid {
			t.Errorf("%q: valid %v, not %v", list, got, valid)
		}
	}
}
