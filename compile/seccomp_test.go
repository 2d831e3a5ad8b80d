//go:build cgo

package compile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

const (
	x32Bit = 0x40000000

	retAllow       = uint32(unix.SECCOMP_RET_ALLOW)
	retKill        = uint32(unix.SECCOMP_RET_KILL_THREAD)
	retKillProcess = uint32(unix.SECCOMP_RET_KILL_PROCESS)
	retEPERM       = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	retENOSYS      = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.ENOSYS)
)

func ptr[T any](v T) *T { return &v }

// engineProfile is a profile of the size and shape that docker and podman write.
func engineProfile(t testing.TB) *specs.LinuxSeccomp {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "seccomp", "engine.json"))
	if err != nil {
		t.Fatal(err)
	}
	p := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(data, p); err != nil {
		t.Fatal(err)
	}
	return p
}

// filterOf compiles a profile for the tests' machine.
func filterOf(t testing.TB, p *specs.LinuxSeccomp) []unix.SockFilter {
	t.Helper()
	raw, err := Filter(p)
	if err != nil {
		t.Fatal(err)
	}
	program, err := decodeFilter(raw)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func result(t testing.TB, program []unix.SockFilter, c call) uint32 {
	t.Helper()
	got, err := runFilter(program, c)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	return got
}

// oracle says what a profile means, from its text alone: by looking at every rule for every call.
type oracle struct {
	profile *specs.LinuxSeccomp
	rules   map[specs.Arch]map[uint32][]*specs.LinuxSyscall // by number
	highest map[specs.Arch]map[uint32]uint32                // by the start of the range
}

func newOracle(p *specs.LinuxSeccomp, archs []specs.Arch) *oracle {
	o := &oracle{profile: p, rules: map[specs.Arch]map[uint32][]*specs.LinuxSyscall{}, highest: map[specs.Arch]map[uint32]uint32{}}
	for _, arch := range archs {
		o.rules[arch], o.highest[arch] = map[uint32][]*specs.LinuxSyscall{}, map[uint32]uint32{}
		for _, nr := range numbers() {
			// From number to name: on some architectures libseccomp has a number of its own for a name like socket.
			name, err := seccomp.ScmpSyscall(nr).GetNameByArch(architectures[arch].scmp)
			if err != nil || isForeign(arch, nr) {
				continue
			}
			for i := range p.Syscalls {
				if slices.Contains(p.Syscalls[i].Names, name) {
					o.rules[arch][nr] = append(o.rules[arch][nr], &p.Syscalls[i])
					o.highest[arch][numberRange(arch, nr)] = max(o.highest[arch][numberRange(arch, nr)], nr)
				}
			}
		}
	}
	return o
}

// isForeign: x86_64 and x32 are one AUDIT_ARCH_* and share its numbers; those of MIPS begin higher, which libseccomp's names for
// numbers overlook.
func isForeign(arch specs.Arch, nr uint32) bool {
	switch arch {
	case specs.ArchX86_64:
		return nr >= x32Bit
	case specs.ArchX32:
		return nr < x32Bit
	case specs.ArchMIPSEL64, specs.ArchMIPSEL64N32:
		return nr < 4000
	}
	return false
}

func numberRange(arch specs.Arch, nr uint32) uint32 {
	switch {
	case architectures[arch].audit == unix.AUDIT_ARCH_X86_64 && nr >= x32Bit:
		return x32Bit
	case arch == specs.ArchARM && nr >= 0xf0000:
		return 0xf0000
	}
	return 0
}

func (o *oracle) answer(arch specs.Arch, c call) uint32 {
	for _, rule := range o.rules[arch][c.nr] {
		if matches(arch, rule.Args, c) {
			return ret(rule.Action, rule.ErrnoRet)
		}
	}
	highest, named := o.highest[arch][numberRange(arch, c.nr)]
	if permissive := []specs.LinuxSeccompAction{specs.ActAllow, specs.ActLog, specs.ActTrace}; named && c.nr > highest &&
		!slices.Contains(permissive, o.profile.DefaultAction) {
		return retENOSYS
	}
	return ret(o.profile.DefaultAction, o.profile.DefaultErrnoRet)
}

func matches(arch specs.Arch, args []specs.LinuxSeccompArg, c call) bool {
	narrow := []specs.Arch{specs.ArchX86, specs.ArchX32, specs.ArchARM, specs.ArchMIPSEL64N32} // 32 bits, as libseccomp has it
	for _, a := range args {
		v := c.args[a.Index]
		if slices.Contains(narrow, arch) {
			v = uint64(uint32(v))
		}
		holds := map[specs.LinuxSeccompOperator]bool{
			specs.OpNotEqual: v != a.Value, specs.OpLessThan: v < a.Value, specs.OpLessEqual: v <= a.Value,
			specs.OpEqualTo: v == a.Value, specs.OpGreaterEqual: v >= a.Value, specs.OpGreaterThan: v > a.Value,
			specs.OpMaskedEqual: v&a.Value == a.ValueTwo,
		}[a.Op]
		if !holds {
			return false
		}
	}
	return true
}

func ret(action specs.LinuxSeccompAction, value *uint) uint32 {
	code := uint32(unix.EPERM)
	if value != nil {
		code = uint32(*value)
	}
	switch action {
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | code
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | code
	}
	return map[specs.LinuxSeccompAction]uint32{
		specs.ActKill: retKill, specs.ActKillThread: retKill, specs.ActKillProcess: 0x80000000, specs.ActTrap: unix.SECCOMP_RET_TRAP,
		specs.ActAllow: retAllow, specs.ActLog: unix.SECCOMP_RET_LOG, specs.ActNotify: unix.SECCOMP_RET_USER_NOTIF,
	}[action]
}

// numbers are the system call numbers worth trying: all low ones, the neighbourhood of every range's start, and the extremes.
func numbers() []uint32 {
	var out []uint32
	for _, start := range []uint32{0, 4000, 5000, 6000, 0xf0000 - 3, x32Bit - 3, x32Bit} {
		for n := range uint32(1000) {
			out = append(out, start+n)
		}
	}
	return append(out, 0x7fffffff, 0x80000000, 0xfffffffe)
}

// arguments are tried with every number.
var arguments = [][6]uint64{
	{},
	{1},
	{2},
	{8},
	{16},
	{16, 0, 9},
	{16, 3, 10},
	{0x20000},
	{0xffffffff},
	{0x100000000},
	{0x100000008},
	{2114060288},
	{17},
	{0x7e020000},
	{0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff},
}

// compare runs a filter on every number and architecture and compares it with the oracle.
func compare(t *testing.T, p *specs.LinuxSeccomp, archs []specs.Arch) {
	t.Helper()
	program, o := filterOf(t, p), newOracle(p, archs)
	for _, arch := range archs {
		wrong := 0
		for _, nr := range numbers() {
			if isForeign(arch, nr) {
				continue
			}
			for _, args := range arguments {
				c := call{arch: architectures[arch].audit, nr: nr, args: args}
				if got, want := result(t, program, c), o.answer(arch, c); got != want {
					if wrong++; wrong <= 5 {
						t.Errorf("%s: call %d (%#x) with %x: %#x, not %#x", arch, nr, nr, args, got, want)
					}
				}
			}
		}
	}
}

func requireAMD64(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the expected values are those of an x86_64 machine")
	}
}

func TestFilterDoesWhatTheProfileSaysOnEveryArchitecture(t *testing.T) {
	requireAMD64(t)
	little := []specs.Arch{
		specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM, specs.ArchRISCV64,
		specs.ArchPPC64LE, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
	}
	for name, archs := range map[string][]specs.Arch{
		"x86":          {specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
		"x86 and arm":  {specs.ArchX86_64, specs.ArchAARCH64, specs.ArchARM},
		"little ends":  little,
		"without x86":  {specs.ArchX86_64},
		"x32 and x86":  {specs.ArchX32, specs.ArchX86_64},
		"default only": nil,
	} {
		t.Run(name, func(t *testing.T) {
			p := engineProfile(t)
			p.Architectures = archs
			if archs == nil {
				archs = []specs.Arch{specs.ArchX86_64}
			}
			compare(t, p, archs)
		})
	}
}

func TestFilterHasEveryActionAsDefaultAndInRules(t *testing.T) {
	requireAMD64(t)
	actions := []specs.LinuxSeccompAction{
		specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActTrace, specs.ActAllow,
		specs.ActLog,
	}
	for _, standard := range actions {
		p := &specs.LinuxSeccomp{DefaultAction: standard, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read"}, Action: specs.ActNotify},
			{Names: []string{"openat2"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(17))},
			{Names: []string{"ptrace"}, Action: specs.ActTrace, ErrnoRet: ptr(uint(0xfffe))},
		}}
		for i, action := range actions {
			p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{
				Names:  []string{[]string{"getuid", "getgid", "geteuid", "getegid", "getpid", "getppid", "gettid", "getpgrp"}[i]},
				Action: action,
			})
		}
		t.Run(string(standard), func(t *testing.T) { compare(t, p, []specs.Arch{specs.ArchX86_64}) })
	}
}

func TestFilterHasEveryOperator(t *testing.T) {
	requireAMD64(t)
	for _, op := range []specs.LinuxSeccompOperator{
		specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan,
		specs.OpMaskedEqual,
	} {
		for _, value := range []uint64{0, 8, 16, 0x20000, 0xffffffff, 0x100000008} {
			p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{
				Names: []string{"ioctl"}, Action: specs.ActAllow,
				Args: []specs.LinuxSeccompArg{{Index: 0, Value: value, ValueTwo: value & 8, Op: op}},
			}}}
			t.Run(fmt.Sprintf("%s %#x", op, value), func(t *testing.T) { compare(t, p, []specs.Arch{specs.ArchX86_64}) })
		}
	}
}

func TestFilterAnswersSingleCalls(t *testing.T) {
	requireAMD64(t)
	allowed := func(names ...string) []specs.LinuxSyscall {
		return []specs.LinuxSyscall{{Names: names, Action: specs.ActAllow}}
	}
	errno := specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	with := func(p specs.LinuxSeccomp, archs []specs.Arch, rules []specs.LinuxSyscall) *specs.LinuxSeccomp {
		p.Architectures, p.Syscalls = archs, rules
		return &p
	}
	x86, x8664, arm64 := uint32(unix.AUDIT_ARCH_I386), uint32(unix.AUDIT_ARCH_X86_64), uint32(unix.AUDIT_ARCH_AARCH64)
	for _, tt := range []struct {
		name    string
		profile *specs.LinuxSeccomp
		call    call
		want    uint32
	}{
		{"a named call", with(errno, nil, allowed("read")), call{arch: x8664, nr: 0}, retAllow},
		{"an unnamed call", with(errno, nil, allowed("openat2")), call{arch: x8664, nr: 1}, retEPERM},
		{"a newer call than the profile", with(errno, nil, allowed("openat2")), call{arch: x8664, nr: 438}, retENOSYS},
		{"the last call of the profile", with(errno, nil, allowed("openat2")), call{arch: x8664, nr: 437}, retAllow},
		{
			"a newer call, when the default is to allow", with(specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, nil, nil),
			call{arch: x8664, nr: 438},
			retAllow,
		},
		{"a newer call than a profile that names nothing", with(errno, nil, nil), call{arch: x8664, nr: 438}, retEPERM},
		{
			"a newer call, when the default is to kill", with(specs.LinuxSeccomp{DefaultAction: specs.ActKillProcess}, nil, allowed("read")),
			call{arch: x8664, nr: 1},
			retENOSYS,
		},
		{"x32 that is not in the profile", with(errno, nil, allowed("read")), call{arch: x8664, nr: x32Bit}, retKillProcess},
		{"x32 that is not in the profile, newer", with(errno, nil, allowed("read")), call{arch: x8664, nr: x32Bit + 9999}, retKillProcess},
		{
			"x32 that is not in an open profile", with(specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, nil, nil),
			call{arch: x8664, nr: x32Bit},
			retKillProcess,
		},
		{"x32 in the profile", with(errno, []specs.Arch{specs.ArchX32}, allowed("read")), call{arch: x8664, nr: x32Bit}, retAllow},
		{
			"x32 in the profile, newer", with(errno, []specs.Arch{specs.ArchX32}, allowed("read")),
			call{arch: x8664, nr: x32Bit + 1},
			retENOSYS,
		},
		{"i386 that is not in the profile", with(errno, nil, allowed("read")), call{arch: x86, nr: 3}, retKillProcess},
		{"i386 in the profile", with(errno, []specs.Arch{specs.ArchX86}, allowed("read")), call{arch: x86, nr: 3}, retAllow},
		{"i386 in the profile, newer", with(errno, []specs.Arch{specs.ArchX86}, allowed("read")), call{arch: x86, nr: 4}, retENOSYS},
		{"arm64 in the profile", with(errno, []specs.Arch{specs.ArchAARCH64}, allowed("read")), call{arch: arm64, nr: 63}, retAllow},
		{
			"socket(2) of i386, the last call of the profile", with(errno, []specs.Arch{specs.ArchX86}, allowed("read", "socket")),
			call{arch: x86, nr: 359},
			retAllow,
		},
		{
			"socketcall(2) of i386 for socket(2)", with(errno, []specs.Arch{specs.ArchX86}, allowed("socket")),
			call{arch: x86, nr: 102, args: [6]uint64{1}},
			retAllow,
		},
		{
			"a call of another architecture only", with(errno, []specs.Arch{specs.ArchX86}, allowed("read", "_llseek")),
			call{arch: x86, nr: 140},
			retAllow,
		},
		{"an unknown name beside a known one", with(errno, nil, allowed("no_such_call", "read")), call{arch: x8664, nr: 0}, retAllow},
		{"a name that is known up to a zero byte", with(errno, nil, allowed("read\x00", "write")), call{arch: x8664, nr: 0}, retEPERM},
		{
			"two conditions on one argument are alternatives",
			with(errno, nil, []specs.LinuxSyscall{{Names: []string{"personality"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{
				{Index: 0, Value: 0, Op: specs.OpEqualTo}, {Index: 0, Value: 8, Op: specs.OpEqualTo},
			}}}),
			call{arch: x8664, nr: 135, args: [6]uint64{8}},
			retAllow,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := result(t, filterOf(t, tt.profile), tt.call); got != tt.want {
				t.Errorf("%#x, not %#x", got, tt.want)
			}
		})
	}
}

func TestENOSYSRuleOfS390AnswersTheNumberOfUnknownCalls(t *testing.T) {
	program := enosysRule([]archCalls{
		{audit: unix.AUDIT_ARCH_S390X, ranges: []callRange{{last: 450, named: true}}, zeroIsUnknown: true},
		{audit: unix.AUDIT_ARCH_S390, ranges: []callRange{{last: 400, named: true}}, zeroIsUnknown: true},
	})
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: retAllow})
	for _, tt := range []struct {
		nr, s390x, s390 uint32
	}{{0, retENOSYS, retENOSYS}, {1, retAllow, retAllow}, {400, retAllow, retAllow}, {401, retAllow, retENOSYS}, {451, retENOSYS, retENOSYS}} {
		if got := result(t, program, call{arch: unix.AUDIT_ARCH_S390X, nr: tt.nr}); got != tt.s390x {
			t.Errorf("s390x call %d: %#x, not %#x", tt.nr, got, tt.s390x)
		}
		if got := result(t, program, call{arch: unix.AUDIT_ARCH_S390, nr: tt.nr}); got != tt.s390 {
			t.Errorf("s390 call %d: %#x, not %#x", tt.nr, got, tt.s390)
		}
	}
}

func TestFilterNamesTheFieldThatItRefuses(t *testing.T) {
	rule := func(r specs.LinuxSyscall) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{
			Names: []string{"write"}, Action: specs.ActAllow,
		}, r}}
	}
	for _, tt := range []struct {
		name    string
		profile *specs.LinuxSeccomp
		want    string
	}{
		{"no default", &specs.LinuxSeccomp{}, `defaultAction: unknown action ""`},
		{"unknown default", &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_X"}, `defaultAction: unknown action "SCMP_ACT_X"`},
		{
			"NOTIFY by default", &specs.LinuxSeccomp{DefaultAction: specs.ActNotify},
			`defaultAction: SCMP_ACT_NOTIFY can be the action only of single system calls`,
		},
		{
			"a value for ALLOW", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, DefaultErrnoRet: ptr(uint(1))},
			`defaultErrnoRet: SCMP_ACT_ALLOW takes no value`,
		},
		{
			"a value of 17 bits", &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: ptr(uint(65536))},
			`defaultErrnoRet: 65536 does not fit in 16 bits`,
		},
		{
			"an unknown architecture", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86, "Z80"}},
			`architectures[1]: unknown architecture "Z80"`,
		},
		{"an unknown action", rule(specs.LinuxSyscall{Names: []string{"read"}, Action: "X"}), `syscalls[1].action: unknown action "X"`},
		{"an unknown operator", rule(specs.LinuxSyscall{
			Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Op: "SCMP_CMP_X"}},
		}), `syscalls[1].args[0].op: unknown operator "SCMP_CMP_X"`},
		{"a seventh argument", rule(specs.LinuxSyscall{
			Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}},
		}), `syscalls[1].args[0].index: 6 is not from 0 to 5`},
		{
			"NOTIFY for what hands the listener over", rule(specs.LinuxSyscall{Names: []string{"read", "sendmsg"}, Action: specs.ActNotify}),
			`syscalls[1].names[1]: sendmsg cannot have SCMP_ACT_NOTIFY: it is what hands the listener over`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Filter(tt.profile); err == nil || err.Error() != tt.want {
				t.Errorf("%v\nnot %s", err, tt.want)
			}
		})
	}
}

func TestFilterRefusesAnArchitectureOfTheOtherByteOrder(t *testing.T) {
	requireAMD64(t)
	_, err := Filter(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchS390X}})
	want := "architectures[0]: adding SCMP_ARCH_S390X: its byte order is not that of the filter's other architectures"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nnot %s", err, want)
	}
}

func TestFilterIsTheSameEveryTime(t *testing.T) {
	first := filterOf(t, engineProfile(t))
	for range 3 {
		if again := filterOf(t, engineProfile(t)); !slices.Equal(first, again) {
			t.Fatal("the same profile gave another filter")
		}
	}
}

func TestFilterFlags(t *testing.T) {
	type flags = []specs.LinuxSeccompFlag
	for _, tt := range []struct {
		name   string
		flags  flags
		notify bool
		want   uint64
		err    string
	}{
		{name: "no list is SPEC_ALLOW, as in runc", want: unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{name: "an empty list is none", flags: flags{}},
		{
			name: "the three for every filter", flags: flags{"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"},
			want: 1 | 2 | 4,
		},
		{name: "WAIT_KILLABLE_RECV without a listener", flags: flags{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}},
		{name: "WAIT_KILLABLE_RECV with a listener", flags: flags{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}, notify: true, want: 32},
		{name: "TSYNC with a listener", flags: flags{"SECCOMP_FILTER_FLAG_TSYNC"}, notify: true, want: 1 | 16},
		{name: "an unknown one", flags: flags{"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_X"}, err: `flags[1]: unknown flag "SECCOMP_FILTER_FLAG_X"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: tt.flags}
			if tt.notify {
				p.Syscalls = []specs.LinuxSyscall{{Names: []string{"mount"}, Action: specs.ActNotify}}
			}
			got, notify, err := FilterFlags(p)
			if text := fmt.Sprint(err); err != nil && text != tt.err || err == nil && tt.err != "" {
				t.Fatalf("%v, not %s", err, tt.err)
			}
			if got != tt.want || notify != tt.notify {
				t.Errorf("%#x and %v, not %#x and %v", got, notify, tt.want, tt.notify)
			}
		})
	}
}

func TestFilterWords(t *testing.T) {
	for _, tt := range []struct {
		profile specs.LinuxSeccomp
		want    string
	}{
		{*engineProfile(t), "default SCMP_ACT_ERRNO 1, 416 system calls in 16 rules, 3 architectures"},
		{specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, "default SCMP_ACT_ALLOW, 0 system calls in 0 rules, the native architecture"},
		{specs.LinuxSeccomp{DefaultAction: specs.ActKill, Architectures: []specs.Arch{specs.ArchX86}, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read"}},
		}}, "default SCMP_ACT_KILL, 1 system call in 1 rule, 1 architecture"},
	} {
		if got := FilterWords(&tt.profile); got != tt.want {
			t.Errorf("%q, not %q", got, tt.want)
		}
	}
}

// TestFilterIsAcceptedAndObeyedByTheKernel puts a thread under the filter; the thread ends with its goroutine.
func TestFilterIsAcceptedAndObeyedByTheKernel(t *testing.T) {
	raw, err := Filter(engineProfile(t))
	if err != nil {
		t.Fatal(err)
	}
	program, err := decodeFilter(raw)
	if err != nil {
		t.Fatal(err)
	}
	flags, _, err := FilterFlags(engineProfile(t))
	if err != nil {
		t.Fatal(err)
	}
	type answer struct{ install, allowed, refused, newer error }
	answers := make(chan answer)
	go func() {
		runtime.LockOSThread() // and never unlock
		var a answer
		a.install = installFilter(program, flags)
		if a.install == nil {
			a.allowed = rawCall(unix.SYS_GETPID)
			a.refused = rawCall(unix.SYS_KEXEC_LOAD)
			a.newer = rawCall(4000)
		}
		answers <- a
	}()
	got := <-answers
	if want := (answer{nil, nil, unix.EPERM, unix.ENOSYS}); got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
}

func rawCall(nr uintptr) error {
	if _, _, errno := unix.RawSyscall(nr, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func BenchmarkFilter(b *testing.B) {
	p := engineProfile(b)
	for b.Loop() {
		if _, err := Filter(p); err != nil {
			b.Fatal(err)
		}
	}
}
