package spec

import (
	"fmt"
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// FlagTsync is the seccomp flag of config-linux.md that specs-go has no constant for.
const FlagTsync specs.LinuxSeccompFlag = "SECCOMP_FILTER_FLAG_TSYNC"

var (
	seccompActions = []specs.LinuxSeccompAction{
		specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActLog, specs.ActNotify,
		specs.ActTrace, specs.ActTrap,
	}
	seccompOperators = []specs.LinuxSeccompOperator{
		specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpLessEqual, specs.OpLessThan, specs.OpMaskedEqual,
		specs.OpNotEqual,
	}
	seccompFlags = []specs.LinuxSeccompFlag{
		specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, FlagTsync, specs.LinuxSeccompFlagWaitKillableRecv,
	}
	seccompArchs = []specs.Arch{
		specs.ArchAARCH64, specs.ArchARM, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchMIPS, specs.ArchMIPS64,
		specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPARISC, specs.ArchPARISC64,
		specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchRISCV64, specs.ArchS390, specs.ArchS390X, specs.ArchSH,
		specs.ArchSHEB, specs.ArchX32, specs.ArchX86, specs.ArchX86_64,
	}
)

// ValidateSeccomp is config-linux.md, "Seccomp". Unknown names of system calls are no mistake: profiles list those of newer
// kernels and of other architectures.
func ValidateSeccomp(p *specs.LinuxSeccomp) error {
	if err := validateAction("linux.seccomp.defaultAction", p.DefaultAction, "linux.seccomp.defaultErrnoRet", p.DefaultErrnoRet); err != nil {
		return err
	}
	if p.DefaultAction == specs.ActNotify {
		// The calls that hand the listener over would wait for the one who listens.
		return fmt.Errorf("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY can be the action only of single system calls")
	}
	for i, arch := range p.Architectures {
		if err := requireOneOf(fmt.Sprintf("linux.seccomp.architectures[%d]", i), arch, seccompArchs); err != nil {
			return err
		}
	}
	for i, flag := range p.Flags {
		if err := requireOneOf(fmt.Sprintf("linux.seccomp.flags[%d]", i), flag, seccompFlags); err != nil {
			return err
		}
	}
	if p.ListenerMetadata != "" && p.ListenerPath == "" {
		return fmt.Errorf("linux.seccomp.listenerMetadata: needs linux.seccomp.listenerPath")
	}
	if p.ListenerPath != "" {
		if err := requireAbsolute("linux.seccomp.listenerPath", p.ListenerPath); err != nil {
			return err
		}
	}
	for i := range p.Syscalls {
		if err := validateSyscall(fmt.Sprintf("linux.seccomp.syscalls[%d]", i), &p.Syscalls[i], p.ListenerPath); err != nil {
			return err
		}
	}
	return nil
}

func validateSyscall(field string, rule *specs.LinuxSyscall, listener string) error {
	if len(rule.Names) == 0 {
		return fmt.Errorf("%s.names: missing; at least one entry is needed", field)
	}
	if err := validateAction(field+".action", rule.Action, field+".errnoRet", rule.ErrnoRet); err != nil {
		return err
	}
	for i, name := range rule.Names {
		switch {
		case name == "":
			return fmt.Errorf("%s.names[%d]: is empty", field, i)
		case name == "sendmsg" && rule.Action == specs.ActNotify:
			return fmt.Errorf("%s.names[%d]: sendmsg cannot have SCMP_ACT_NOTIFY: it is what hands the listener over", field, i)
		}
	}
	if rule.Action == specs.ActNotify && listener == "" {
		return fmt.Errorf("%s.action: SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath", field)
	}
	for i, arg := range rule.Args {
		at := fmt.Sprintf("%s.args[%d]", field, i)
		if arg.Index > 5 {
			return fmt.Errorf("%s.index: %d is not from 0 to 5", at, arg.Index)
		}
		if err := requireOneOf(at+".op", arg.Op, seccompOperators); err != nil {
			return err
		}
	}
	return nil
}

// validateAction: the kernel keeps 16 bits of the value of an action, and takes no errno over MAX_ERRNO.
func validateAction(field string, action specs.LinuxSeccompAction, errnoField string, errno *uint) error {
	if err := requireOneOf(field, action, seccompActions); err != nil {
		return err
	}
	if errno == nil {
		return nil
	}
	const maxErrno = 4095
	switch {
	case action == specs.ActErrno && *errno > maxErrno:
		return fmt.Errorf("%s: %d is not from 0 to %d", errnoField, *errno, maxErrno)
	case action == specs.ActTrace && *errno > math.MaxUint16:
		return fmt.Errorf("%s: %d is not from 0 to %d", errnoField, *errno, math.MaxUint16)
	case action != specs.ActErrno && action != specs.ActTrace:
		return fmt.Errorf("%s: %s takes no value", errnoField, action)
	}
	return nil
}
