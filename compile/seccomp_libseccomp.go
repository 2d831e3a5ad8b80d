//go:build cgo

package compile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// Filter compiles a seccomp profile to struct sock_filter[] for seccomp(2): what libseccomp makes of it, behind a rule that answers
// ENOSYS to system calls that are newer than the profile, unless its default action lets them pass. The native architecture
// is always in it, and what is called by another one than the profile's gets libseccomp's answer, which is to kill. Names
// that libseccomp does not know are passed over, as config-linux.md has no rule for them and profiles list the calls of newer kernels.
//
// The result depends on the profile, the architecture and libseccomp alone, not on the running kernel. Errors name the field
// below linux.seccomp.
func Filter(p *specs.LinuxSeccomp) ([]byte, error) {
	useFullAPI()
	if err := checkNotify(p); err != nil {
		return nil, err
	}
	standard, err := seccompAction("defaultAction", p.DefaultAction, "defaultErrnoRet", p.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	filter, err := seccomp.NewFilter(standard)
	if err != nil {
		return nil, fmt.Errorf("starting a filter with %s: %w", p.DefaultAction, err)
	}
	defer filter.Release()
	// libseccomp would end only the thread, and a program that waits for it would hang.
	if err := filter.SetBadArchAction(seccomp.ActKillProcess); err != nil {
		return nil, fmt.Errorf("choosing what calls of other architectures end: %w", err)
	}
	archs, err := addArchitectures(filter, p.Architectures)
	if err != nil {
		return nil, err
	}
	rules := 0
	for i := range p.Syscalls {
		n, err := addRule(filter, &p.Syscalls[i], standard)
		if err != nil {
			return nil, fmt.Errorf("syscalls[%d]%w", i, err)
		}
		rules += n
	}
	// A binary tree in place of a list makes a difference only with many calls, and libseccomp before 2.5.5 makes a wrong one of none.
	if rules > 32 {
		if err := filter.SetOptimize(2); err != nil {
			return nil, fmt.Errorf("choosing the filter's binary tree: %w", err)
		}
	}
	program, err := export(filter)
	if err != nil {
		return nil, err
	}
	return joinFilter(enosysRule(newCalls(p, archs)), program)
}

// FilterCompiler names everything but the profile that a filter of Filter depends on, for keys of caches: its own version, which
// changes with the rules that it adds, libseccomp's, and the architecture.
func FilterCompiler() string {
	return "2 libseccomp " + LibseccompVersion() + " " + runtime.GOARCH
}

// LibseccompVersion is the version of libseccomp, such as 2.5.4.
func LibseccompVersion() string {
	major, minor, micro := seccomp.GetLibraryVersion()
	return fmt.Sprintf("%d.%d.%d", major, minor, micro)
}

// KnownSystemCall reports whether libseccomp knows the name, as a system call of any architecture.
func KnownSystemCall(name string) bool {
	_, err := seccomp.GetSyscallFromName(name)
	return err == nil
}

// FilterArchitectures lists the architectures that Filter takes, sorted.
func FilterArchitectures() []string {
	var out []string
	for name, arch := range architectures {
		// An architecture of a newer libseccomp has a name in the Go package, but no number.
		if _, err := seccomp.GetSyscallFromNameByArch("read", arch.scmp); err == nil {
			out = append(out, string(name))
		}
	}
	slices.Sort(out)
	return out
}

// useFullAPI lets libseccomp use all that it knows (API level 6 is that of 2.5, with SCMP_ACT_NOTIFY), where it would ask the
// kernel for what that has: the kernels that zbox runs on have it, and the filter must not depend on who compiles it.
var useFullAPI = sync.OnceFunc(func() {
	if level, err := seccomp.GetAPI(); err == nil && level < 6 {
		// Of a library too old for it the action that needs it gives a clear error.
		_ = seccomp.SetAPI(6)
	}
})

// architecture is how libseccomp and the kernel call one.
type architecture struct {
	scmp  seccomp.ScmpArch
	audit uint32
}

var architectures = map[specs.Arch]architecture{
	specs.ArchX86:         {seccomp.ArchX86, unix.AUDIT_ARCH_I386},
	specs.ArchX86_64:      {seccomp.ArchAMD64, unix.AUDIT_ARCH_X86_64},
	specs.ArchX32:         {seccomp.ArchX32, unix.AUDIT_ARCH_X86_64},
	specs.ArchARM:         {seccomp.ArchARM, unix.AUDIT_ARCH_ARM},
	specs.ArchAARCH64:     {seccomp.ArchARM64, unix.AUDIT_ARCH_AARCH64},
	specs.ArchMIPS:        {seccomp.ArchMIPS, unix.AUDIT_ARCH_MIPS},
	specs.ArchMIPS64:      {seccomp.ArchMIPS64, unix.AUDIT_ARCH_MIPS64},
	specs.ArchMIPS64N32:   {seccomp.ArchMIPS64N32, unix.AUDIT_ARCH_MIPS64N32},
	specs.ArchMIPSEL:      {seccomp.ArchMIPSEL, unix.AUDIT_ARCH_MIPSEL},
	specs.ArchMIPSEL64:    {seccomp.ArchMIPSEL64, unix.AUDIT_ARCH_MIPSEL64},
	specs.ArchMIPSEL64N32: {seccomp.ArchMIPSEL64N32, unix.AUDIT_ARCH_MIPSEL64N32},
	specs.ArchPPC:         {seccomp.ArchPPC, unix.AUDIT_ARCH_PPC},
	specs.ArchPPC64:       {seccomp.ArchPPC64, unix.AUDIT_ARCH_PPC64},
	specs.ArchPPC64LE:     {seccomp.ArchPPC64LE, unix.AUDIT_ARCH_PPC64LE},
	specs.ArchS390:        {seccomp.ArchS390, unix.AUDIT_ARCH_S390},
	specs.ArchS390X:       {seccomp.ArchS390X, unix.AUDIT_ARCH_S390X},
	specs.ArchPARISC:      {seccomp.ArchPARISC, unix.AUDIT_ARCH_PARISC},
	specs.ArchPARISC64:    {seccomp.ArchPARISC64, unix.AUDIT_ARCH_PARISC64},
	specs.ArchRISCV64:     {seccomp.ArchRISCV64, unix.AUDIT_ARCH_RISCV64},
	specs.ArchLOONGARCH64: {seccomp.ArchLOONGARCH64, unix.AUDIT_ARCH_LOONGARCH64},
	specs.ArchM68K:        {seccomp.ArchM68K, unix.AUDIT_ARCH_M68K},
	specs.ArchSH:          {seccomp.ArchSH, unix.AUDIT_ARCH_SHEL},
	specs.ArchSHEB:        {seccomp.ArchSHEB, unix.AUDIT_ARCH_SH},
}

// addArchitectures adds the profile's architectures to the native one and returns all of them, in order.
func addArchitectures(filter *seccomp.ScmpFilter, names []specs.Arch) ([]architecture, error) {
	native, err := seccomp.GetNativeArch()
	if err != nil {
		return nil, fmt.Errorf("asking libseccomp for the native architecture: %w", err)
	}
	var out []architecture
	for _, arch := range architectures {
		if arch.scmp == native {
			out = append(out, arch)
		}
	}
	for i, name := range names {
		arch, ok := architectures[name]
		if !ok {
			return nil, fmt.Errorf("architectures[%d]: unknown architecture %q", i, name)
		}
		err := filter.AddArch(arch.scmp)
		if errors.Is(err, unix.EDOM) {
			err = errors.New("its byte order is not that of the filter's other architectures")
		}
		if err != nil {
			return nil, fmt.Errorf("architectures[%d]: adding %s: %w", i, name, err)
		}
		if !slices.Contains(out, arch) {
			out = append(out, arch)
		}
	}
	return out, nil
}

var seccompActions = map[specs.LinuxSeccompAction]seccomp.ScmpAction{
	specs.ActKill:        seccomp.ActKillThread,
	specs.ActKillProcess: seccomp.ActKillProcess,
	specs.ActKillThread:  seccomp.ActKillThread,
	specs.ActTrap:        seccomp.ActTrap,
	specs.ActErrno:       seccomp.ActErrno,
	specs.ActTrace:       seccomp.ActTrace,
	specs.ActAllow:       seccomp.ActAllow,
	specs.ActLog:         seccomp.ActLog,
	specs.ActNotify:      seccomp.ActNotify,
}

// seccompAction adds the value to an action that has one: 16 bits, EPERM when it is not given.
func seccompAction(
	field string, name specs.LinuxSeccompAction, valueField string, value *uint,
) (seccomp.ScmpAction, error) {
	action, ok := seccompActions[name]
	if !ok {
		return 0, fmt.Errorf("%s: unknown action %q", field, name)
	}
	if action != seccomp.ActErrno && action != seccomp.ActTrace {
		if value != nil {
			return 0, fmt.Errorf("%s: %s takes no value", valueField, name)
		}
		return action, nil
	}
	code := uint(unix.EPERM)
	if value != nil {
		code = *value
	}
	if code > 0xffff {
		return 0, fmt.Errorf("%s: %d does not fit in 16 bits", valueField, code)
	}
	return action.SetReturnCode(int16(code)), nil
}

// addRule adds one entry of syscalls and returns how many calls that made rules of. Its errors begin with the place in the entry.
func addRule(filter *seccomp.ScmpFilter, rule *specs.LinuxSyscall, standard seccomp.ScmpAction) (int, error) {
	action, err := seccompAction(".action", rule.Action, ".errnoRet", rule.ErrnoRet)
	if err != nil {
		return 0, err
	}
	alternatives, err := conditions(rule.Args)
	if err != nil {
		return 0, err
	}
	// libseccomp refuses rules that do what happens anyway.
	if action == standard {
		return 0, nil
	}
	added := 0
	for i, name := range rule.Names {
		call, ok := callNumber(name, seccomp.ArchNative)
		if !ok {
			continue
		}
		for _, c := range alternatives {
			if err := filter.AddRuleConditional(call, action, c); err != nil {
				return 0, fmt.Errorf(".names[%d] (%s): adding the rule: %w", i, name, err)
			}
		}
		added++
	}
	return added, nil
}

// callNumber asks libseccomp for a number; calls that the architecture does not have, but another one does, have a negative one.
func callNumber(name string, arch seccomp.ScmpArch) (seccomp.ScmpSyscall, bool) {
	// C would see only what is before a zero byte.
	if name == "" || strings.IndexByte(name, 0) >= 0 {
		return 0, false
	}
	call, err := seccomp.GetSyscallFromNameByArch(name, arch)
	return call, err == nil
}

var seccompOperators = map[specs.LinuxSeccompOperator]seccomp.ScmpCompareOp{
	specs.OpNotEqual:     seccomp.CompareNotEqual,
	specs.OpLessThan:     seccomp.CompareLess,
	specs.OpLessEqual:    seccomp.CompareLessOrEqual,
	specs.OpEqualTo:      seccomp.CompareEqual,
	specs.OpGreaterEqual: seccomp.CompareGreaterEqual,
	specs.OpGreaterThan:  seccomp.CompareGreater,
	specs.OpMaskedEqual:  seccomp.CompareMaskedEqual,
}

// conditions translates the arguments of a rule into alternatives, each of which holds when all of its conditions do. One alternative
// has them all, except where two are about one argument, which libseccomp cannot express: then each is an alternative of its
// own. runc and crun do the same, and docker's older profiles count on it.
func conditions(args []specs.LinuxSeccompArg) ([][]seccomp.ScmpCondition, error) {
	var all []seccomp.ScmpCondition
	var seen [6]bool
	twice := false
	for i, arg := range args {
		op, ok := seccompOperators[arg.Op]
		if !ok {
			return nil, fmt.Errorf(".args[%d].op: unknown operator %q", i, arg.Op)
		}
		if arg.Index >= uint(len(seen)) {
			return nil, fmt.Errorf(".args[%d].index: %d is not from 0 to 5", i, arg.Index)
		}
		twice = twice || seen[arg.Index]
		seen[arg.Index] = true
		c, err := seccomp.MakeCondition(arg.Index, op, arg.Value, arg.ValueTwo)
		if err != nil {
			return nil, fmt.Errorf(".args[%d]: %w", i, err)
		}
		all = append(all, c)
	}
	if !twice {
		return [][]seccomp.ScmpCondition{all}, nil
	}
	out := make([][]seccomp.ScmpCondition, len(all))
	for i := range all {
		out[i] = all[i : i+1]
	}
	return out, nil
}

// newCalls finds out, for the ENOSYS rule, up to which numbers a profile names system calls. It is nil, no rule, for a default
// action that lets calls pass or answers ENOSYS itself. TRACE passes calls on to a tracer, whose business new ones are.
func newCalls(p *specs.LinuxSeccomp, archs []architecture) []archCalls {
	switch p.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace:
		return nil
	case specs.ActErrno:
		if p.DefaultErrnoRet != nil && *p.DefaultErrnoRet == uint(unix.ENOSYS) {
			return nil
		}
	default: // the others keep calls from happening
	}
	var out []archCalls
	for _, arch := range archs {
		i := slices.IndexFunc(out, func(a archCalls) bool { return a.audit == arch.audit })
		if i < 0 {
			i = len(out)
			out = append(out, archCalls{audit: arch.audit, ranges: numberRanges(arch.audit)})
		}
		for _, rule := range p.Syscalls {
			for _, name := range rule.Names {
				if call, ok := callNumber(name, arch.scmp); ok {
					noteCall(out[i].ranges, call)
				}
			}
		}
		out[i].zeroIsUnknown = arch.audit == unix.AUDIT_ARCH_S390 || arch.audit == unix.AUDIT_ARCH_S390X
	}
	return out
}

// numberRanges are the ranges of an architecture's numbers: __X32_SYSCALL_BIT, and __ARM_NR_BASE of the kernel's headers.
func numberRanges(audit uint32) []callRange {
	switch audit {
	case unix.AUDIT_ARCH_X86_64:
		return []callRange{{}, {first: 0x40000000}}
	case unix.AUDIT_ARCH_ARM:
		return []callRange{{}, {first: 0x0f0000}}
	}
	return []callRange{{}}
}

// Calls that an architecture has behind socketcall(2) and ipc(2) as well as by themselves have a number from -100 on in libseccomp.
// By themselves they have one up to that of shmdt(2), the last of those that Linux 4.3 and 5.1 added, on all architectures.
const (
	firstShared, lastShared = -299, -100
	lastDirect              = 402
)

func noteCall(ranges []callRange, call seccomp.ScmpSyscall) {
	if call >= firstShared && call <= lastShared {
		call = lastDirect
	}
	// Other negative numbers are of calls that the architecture does not have.
	if call < 0 {
		return
	}
	for i := len(ranges) - 1; i >= 0; i-- {
		if uint32(call) >= ranges[i].first {
			ranges[i].last, ranges[i].named = max(ranges[i].last, uint32(call)), true
			return
		}
	}
}

// export gets the program out of libseccomp: before 2.6 it can only write it to a file.
func export(filter *seccomp.ScmpFilter) ([]byte, error) {
	program, err := filter.ExportBPFMem()
	if err == nil || !errors.Is(err, unix.EOPNOTSUPP) {
		return program, wrap("exporting the filter", err)
	}
	fd, err := unix.MemfdCreate("zbox-seccomp", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a memfd for the filter: %w", err)
	}
	f := os.NewFile(uintptr(fd), "memfd:zbox-seccomp")
	defer f.Close()
	if err := filter.ExportBPF(f); err != nil {
		return nil, fmt.Errorf("exporting the filter: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("rewinding the exported filter: %w", err)
	}
	program, err = io.ReadAll(f)
	return program, wrap("reading the exported filter", err)
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
