//go:build cgo

package compile

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/translate"
)

// sandboxFilter is the compiled filter of a sandbox whose configuration has one more field.
func sandboxFilter(t *testing.T, field string) []unix.SockFilter {
	t.Helper()
	return filterOf(t, sandboxProfile(t, field, translate.Options{}))
}

func sandboxProfile(t *testing.T, field string, o translate.Options) *specs.LinuxSeccomp {
	t.Helper()
	c, err := translate.Parse("c.json", []byte(`{"name": "x", "binary": "/bin/x", "root": "/x", "cpu_cores": 1, "cpu_limit_percent": 1, "memory_limit_mb": 1`+field+`}`))
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := c.Spec(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return s.Linux.Seccomp
}

// documented reads the table of calls that are always refused from docs/sandbox.md: the result by name.
func documented(t *testing.T) map[string]uint32 {
	t.Helper()
	text, err := os.ReadFile("../docs/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- denied:")
	table, _, ok := strings.Cut(rest, "<!-- /denied -->")
	if !ok {
		t.Fatal("docs/sandbox.md has no table of denied calls")
	}
	errnos := map[string]uint32{"EPERM": uint32(unix.EPERM), "ENOSYS": uint32(unix.ENOSYS)}
	out := map[string]uint32{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*`) \\| ([A-Z]+) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range strings.Split(row[1], ", ") {
			out[strings.Trim(name, "`")] = unix.SECCOMP_RET_ERRNO | errnos[row[2]]
		}
	}
	if len(out) < 60 {
		t.Fatalf("only %d calls are documented", len(out))
	}
	return out
}

func nativeArch(t *testing.T) (specs.Arch, architecture) {
	t.Helper()
	requireAMD64(t)
	return specs.ArchX86_64, architectures[specs.ArchX86_64]
}

// Every number of every architecture gets what the documentation says: the native ones by their names, all others, x32 among them, the end
// of the process. That is all 2^32 numbers: between two that the filter compares with, it does the same for all.
func TestSandboxProfileIsTheDocumentedTable(t *testing.T) {
	nativeName, native := nativeArch(t)
	program, table := sandboxFilter(t, ""), documented(t)
	tried := map[string]bool{}
	audits := append(boundaries(t, program), 0)
	for _, arch := range architectures {
		audits = append(audits, arch.audit)
	}
	slices.Sort(audits)
	for _, audit := range slices.Compact(audits) {
		for _, nr := range everyNumber(t, program) {
			want := uint32(retKillProcess)
			if audit == native.audit && (!isForeign(nativeName, nr) || nr == noCall) {
				var name string
				if name, want = documentedResult(native, nr, table); name != "" {
					tried[name] = true
				}
			}
			if got := result(t, program, call{arch: audit, nr: nr}); got != want {
				t.Errorf("architecture %#x, call %d (%#x): %#x, not %#x", audit, nr, nr, got, want)
			}
		}
	}
	// The names that this architecture has no number for are of others.
	for name := range table {
		nr, err := seccomp.GetSyscallFromNameByArch(name, native.scmp)
		if err == nil && nr >= 0 && !tried[name] {
			t.Errorf("%s was not tried", name)
		}
	}
}

// The same for what zbox makes on other machines, but s390x, whose byte order libseccomp cannot mix in here, and loong64, which Debian's
// does not know. libseccomp adds the calls of the one that compiles, which are left out.
func TestSandboxProfileOfOtherMachinesIsTheDocumentedTable(t *testing.T) {
	nativeName, native := nativeArch(t)
	table := documented(t)
	for goarch, name := range map[string]specs.Arch{
		"386": specs.ArchX86, "arm": specs.ArchARM, "arm64": specs.ArchAARCH64, "ppc64le": specs.ArchPPC64LE, "riscv64": specs.ArchRISCV64,
	} {
		arch := architectures[name]
		program := filterOf(t, sandboxProfile(t, "", translate.Options{Arch: goarch}))
		numbers := everyNumber(t, program)
		for _, other := range architectures {
			for _, nr := range numbers {
				want := uint32(retKillProcess)
				switch {
				case other.audit == native.audit && (!isForeign(nativeName, nr) || nr == noCall):
					continue
				case other.audit == arch.audit:
					_, want = documentedResult(arch, nr, table)
				}
				if got := result(t, program, call{arch: other.audit, nr: nr}); got != want {
					t.Errorf("%s: architecture %#x, call %d (%#x): %#x, not %#x", goarch, other.audit, nr, nr, got, want)
				}
			}
		}
	}
}

// noCall is -1: what a tracer makes of a call that the kernel is to leave out. The kernel has none of that number.
const noCall = 0xffffffff

// documentedResult is what the table says about a call; name is "" for a number that libseccomp has none for.
func documentedResult(arch architecture, nr uint32, table map[string]uint32) (name string, want uint32) {
	name, err := seccomp.ScmpSyscall(int32(nr)).GetNameByArch(arch.scmp)
	if err != nil {
		return "", retAllow
	}
	if refused, ok := table[name]; ok {
		return name, refused
	}
	return name, retAllow
}

// everyNumber are numbers that stand for all: those of every table of the kernel and far beyond, x32's included, and both sides of all
// that the filter compares with.
func everyNumber(t *testing.T, program []unix.SockFilter) []uint32 {
	t.Helper()
	all := append(boundaries(t, program), numbers()...)
	for n := range uint32(2048) {
		all = append(all, n, x32Bit+n, -n-1)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// boundaries are the constants that a filter compares with, and their neighbours. It fails the test for a filter that does arithmetic with
// the number or the architecture: then they would not be enough.
func boundaries(t *testing.T, program []unix.SockFilter) []uint32 {
	t.Helper()
	var out []uint32
	loaded := uint32(dataNumber)
	for i, in := range program {
		switch in.Code & 7 {
		case unix.BPF_LD:
			loaded = in.K
			if in.Code&0xe0 != unix.BPF_ABS {
				loaded = 16 // of the memory, where only arguments are
			}
		case unix.BPF_JMP:
			out = append(out, in.K-1, in.K, in.K+1)
		case unix.BPF_RET:
		default:
			if loaded < 16 {
				t.Fatalf("instruction %d, code %#x, changes or stores the number or the architecture", i, in.Code)
			}
		}
	}
	return out
}

// What is refused by argument: every bit and every family is tried, also beyond what the kernel looks at.
func TestSandboxProfileRefusesByArgument(t *testing.T) {
	_, native := nativeArch(t)
	const (
		eperm   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		eafno   = unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)
		tiocsti = 0x5412
	)
	number := func(name string) uint32 {
		nr, err := seccomp.GetSyscallFromNameByArch(name, native.scmp)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(nr)
	}
	program := sandboxFilter(t, "")
	check := func(name string, want uint32, args ...uint64) {
		t.Helper()
		c := call{arch: native.audit, nr: number(name)}
		copy(c.args[:], args)
		if got := result(t, program, c); got != want {
			t.Errorf("%s %#x: %#x, not %#x", name, args, got, want)
		}
	}
	namespaces := uint64(unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET)
	for bit := range 64 {
		flag, want := uint64(1)<<bit, uint32(retAllow)
		if flag&namespaces != 0 {
			want = eperm
		}
		check("clone", want, flag)
		check("clone", want, flag|uint64(unix.SIGCHLD)|unix.CLONE_VM)
	}
	for request := range uint64(0x6000) {
		want := uint32(retAllow)
		if request == tiocsti || request == 0x541c {
			want = eperm
		}
		check("ioctl", want, 0, request)
		check("ioctl", want, 0, 1<<32|request)
		check("ioctl", want, 0, 1<<63|request)
	}
	for family := range uint64(300) {
		want := eafno
		switch family {
		case unix.AF_UNSPEC, unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK:
			want = retAllow
		}
		for _, name := range []string{"socket", "socketpair"} {
			check(name, want, family)
			check(name, eafno, 1<<32|family)
			check(name, eafno, 1<<63|family)
		}
	}
	for option := range uint64(80) {
		for signal := range uint64(70) {
			want := uint32(retAllow)
			if option == unix.PR_SET_PDEATHSIG && signal != uint64(unix.SIGKILL) {
				want = eperm
			}
			check("prctl", want, option, signal)
			check("prctl", want, 1<<32|option, signal)
		}
	}
	check("prctl", eperm, unix.PR_SET_PDEATHSIG, 1<<32|uint64(unix.SIGKILL))
	// The 15 that the seed refused without network access.
	for name := range strings.FieldsSeq("socket bind connect listen accept accept4 sendto recvfrom sendmsg recvmsg setsockopt getsockopt getsockname getpeername shutdown") {
		check(name, retAllow, unix.AF_UNIX)
	}
}

func TestSandboxProfileChanges(t *testing.T) {
	_, native := nativeArch(t)
	cases := []struct {
		name, field, call string
		args              [6]uint64
		want              uint32
	}{
		{"an allowed call", `, "seccomp": {"allow": ["ptrace"]}`, "ptrace", [6]uint64{}, retAllow},
		{"its neighbour of the list", `, "seccomp": {"allow": ["ptrace"]}`, "kcmp", [6]uint64{}, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{"an allowed call with arguments", `, "seccomp": {"allow": ["clone"]}`, "clone", [6]uint64{unix.CLONE_NEWUSER}, retAllow},
		{"a denied call", `, "seccomp": {"deny": ["getpid"]}`, "getpid", [6]uint64{}, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{"a denied call with rules by argument", `, "seccomp": {"deny": ["socket"]}`, "socket", [6]uint64{unix.AF_UNIX}, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{"the other call of these rules", `, "seccomp": {"deny": ["socket"]}`, "socketpair", [6]uint64{unix.AF_VSOCK}, unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{"with an init, the parent's death is the program's business", `, "init": true`, "prctl", [6]uint64{unix.PR_SET_PDEATHSIG, 0}, retAllow},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			nr, err := seccomp.GetSyscallFromNameByArch(tc.call, native.scmp)
			if err != nil {
				t.Fatal(err)
			}
			if got := result(t, sandboxFilter(t, tc.field), call{arch: native.audit, nr: uint32(nr), args: tc.args}); got != tc.want {
				t.Errorf("%#x, not %#x", got, tc.want)
			}
		})
	}
}
