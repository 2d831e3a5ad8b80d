package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"golang.org/x/sys/unix"
)

func TestProcessGetsItsArgumentsEnvironmentAndDirectory(t *testing.T) {
	r := New(t)
	seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) {
		s.Process.Args = []string{"probe", "-a", "", "two words", "ä\n"}
		s.Process.Env = []string{"PATH=/bin", "EMPTY=", "A=b=c", "HOME=/home/user"}
		s.Process.Cwd = "/home/user"
	}))
	if want := []string{"probe", "-a", "", "two words", "ä\n"}; !slices.Equal(seen.Args, want) {
		t.Errorf("args %q, want %q", seen.Args, want)
	}
	if want := []string{"PATH=/bin", "EMPTY=", "A=b=c", "HOME=/home/user"}; !sameElements(seen.Env, want) {
		t.Errorf("env %q, want %q", seen.Env, want)
	}
	if seen.Cwd != "/home/user" {
		t.Errorf("cwd %s, want /home/user", seen.Cwd)
	}
	if seen.Pid != 1 {
		t.Errorf("pid %d, want 1", seen.Pid)
	}
	if seen.Sid != 1 || seen.Pgid != 1 {
		t.Errorf("session %d and group %d, want a session of its own", seen.Sid, seen.Pgid)
	}
}

func sameElements(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func TestMissingHomeComesFromThePasswdFile(t *testing.T) {
	const passwd = "a:x:12:12::/of/another:\nroot:x:0:0::/of/root:/bin/sh\nuser:x:1000:1000:The User:/of/user:/bin/sh\nsecond:x:1000:1000::/second:\nempty:x:8:8:::\nlast:x:7:7::/last"
	for _, test := range []struct {
		name   string
		uid    uint32
		env    []string
		passwd string
		want   string
	}{
		{"root", 0, nil, passwd, "HOME=/of/root"},
		{"the first of two", 1000, nil, passwd, "HOME=/of/user"},
		{"a line without its end", 7, nil, passwd, "HOME=/last"},
		{"no directory", 8, nil, passwd, "HOME=/"},
		{"not in the file", 54321, nil, passwd, "HOME=/"},
		{"no file", 1000, nil, "", "HOME=/"},
		{"not missing", 1000, []string{"HOME=/given"}, passwd, "HOME=/given"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			if test.name == "no directory" {
				ZboxOnly(t, "runc sets it to nothing")
			}
			b := NewBundle(t, func(s *specs.Spec) {
				s.Process.Env, s.Process.User.UID = append([]string{"PATH=/bin"}, test.env...), test.uid
			})
			if err := os.Remove(b.Rootfs("etc/passwd")); err != nil { // a hard link to that of others
				t.Fatal(err)
			}
			if test.passwd != "" {
				b.WriteFile("etc/passwd", test.passwd, 0o600)
			}
			if seen := r.RunProbe(b); !slices.Contains(seen.Env, test.want) {
				t.Errorf("run: env %q lacks %s", seen.Env, test.want)
			}
			if test.env != nil {
				return
			}
			b.Change(Sleep, func(s *specs.Spec) { s.Process.User.UID = 0 })
			if seen := r.Start(b).Probe("--user", strconv.Itoa(int(test.uid))); !slices.Contains(seen.Env, test.want) {
				t.Errorf("exec: env %q lacks %s", seen.Env, test.want)
			}
		})
	}
}

func TestCwdIsMadeWhenItIsMissing(t *testing.T) {
	r := New(t)
	seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) { s.Process.Cwd = "/made/for/it" }))
	if seen.Cwd != "/made/for/it" {
		t.Errorf("cwd %s, want /made/for/it", seen.Cwd)
	}
}

func TestUser(t *testing.T) {
	for _, test := range []struct {
		name   string
		user   specs.User
		uid    int
		gid    int
		groups []int
	}{
		{"root", specs.User{}, 0, 0, nil},
		{"plain user", specs.User{UID: 1000, GID: 1000}, 1000, 1000, nil},
		{"additional groups", specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{5, 44}}, 1000, 100, []int{5, 44}},
		{"number without a name", specs.User{UID: 54321, GID: 12345}, 54321, 12345, nil},
		{"root with groups", specs.User{AdditionalGids: []uint32{7}}, 0, 0, []int{7}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) { s.Process.User = test.user }))
			if want := []int{test.uid, test.uid, test.uid, test.uid}; !slices.Equal(seen.UID, want) {
				t.Errorf("uid %v, want %v", seen.UID, want)
			}
			if want := []int{test.gid, test.gid, test.gid, test.gid}; !slices.Equal(seen.GID, want) {
				t.Errorf("gid %v, want %v", seen.GID, want)
			}
			slices.Sort(seen.Groups)
			if len(seen.Groups)+len(test.groups) > 0 && !slices.Equal(seen.Groups, test.groups) {
				t.Errorf("groups %v, want %v", seen.Groups, test.groups)
			}
		})
	}
}

func TestUmask(t *testing.T) {
	mask := func(m uint32) *uint32 { return &m }
	for name, test := range map[string]struct {
		umask *uint32
		want  int
	}{
		"default": {nil, 0o022}, "none": {mask(0), 0}, "private": {mask(0o077), 0o077}, "odd": {mask(0o713), 0o713},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) { s.Process.User.Umask = test.umask }))
			if seen.Umask != test.want {
				t.Errorf("umask %o, want %o", seen.Umask, test.want)
			}
		})
	}
}

// hexCaps is a set of capabilities as /proc/PID/status prints it, without leading zeros.
func hexCaps(bits ...int) string {
	var set uint64
	for _, b := range bits {
		set |= 1 << b
	}
	if set == 0 {
		return ""
	}
	return strconv.FormatUint(set, 16)
}

func TestCapabilities(t *testing.T) {
	const chown, kill, bind, raw = "CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"
	three := hexCaps(unix.CAP_CHOWN, unix.CAP_KILL, unix.CAP_NET_BIND_SERVICE)
	for _, test := range []struct {
		name string
		uid  uint32
		caps *specs.LinuxCapabilities
		want map[string]string
	}{
		{
			"none", 0, &specs.LinuxCapabilities{},
			map[string]string{"Inh": "", "Prm": "", "Eff": "", "Bnd": "", "Amb": ""},
		},
		{
			"root keeps what the bounding set allows", 0,
			&specs.LinuxCapabilities{Bounding: []string{chown, kill, bind}, Effective: []string{chown, kill, bind}, Permitted: []string{chown, kill, bind}},
			map[string]string{"Inh": "", "Prm": three, "Eff": three, "Bnd": three, "Amb": ""},
		},
		{
			"a user has none without the ambient set", 1000,
			&specs.LinuxCapabilities{Bounding: []string{chown, kill, bind}, Effective: []string{chown, kill, bind}, Permitted: []string{chown, kill, bind}},
			map[string]string{"Inh": "", "Prm": "", "Eff": "", "Bnd": three, "Amb": ""},
		},
		{
			"a user has the ambient set", 1000,
			&specs.LinuxCapabilities{
				Bounding: []string{chown, kill, bind}, Effective: []string{bind, raw}, Permitted: []string{chown, kill, bind},
				Inheritable: []string{bind}, Ambient: []string{bind},
			},
			map[string]string{
				"Inh": hexCaps(unix.CAP_NET_BIND_SERVICE), "Prm": hexCaps(unix.CAP_NET_BIND_SERVICE),
				"Eff": hexCaps(unix.CAP_NET_BIND_SERVICE), "Bnd": three, "Amb": hexCaps(unix.CAP_NET_BIND_SERVICE),
			},
		},
		{
			"unknown names are no error", 0,
			&specs.LinuxCapabilities{Bounding: []string{chown, "CAP_NO_SUCH"}, Effective: []string{chown}, Permitted: []string{chown, "CAP_NO_SUCH"}},
			map[string]string{"Inh": "", "Prm": "1", "Eff": "1", "Bnd": "1", "Amb": ""},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			if test.name == "a user has the ambient set" {
				test.caps.Effective = []string{bind}
			}
			seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) {
				s.Process.Capabilities = test.caps
				s.Process.User.UID = test.uid
			}))
			if !reflect.DeepEqual(seen.Caps, test.want) {
				t.Errorf("capabilities %v, want %v", seen.Caps, test.want)
			}
		})
	}
}

func TestUnknownCapabilitiesAreAWarning(t *testing.T) {
	r := New(t)
	res := r.Run(NewBundle(t, Args("/bin/true"), func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_CHOWN", "CAP_NO_SUCH"} }))
	if res.Code != 0 || strings.Count(res.Stderr, "\n") != 1 || !strings.Contains(res.Stderr, "CAP_NO_SUCH") {
		t.Errorf("exit %d, stderr %q; want 0 and one line that names CAP_NO_SUCH", res.Code, res.Stderr)
	}
}

func TestNoNewPrivileges(t *testing.T) {
	for name, on := range map[string]bool{"on": true, "off": false} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) { s.Process.NoNewPrivileges = on }))
			if (seen.NoNewPrivs == 1) != on {
				t.Errorf("NoNewPrivs %d, want %v", seen.NoNewPrivs, on)
			}
		})
	}
}

func TestRlimits(t *testing.T) {
	r := New(t)
	limits := []specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: 512, Hard: 512},
		{Type: "RLIMIT_CORE", Soft: 0, Hard: 4096},
		{Type: "RLIMIT_CPU", Soft: 100, Hard: 200},
		{Type: "RLIMIT_FSIZE", Soft: 1 << 20, Hard: 1 << 30},
		{Type: "RLIMIT_STACK", Soft: 4 << 20, Hard: 8 << 20},
		{Type: "RLIMIT_DATA", Soft: 1 << 40, Hard: 1 << 41},
	}
	seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) { s.Process.Rlimits = limits }))
	for _, l := range limits {
		if got := seen.Rlimits[l.Type]; got != [2]uint64{l.Soft, l.Hard} {
			t.Errorf("%s is %v, want soft %d and hard %d", l.Type, got, l.Soft, l.Hard)
		}
	}
}

// Each limit of getrlimit(2) below what the test has itself, so that no privilege is needed.
func TestEveryRlimitIsKnown(t *testing.T) {
	r := New(t)
	numbers := map[string]int{
		"CPU": 0, "FSIZE": 1, "DATA": 2, "STACK": 3, "CORE": 4, "RSS": 5, "NPROC": 6, "NOFILE": 7, "MEMLOCK": 8, "AS": 9, "LOCKS": 10,
		"SIGPENDING": 11, "MSGQUEUE": 12, "NICE": 13, "RTPRIO": 14, "RTTIME": 15,
	}
	var limits []specs.POSIXRlimit
	want := map[string]specs.POSIXRlimit{}
	for name, number := range numbers {
		var own unix.Rlimit
		if err := unix.Prlimit(0, number, nil, &own); err != nil {
			t.Fatal(err)
		}
		l := specs.POSIXRlimit{Type: "RLIMIT_" + name, Soft: min(own.Max, 1<<31-4096), Hard: min(own.Max, 1<<31)}
		limits, want[name] = append(limits, l), l
	}
	c := r.Start(NewBundle(t, Sleep, func(s *specs.Spec) { s.Process.Rlimits = limits }))
	for name, number := range numbers {
		var got unix.Rlimit
		if err := unix.Prlimit(c.Pid, number, nil, &got); err != nil {
			t.Fatal(err)
		}
		if got.Cur != want[name].Soft || got.Max != want[name].Hard {
			t.Errorf("%s is %d and %d, want %d and %d", name, got.Cur, got.Max, want[name].Soft, want[name].Hard)
		}
	}
}

func TestInvalidRlimitsAreRefused(t *testing.T) {
	for name, limits := range map[string][]specs.POSIXRlimit{
		"duplicate": {{Type: "RLIMIT_NOFILE", Soft: 10, Hard: 10}, {Type: "RLIMIT_NOFILE", Soft: 20, Hard: 20}},
		"unknown":   {{Type: "RLIMIT_FOO", Soft: 10, Hard: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "duplicate" {
				ZboxOnly(t, "runc 1.1 takes the last of two")
			}
			r := New(t)
			r.RefuseRun(NewBundle(t, func(s *specs.Spec) { s.Process.Rlimits = limits }), "rlimit")
		})
	}
}

func TestOOMScoreAdj(t *testing.T) {
	own := 0
	if b, err := os.ReadFile("/proc/self/oom_score_adj"); err == nil {
		own, _ = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	score := func(n int) *int { return &n }
	for name, test := range map[string]struct {
		set  *int
		want int
	}{
		"unset is unchanged": {nil, own}, "zero": {score(0), 0}, "positive": {score(567), 567},
	} {
		t.Run(name, func(t *testing.T) {
			if test.want < own {
				t.Skipf("lowering oom_score_adj from %d needs CAP_SYS_RESOURCE", own)
			}
			r := New(t)
			seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) { s.Process.OOMScoreAdj = test.set }))
			if seen.OOMScoreAdj != test.want {
				t.Errorf("oom_score_adj %d, want %d", seen.OOMScoreAdj, test.want)
			}
		})
	}
}

func TestScheduler(t *testing.T) {
	ZboxOnly(t, "runc has process.scheduler since 1.2")
	for _, test := range []struct {
		name                   string
		scheduler              specs.Scheduler
		policy, nice, priority int
	}{
		{"batch with a nice value", specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}, unix.SCHED_BATCH, 5, 0},
		{"other", specs.Scheduler{Policy: specs.SchedOther, Nice: 10}, unix.SCHED_NORMAL, 10, 0},
		{"idle", specs.Scheduler{Policy: specs.SchedIdle}, unix.SCHED_IDLE, 0, 0},
		{"reset on fork", specs.Scheduler{Policy: specs.SchedBatch, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}, unix.SCHED_BATCH, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) { s.Process.Scheduler = &test.scheduler }))
			if seen.Policy != test.policy || seen.Nice != test.nice || seen.RTPriority != test.priority {
				t.Errorf("policy %d nice %d priority %d, want %d %d %d", seen.Policy, seen.Nice, seen.RTPriority, test.policy, test.nice, test.priority)
			}
		})
	}
}

// On cgroup v1 a group needs real-time of its own to have such processes (sched-rt-group.rst).
func TestRealtimeScheduler(t *testing.T) {
	V1Only(t)
	for _, test := range []struct {
		scheduler        specs.Scheduler
		priority, policy string
	}{
		{specs.Scheduler{Policy: specs.SchedFIFO, Priority: 10}, "10", "1"},
		{specs.Scheduler{Policy: specs.SchedRR, Priority: 7}, "7", "2"},
		{specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 1e6, Deadline: 5e6, Period: 10e6}, "0", "6"},
	} {
		t.Run(string(test.scheduler.Policy), func(t *testing.T) {
			r := New(t)
			ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket"), "runc has process.scheduler since 1.2")
			b := NewBundle(t, Args("/bin/cat", "/proc/self/stat"), func(s *specs.Spec) { s.Process.Scheduler = &test.scheduler },
				withResources(specs.LinuxResources{CPU: &specs.LinuxCPU{RealtimeRuntime: pointer(int64(10000)), RealtimePeriod: pointer(uint64(1000000))}}))
			_, numbers, _ := strings.Cut(r.MustRun(b), ") ")
			// proc_pid_stat(5): fields 40 and 41, and what is left begins with field 3.
			if f := strings.Fields(numbers); f[37] != test.priority || f[38] != test.policy {
				t.Errorf("priority %s and policy %s, want %s and %s", f[37], f[38], test.priority, test.policy)
			}
		})
	}
}

func TestInvalidSchedulerIsRefused(t *testing.T) {
	ZboxOnly(t, "runc has process.scheduler since 1.2")
	for name, scheduler := range map[string]specs.Scheduler{
		"unknown policy":              {Policy: "SCHED_NOSUCH"},
		"unknown flag":                {Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{"SCHED_FLAG_NOSUCH"}},
		"nice out of range":           {Policy: specs.SchedOther, Nice: 20},
		"priority without realtime":   {Policy: specs.SchedOther, Priority: 5},
		"deadline without its policy": {Policy: specs.SchedOther, Deadline: 10, Runtime: 5, Period: 20},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			r.RefuseRun(NewBundle(t, func(s *specs.Spec) { s.Process.Scheduler = &scheduler }), "scheduler")
		})
	}
}

func TestIOPriority(t *testing.T) {
	ZboxOnly(t, "runc has process.ioPriority since 1.2")
	for name, test := range map[string]struct {
		priority specs.LinuxIOPriority
		want     int
	}{
		"best effort": {specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}, 2<<13 | 6},
		"idle":        {specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}, 3 << 13},
		"real time":   {specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT, Priority: 3}, 1<<13 | 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) { s.Process.IOPriority = &test.priority }))
			if seen.IOPriority != test.want {
				t.Errorf("io priority %#x, want %#x", seen.IOPriority, test.want)
			}
		})
	}
}

func TestPersonality(t *testing.T) {
	r := New(t)
	ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket"), "runc has linux.personality since 1.2")
	for domain, want := range map[specs.LinuxPersonalityDomain]uint64{specs.PerLinux: 0, specs.PerLinux32: 8} {
		seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: domain} }))
		if seen.Personality != want {
			t.Errorf("%s: personality %#x, want %#x", domain, seen.Personality, want)
		}
	}
}

func TestMemoryPolicy(t *testing.T) {
	r := New(t)
	var known features.Features
	if err := json.Unmarshal([]byte(r.Must("features")), &known); err != nil {
		t.Fatal(err)
	}
	if known.Linux.MemoryPolicy == nil {
		ZboxOnly(t, "runc has linux.memoryPolicy since 1.5")
		t.Fatal("the features document has no memoryPolicy")
	}
	const node = "0"
	for _, test := range []struct { // linux/mempolicy.h
		policy specs.LinuxMemoryPolicy
		want   int
	}{
		{specs.LinuxMemoryPolicy{Mode: specs.MpolDefault}, 0},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolPreferred, Nodes: node}, 1},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: node}, 2},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: node}, 3},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolLocal}, 4},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolPreferredMany, Nodes: node}, 5},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolWeightedInterleave, Nodes: node}, 6},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: node, Flags: []specs.MemoryPolicyFlagType{specs.MpolFNumaBalancing}}, 2 | 1<<13},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: node, Flags: []specs.MemoryPolicyFlagType{specs.MpolFRelativeNodes}}, 2 | 1<<14},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: node, Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}, 2 | 1<<15},
	} {
		name := string(test.policy.Mode)
		if !slices.Contains(known.Linux.MemoryPolicy.Modes, name) {
			t.Errorf("the features document lacks %s", name)
		}
		for _, flag := range test.policy.Flags {
			name += " " + string(flag)
			if !slices.Contains(known.Linux.MemoryPolicy.Flags, string(flag)) {
				t.Errorf("the features document lacks %s", flag)
			}
		}
		t.Run(name, func(t *testing.T) {
			b := NewBundle(t, func(s *specs.Spec) { s.Linux.MemoryPolicy = &test.policy })
			if !kernelHasMemoryPolicy(test.want) { // MPOL_WEIGHTED_INTERLEAVE is of Linux 6.9
				New(t).RefuseRun(b, "invalid argument")
				return
			}
			seen := New(t).RunProbe(b)
			if seen.MemPolicy != test.want {
				t.Errorf("memory policy %#x, want %#x", seen.MemPolicy, test.want)
			}
		})
	}
}

// kernelHasMemoryPolicy tries a policy on a thread that ends with it.
func kernelHasMemoryPolicy(mode int) bool {
	has := make(chan bool)
	go func() {
		runtime.LockOSThread() // and never unlocks it
		const nodes = 64
		node0 := [1]uint64{1}
		mask := uintptr(unsafe.Pointer(&node0))
		if mode == 0 || mode == 4 { // MPOL_DEFAULT and MPOL_LOCAL take no nodes
			mask = 0
		}
		_, _, errno := unix.RawSyscall(unix.SYS_SET_MEMPOLICY, uintptr(mode), mask, nodes)
		has <- errno == 0
	}()
	return <-has
}

func TestSessionKeyringIsNewUnlessAskedOtherwise(t *testing.T) {
	own, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, -3)
	if err != nil {
		t.Skipf("no keyrings on this kernel: %v", err)
	}
	for name, flags := range map[string][]string{"new": nil, "kept": {"--no-new-keyring"}} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			seen := r.RunProbe(NewBundle(t), flags...)
			if isNew := seen.SessionKey != own; isNew != (flags == nil) {
				t.Errorf("session keyring %q, the caller's is %q", seen.SessionKey, own)
			}
		})
	}
}

// zbox gives a thread of its own another timer slack, and a process inherits that of the thread that starts it: which one is by chance.
func TestTimerSlackIsTheCallers(t *testing.T) {
	want, err := os.ReadFile("/proc/self/timerslack_ns")
	if err != nil {
		t.Fatal(err)
	}
	r := New(t)
	l := newHookLog(t)
	show := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat /proc/self/timerslack_ns >> " + l.path}}}
	b := NewBundle(t, l.visible(), Shell("cat /proc/self/timerslack_ns; exec sleep 1000"), func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: show, Poststart: show, Poststop: show}
	})
	for range 8 {
		c := r.Start(b)
		Eventually(t, "it has written", func() bool { return c.Output() != "" })
		got := c.Output() + c.Must("exec", c.ID, "/bin/cat", "/proc/self/timerslack_ns")
		c.Kill()
		c.Delete()
		if got != string(want)+string(want) {
			t.Errorf("timer slack of init and of an exec: %q, want %q each", got, want)
		}
	}
	if got := strings.Join(l.lines(), "\n") + "\n"; got != strings.Repeat(string(want), 24) {
		t.Errorf("timer slack of hooks: %q, want %q each", got, want)
	}
}

func TestOnlyStdioIsOpenInTheContainer(t *testing.T) {
	r := New(t)
	extra, err := os.Open("/etc")
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	cmd := r.RunCommand(NewBundle(t))
	cmd.ExtraFiles = []*os.File{extra, extra, extra}
	seen := decodeReport(t, r.DoCommand(cmd).Stdout)
	if len(seen.FDs) != 3 {
		t.Errorf("open descriptors %v, want 0, 1 and 2", seen.FDs)
	}
}

// containerd's shim opens the null device for reading only and hands it over as the output.
func TestNullDeviceIsWrittenToHoweverItIsOpen(t *testing.T) {
	r := New(t)
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd := r.RunCommand(NewBundle(t, Shell("echo out && echo err >&2")))
	cmd.Stdout, cmd.Stderr = null, null
	if err := cmd.Run(); err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestPreserveFDs(t *testing.T) {
	r := New(t)
	var files []*os.File
	for _, path := range []string{"/etc/hostname", "/etc/passwd", "/etc/group"} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	cmd := r.RunCommand(NewBundle(t), "--preserve-fds", "2")
	cmd.ExtraFiles = files
	seen := decodeReport(t, r.DoCommand(cmd).Stdout)
	if len(seen.FDs) != 5 || !strings.HasSuffix(seen.FDs[3], "hostname") || !strings.HasSuffix(seen.FDs[4], "passwd") {
		t.Errorf("open descriptors %v, want the first two files at 3 and 4 and no more", seen.FDs)
	}
}

func TestListenFDsAreHandedToTheProcess(t *testing.T) {
	r := New(t)
	f, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	run := r.RunCommand(NewBundle(t))
	// sd_listen_fds(3): only for the process whose number LISTEN_PID is.
	cmd := exec.Command("sh", append([]string{"-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"`, "sh"}, run.Args...)...)
	cmd.ExtraFiles = []*os.File{f}
	seen := decodeReport(t, r.DoCommand(cmd).Stdout)
	if !strings.HasSuffix(seen.FDs[3], "passwd") || len(seen.FDs) != 4 {
		t.Errorf("open descriptors %v, want the file at 3", seen.FDs)
	}
	if !slices.Contains(seen.Env, "LISTEN_FDS=1") || !slices.Contains(seen.Env, "LISTEN_PID=1") {
		t.Errorf("env %q lacks LISTEN_FDS=1 or LISTEN_PID=1", seen.Env)
	}
}

func TestPathIsSearchedForTheProgram(t *testing.T) {
	r := New(t)
	b := NewBundle(t, Args("tool", "x"), func(s *specs.Spec) { s.Process.Env = []string{"PATH=/nowhere:/opt/bin:/bin"} })
	b.WriteFile("opt/bin/tool", "#!/bin/sh\necho \"$0 $1\"\n", 0o755)
	if got := r.MustRun(b); got != "/opt/bin/tool x\n" {
		t.Errorf("output %q, want the tool of /opt/bin", got)
	}
}

func TestProgramThatCannotRunIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		says []string
	}{
		{"missing path", []string{"/no/such/program"}, []string{"/no/such/program", "no such file or directory"}},
		{"missing name", []string{"nosuchprogram"}, []string{"nosuchprogram", "executable file not found in $PATH"}},
		{"not executable", []string{"/etc/passwd"}, []string{"/etc/passwd", "permission denied"}},
		{"directory", []string{"/etc"}, []string{"/etc"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			res := r.Run(NewBundle(t, Args(test.args...)))
			if res.Code == 0 {
				t.Fatal("it ran")
			}
			for _, text := range test.says {
				if !strings.Contains(res.Stderr, text) {
					t.Errorf("stderr %q does not say %q", res.Stderr, text)
				}
			}
		})
	}
}

func TestHostnameAndDomainname(t *testing.T) {
	r := New(t)
	b := NewBundle(t, func(s *specs.Spec) { s.Hostname = "box" })
	if IsZbox() {
		b.Change(func(s *specs.Spec) { s.Domainname = "example.org" })
	}
	seen := r.RunProbe(b)
	if seen.Hostname != "box" {
		t.Errorf("hostname %s, want box", seen.Hostname)
	}
	if IsZbox() && seen.Domainname != "example.org" {
		t.Errorf("domainname %s, want example.org", seen.Domainname)
	}
}

func TestStdinReachesTheProcess(t *testing.T) {
	r := New(t)
	cmd := r.RunCommand(NewBundle(t, Args("/bin/cat")))
	cmd.Stdin = strings.NewReader("hello\n")
	if got := r.DoCommand(cmd).Stdout; got != "hello\n" {
		t.Errorf("output %q, want what was on stdin", got)
	}
}
