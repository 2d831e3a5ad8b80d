package compile

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What is here needs no libseccomp; Filter, in seccomp_libseccomp.go, does.

// seccompFlags are the flags of config-linux.md, "Seccomp", and their bits for seccomp(2).
var seccompFlags = map[specs.LinuxSeccompFlag]uint64{
	"SECCOMP_FILTER_FLAG_TSYNC":            unix.SECCOMP_FILTER_FLAG_TSYNC,
	specs.LinuxSeccompFlagLog:              unix.SECCOMP_FILTER_FLAG_LOG,
	specs.LinuxSeccompFlagSpecAllow:        unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
	specs.LinuxSeccompFlagWaitKillableRecv: unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
}

// FilterFlags returns the flags of seccomp(2) for a profile, without SECCOMP_FILTER_FLAG_NEW_LISTENER, and whether the filter needs
// a listener. A profile without flags, as opposed to one with an empty list, gets SPEC_ALLOW, as from runc: without it the kernel
// before 5.16 slows the process down by mitigations that nobody asked for.
func FilterFlags(p *specs.LinuxSeccomp) (flags uint64, notify bool, err error) {
	if p.Flags == nil {
		flags = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	for i, flag := range p.Flags {
		bit, ok := seccompFlags[flag]
		if !ok {
			return 0, false, fmt.Errorf("flags[%d]: unknown flag %q", i, flag)
		}
		flags |= bit
	}
	for i := range p.Syscalls {
		notify = notify || p.Syscalls[i].Action == specs.ActNotify
	}
	switch {
	case !notify:
		// It is about waiting for the listener, and the kernel refuses it without one.
		flags &^= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	case flags&unix.SECCOMP_FILTER_FLAG_TSYNC != 0:
		// Both TSYNC and the listener want seccomp(2)'s return value; this settles who gets it.
		flags |= unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	}
	return flags, notify, nil
}

// FilterWords describes a profile in a few words: its default action and how much it has.
func FilterWords(p *specs.LinuxSeccomp) string {
	calls := map[string]bool{}
	for _, rule := range p.Syscalls {
		for _, name := range rule.Names {
			calls[name] = true
		}
	}
	parts := []string{"default " + string(p.DefaultAction)}
	if p.DefaultErrnoRet != nil {
		parts[0] += fmt.Sprintf(" %d", *p.DefaultErrnoRet)
	}
	parts = append(parts, fmt.Sprintf("%s in %s", count(len(calls), "system call"), count(len(p.Syscalls), "rule")))
	if len(p.Architectures) == 0 {
		parts = append(parts, "the native architecture")
	} else {
		parts = append(parts, count(len(p.Architectures), "architecture"))
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// checkNotify reports rules whose listener could never be handed over: the stage does that with sendmsg(2), under the filter.
func checkNotify(p *specs.LinuxSeccomp) error {
	if p.DefaultAction == specs.ActNotify {
		return fmt.Errorf("defaultAction: SCMP_ACT_NOTIFY can be the action only of single system calls")
	}
	for i, rule := range p.Syscalls {
		if rule.Action != specs.ActNotify {
			continue
		}
		for j, name := range rule.Names {
			if name == "sendmsg" {
				return fmt.Errorf("syscalls[%d].names[%d]: sendmsg cannot have SCMP_ACT_NOTIFY: it is what hands the listener over", i, j)
			}
		}
	}
	return nil
}
