package spec

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ValidateProcess checks a process as Validate does. prefix comes before the names of the fields in errors: "process." or "".
func ValidateProcess(prefix string, p *specs.Process) error {
	if len(p.Args) == 0 {
		return fmt.Errorf("%sargs: missing; at least one entry is needed", prefix)
	}
	if err := requireAbsolute(prefix+"cwd", p.Cwd); err != nil {
		return err
	}
	for i, arg := range p.Args {
		if strings.IndexByte(arg, 0) >= 0 {
			return fmt.Errorf("%sargs[%d]: %s holds a zero byte", prefix, i, quoted(arg))
		}
	}
	if strings.IndexByte(p.Cwd, 0) >= 0 {
		return fmt.Errorf("%scwd: %s holds a zero byte", prefix, quoted(p.Cwd))
	}
	if err := validateEnv(prefix+"env", p.Env); err != nil {
		return err
	}
	if err := validateUser(prefix+"user", &p.User); err != nil {
		return err
	}
	if err := validateRlimits(prefix+"rlimits", p.Rlimits); err != nil {
		return err
	}
	if adj := p.OOMScoreAdj; adj != nil && (*adj < -1000 || *adj > 1000) {
		return fmt.Errorf("%soomScoreAdj: %d is not from -1000 to 1000", prefix, *adj)
	}
	if err := validateConsole(prefix+"consoleSize", p); err != nil {
		return err
	}
	return validateScheduling(prefix, p)
}

// validateEnv wants NAME=VALUE: what is no assignment would be dropped or break the program's environment.
func validateEnv(field string, env []string) error {
	for i, e := range env {
		switch at := strings.IndexByte(e, '='); {
		case strings.IndexByte(e, 0) >= 0:
			return fmt.Errorf("%s[%d]: %s holds a zero byte", field, i, quoted(e))
		case at < 0:
			return fmt.Errorf("%s[%d]: %s has no %q", field, i, quoted(e), "=")
		case at == 0:
			return fmt.Errorf("%s[%d]: %s has no name", field, i, quoted(e))
		}
	}
	return nil
}

// invalidID is (uid_t)-1, which the kernel's calls take for "leave it as it is".
const invalidID = math.MaxUint32

func validateUser(field string, u *specs.User) error {
	if u.UID == invalidID {
		return fmt.Errorf("%s.uid: %d is no user", field, u.UID)
	}
	if u.GID == invalidID {
		return fmt.Errorf("%s.gid: %d is no group", field, u.GID)
	}
	for i, gid := range u.AdditionalGids {
		if gid == invalidID {
			return fmt.Errorf("%s.additionalGids[%d]: %d is no group", field, i, gid)
		}
	}
	if u.Umask != nil && *u.Umask > 0o777 {
		return fmt.Errorf("%s.umask: %d is not from 0 to %d (octal 0777)", field, *u.Umask, 0o777)
	}
	return nil
}

// rlimitTypes are the resources of setrlimit(2).
var rlimitTypes = []string{
	"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE",
	"RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING",
	"RLIMIT_STACK",
}

func validateRlimits(field string, limits []specs.POSIXRlimit) error {
	first := map[string]int{}
	for i, l := range limits {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := requireOneOf(at+".type", l.Type, rlimitTypes); err != nil {
			return err
		}
		if j, ok := first[l.Type]; ok {
			return fmt.Errorf("%s.type: %s is already in %s[%d]", at, l.Type, field, j)
		}
		first[l.Type] = i
		if l.Soft > l.Hard {
			return fmt.Errorf("%s.soft: %d is over the hard limit, %d", at, l.Soft, l.Hard)
		}
	}
	return nil
}

// validateConsole: struct winsize has 16 bits for each side. Without a terminal the size MUST be ignored.
func validateConsole(field string, p *specs.Process) error {
	if !p.Terminal || p.ConsoleSize == nil {
		return nil
	}
	if p.ConsoleSize.Height > math.MaxUint16 {
		return fmt.Errorf("%s.height: %d is not from 0 to %d", field, p.ConsoleSize.Height, math.MaxUint16)
	}
	if p.ConsoleSize.Width > math.MaxUint16 {
		return fmt.Errorf("%s.width: %d is not from 0 to %d", field, p.ConsoleSize.Width, math.MaxUint16)
	}
	return nil
}

func validateScheduling(prefix string, p *specs.Process) error {
	if s := p.Scheduler; s != nil {
		if err := validateScheduler(prefix+"scheduler", s); err != nil {
			return err
		}
	}
	if io := p.IOPriority; io != nil {
		classes := []specs.IOPriorityClass{specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE}
		if err := requireOneOf(prefix+"ioPriority.class", io.Class, classes); err != nil {
			return err
		}
		if io.Priority < 0 || io.Priority > 7 {
			return fmt.Errorf("%sioPriority.priority: %d is not from 0 to 7", prefix, io.Priority)
		}
	}
	if cpus := p.ExecCPUAffinity; cpus != nil {
		if err := validateList(prefix+"execCPUAffinity.initial", cpus.Initial); err != nil {
			return err
		}
		return validateList(prefix+"execCPUAffinity.final", cpus.Final)
	}
	return nil
}

var schedulerPolicies = []specs.LinuxSchedulerPolicy{
	specs.SchedOther, specs.SchedFIFO, specs.SchedRR, specs.SchedBatch, specs.SchedISO, specs.SchedIdle, specs.SchedDeadline,
}

var schedulerFlags = []specs.LinuxSchedulerFlag{
	specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
	specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax,
}

// validateScheduler is sched_setattr(2): which values go with which policy.
func validateScheduler(field string, s *specs.Scheduler) error {
	if err := requireOneOf(field+".policy", s.Policy, schedulerPolicies); err != nil {
		return err
	}
	for i, flag := range s.Flags {
		if err := requireOneOf(fmt.Sprintf("%s.flags[%d]", field, i), flag, schedulerFlags); err != nil {
			return err
		}
	}
	if s.Nice < -20 || s.Nice > 19 {
		return fmt.Errorf("%s.nice: %d is not from -20 to 19", field, s.Nice)
	}
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	if realtime && (s.Priority < 1 || s.Priority > 99) {
		return fmt.Errorf("%s.priority: %d is not from 1 to 99, which %s needs", field, s.Priority, s.Policy)
	}
	if !realtime && s.Priority != 0 {
		return fmt.Errorf("%s.priority: %d must be 0 with %s", field, s.Priority, s.Policy)
	}
	if s.Policy != specs.SchedDeadline {
		if s.Runtime != 0 || s.Deadline != 0 || s.Period != 0 {
			return fmt.Errorf("%s: runtime, deadline and period need SCHED_DEADLINE, not %s", field, s.Policy)
		}
		return nil
	}
	period := s.Period
	if period == 0 {
		period = s.Deadline
	}
	if s.Runtime == 0 || s.Runtime > s.Deadline || s.Deadline > period {
		return fmt.Errorf("%s: 0 < runtime (%d) <= deadline (%d) <= period (%d) must hold", field, s.Runtime, s.Deadline, s.Period)
	}
	return nil
}

// validateList checks a list of CPUs or memory nodes as the kernel reads it (bitmap_parselist): numbers and ranges with commas
// between them, such as 0-3,7. A range may have a pattern, 0-31:2/4, and N is the last number; "all" is everything.
func validateList(field, list string) error {
	for _, part := range strings.Split(strings.TrimSpace(list), ",") {
		if part = strings.TrimSpace(part); part != "" && !validListPart(part) {
			return fmt.Errorf("%s: %s in %s is no number or range such as 0-3", field, quoted(part), quoted(list))
		}
	}
	return nil
}

func validListPart(part string) bool {
	part, pattern, patterned := strings.Cut(part, ":")
	if patterned {
		used, group, ok := strings.Cut(pattern, "/")
		u, err := strconv.ParseUint(used, 10, 31)
		g, err2 := strconv.ParseUint(group, 10, 31)
		if !ok || err != nil || err2 != nil || u > g || g == 0 {
			return false
		}
	}
	if part == "all" {
		return true
	}
	first, last, isRange := strings.Cut(part, "-")
	a, ok := listNumber(first)
	if !isRange {
		return ok && !patterned
	}
	b, ok2 := listNumber(last)
	return ok && ok2 && a <= b
}

func listNumber(text string) (uint64, bool) {
	if text == "N" {
		return math.MaxInt32, true
	}
	n, err := strconv.ParseUint(text, 10, 31)
	return n, err == nil
}
