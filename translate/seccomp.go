package translate

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/spec"
)

// DeniedGroup is a set of system calls that the sandbox refuses for one reason.
type DeniedGroup struct {
	Names []string
	Errno syscall.Errno
	Why   string
}

// Denied lists the system calls that are refused whatever their arguments. EPERM is what a program without rights gets
// anyway, so that probing for a call does not kill it (SEED.md 6.2, row 19). What is refused by argument is in argumentRules.
func Denied() []DeniedGroup {
	return []DeniedGroup{
		{seedCalls(), syscall.EPERM, "the seed's list: kernel modules, kexec, hardware, NUMA policy, device nodes, accounting, reboot and swap, debugging, keys"},
		{
			[]string{
				"mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig",
				"fsmount", "fspick", "mount_setattr",
			},
			syscall.EPERM, "the mount tree and the root directory",
		},
		{[]string{"unshare", "setns"}, syscall.EPERM, "new namespaces bring new rights inside them"},
		{[]string{"clone3"}, syscall.ENOSYS, "its flags are behind a pointer; C libraries fall back to clone"},
		{[]string{"bpf", "perf_event_open", "userfaultfd"}, syscall.EPERM, "large or often broken parts of the kernel"},
		{[]string{"io_uring_setup", "io_uring_enter", "io_uring_register"}, syscall.EPERM, "does input and output that no filter sees"},
		{[]string{"open_by_handle_at", "pidfd_getfd", "fanotify_init"}, syscall.EPERM, "ways to files and descriptors past the path"},
		{[]string{"settimeofday", "clock_settime", "clock_settime64", "stime"}, syscall.EPERM, "the host's clock"},
		{
			[]string{
				"_sysctl", "create_module", "get_kernel_syms", "nfsservctl", "query_module", "sysfs", "uselib", "ustat", "vm86", "vm86old",
			},
			syscall.EPERM, "obsolete",
		},
	}
}

// seedCalls are the categories of the seed's README ("29 always"), spelled out, with the calls of the same kind that came to the kernel
// later (set_mempolicy_home_node, quotactl_fd).
func seedCalls() []string {
	return []string{
		"init_module", "finit_module", "delete_module",
		"kexec_load", "kexec_file_load",
		"ioperm", "iopl", "syslog",
		"mbind", "set_mempolicy", "get_mempolicy", "migrate_pages", "move_pages", "set_mempolicy_home_node",
		"mknod", "mknodat",
		"acct", "quotactl", "quotactl_fd", "lookup_dcookie",
		"reboot", "swapon", "swapoff",
		"ptrace", "process_vm_readv", "process_vm_writev", "kcmp",
		"add_key", "request_key", "keyctl",
	}
}

// nativeArchs maps GOARCH to the one architecture whose calls the filter knows. Calls of any other, x32 among them, kill the process:
// libseccomp's filters test the architecture first (SEED.md 6.2, rows 1 and 4).
var nativeArchs = map[string]specs.Arch{
	"386": specs.ArchX86, "amd64": specs.ArchX86_64, "arm": specs.ArchARM, "arm64": specs.ArchAARCH64,
	"loong64": specs.ArchLOONGARCH64, "ppc64le": specs.ArchPPC64LE, "riscv64": specs.ArchRISCV64, "s390x": specs.ArchS390X,
}

func (o Options) arch() string {
	if o.Arch != "" {
		return o.Arch
	}
	return runtime.GOARCH
}

// builtinProfile allows everything but Denied and argumentRules, as changed by the configuration.
func (c *Config) builtinProfile(goarch string) (*specs.LinuxSeccomp, error) {
	native, ok := nativeArchs[goarch]
	if !ok {
		return nil, fmt.Errorf("building the seccomp profile: no system call table for the architecture %s", goarch)
	}
	changes := c.Seccomp
	if changes == nil {
		changes = &Seccomp{}
	}
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{native}}
	for _, g := range Denied() {
		if names := except(g.Names, changes.Allow); len(names) > 0 {
			p.Syscalls = append(p.Syscalls, deny(g.Errno, names))
		}
	}
	for _, rule := range c.argumentRules(goarch) {
		// What is refused whatever its arguments needs no rule for some of them.
		if rule.Names = except(except(rule.Names, changes.Allow), changes.Deny); len(rule.Names) > 0 {
			p.Syscalls = append(p.Syscalls, rule)
		}
	}
	if names := except(changes.Deny, deniedNames()); len(names) > 0 {
		p.Syscalls = append(p.Syscalls, deny(syscall.EPERM, names))
	}
	return p, nil
}

// except is names without those that are left out.
func except(names, left []string) []string {
	if len(left) == 0 {
		return names
	}
	var out []string
	for _, name := range names {
		if !slices.Contains(left, name) {
			out = append(out, name)
		}
	}
	return out
}

func deniedNames() []string {
	var names []string
	for _, g := range Denied() {
		names = append(names, g.Names...)
	}
	return names
}

// seccompProfile is the filter of the sandbox: the built-in one, or the user's.
func (c *Config) seccompProfile(goarch string) (*specs.LinuxSeccomp, error) {
	if c.Seccomp == nil || c.Seccomp.Profile == "" {
		return c.builtinProfile(goarch)
	}
	p, err := readProfile(c.Seccomp.Profile)
	if err != nil {
		return nil, c.locate(wrong("seccomp.profile", "%w", err))
	}
	return p, nil
}

// readProfile reads a linux.seccomp object (runtime-spec, config-linux.md, "Seccomp"). A field that the specification does not have is an
// error: docker's own form of profiles, with includes and archMap, would otherwise pass with half of its rules.
func readProfile(path string) (*specs.LinuxSeccomp, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxConfigSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxConfigSize)
	}
	p := &specs.LinuxSeccomp{}
	if err := spec.Decode(path, data, p, spec.DecodeOptions{Strict: true}); err != nil {
		return nil, err
	}
	if err := spec.ValidateSeccomp(p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// checkSeccomp checks the changes of the filter against each other and against the built-in list.
func (c *Config) checkSeccomp() error {
	if c.Seccomp == nil {
		return nil
	}
	if c.Seccomp.Profile != "" {
		if len(c.Seccomp.Deny)+len(c.Seccomp.Allow) > 0 {
			return wrong("seccomp.profile", "takes the place of the whole filter; deny and allow change the built-in one")
		}
		return checkPath("seccomp.profile", c.Seccomp.Profile)
	}
	return c.checkAllowed()
}

// checkAllowed reports a call of allow that is not refused, which is a typing error, or refused and allowed at once.
func (c *Config) checkAllowed() error {
	known := deniedNames()
	for _, g := range ByArgument(runtime.GOARCH) {
		known = append(known, g.Names...)
	}
	for i, name := range c.Seccomp.Allow {
		field := fmt.Sprintf("seccomp.allow[%d]", i)
		switch {
		case slices.Contains(c.Seccomp.Deny, name):
			return wrong(field, "%s is also in seccomp.deny", shorten(name))
		case slices.Contains(known, name):
		case spec.Nearest(name, known) != "":
			return wrong(field, "%q is not refused; did you mean %q?", shorten(name), spec.Nearest(name, known))
		default:
			return wrong(field, "%q is not refused: docs/sandbox.md has the list", shorten(name))
		}
	}
	return nil
}

// CheckCalls reports the first name of seccomp.deny that is no system call. known is what tells, and words who that is.
func (c *Config) CheckCalls(known func(name string) bool, words string) error {
	if c.Seccomp == nil {
		return nil
	}
	for i, name := range c.Seccomp.Deny {
		if !known(name) {
			return c.locate(wrong(fmt.Sprintf("seccomp.deny[%d]", i), "%q is not a system call that %s knows", shorten(name), words))
		}
	}
	return nil
}

func deny(errno syscall.Errno, names []string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	ret := uint(errno)
	return specs.LinuxSyscall{Names: names, Action: specs.ActErrno, ErrnoRet: &ret, Args: args}
}

// ArgumentGroup is a set of system calls that are refused with some of their arguments.
type ArgumentGroup struct {
	Names []string
	When  string
	Errno syscall.Errno
	Why   string
	// any are the conditions of one rule each.
	any [][]specs.LinuxSeccompArg
}

// ByArgument lists the calls that are needed but for some of their arguments. The last group is for sandboxes without an init.
func ByArgument(goarch string) []ArgumentGroup {
	return []ArgumentGroup{
		{[]string{"clone"}, "a flag makes a namespace", syscall.EPERM, "as `unshare`", cloneConditions(goarch)},
		{
			[]string{"ioctl"},
			"the request is TIOCSTI or TIOCLINUX, judged by the 32 bits that the kernel looks at", syscall.EPERM,
			"they are input for another reader of the terminal", ioctlConditions(),
		},
		{
			[]string{"socket", "socketpair"},
			"the family is none of UNIX, INET, INET6, NETLINK", syscall.EAFNOSUPPORT,
			"AF_VSOCK reaches the hypervisor past the network namespace, AF_ALG and the rest are seldom used parts of the kernel", socketConditions(),
		},
		{
			[]string{"prctl"},
			"PR_SET_PDEATHSIG asks for another signal than SIGKILL; not with `init`", syscall.EPERM,
			"process 1 is killed with zbox, and the program, when it is process 1, cannot take that back", parentDeathConditions(),
		},
	}
}

// argumentRules are ByArgument as rules.
func (c *Config) argumentRules(goarch string) []specs.LinuxSyscall {
	groups := ByArgument(goarch)
	if c.Init {
		groups = groups[:len(groups)-1]
	}
	var rules []specs.LinuxSyscall
	for _, g := range groups {
		for _, args := range g.any {
			rules = append(rules, deny(g.Errno, g.Names, args...))
		}
	}
	return rules
}

// cloneConditions are the flags of clone(2) that make a namespace. CLONE_NEWTIME is not among clone's flags.
func cloneConditions(goarch string) (any [][]specs.LinuxSeccompArg) {
	index := uint(0)
	if goarch == "s390x" {
		index = 1 // clone(2), "C library/kernel differences": the stack comes first
	}
	for _, f := range []uint64{
		syscall.CLONE_NEWNS, syscall.CLONE_NEWCGROUP, syscall.CLONE_NEWUTS, syscall.CLONE_NEWIPC,
		syscall.CLONE_NEWUSER, syscall.CLONE_NEWPID, syscall.CLONE_NEWNET,
	} {
		any = append(any, []specs.LinuxSeccompArg{masked(index, f, f)})
	}
	return any
}

// ioctlConditions are those that push input into a terminal (CVE-2017-5226). The kernel looks at 32 bits of the request only: without the
// mask, a bit above them would slip through (CVE-2019-10063).
func ioctlConditions() (any [][]specs.LinuxSeccompArg) {
	const tioclinux = 0x541c
	for _, request := range []uint64{syscall.TIOCSTI, tioclinux} {
		any = append(any, []specs.LinuxSeccompArg{masked(1, 0xffffffff, request)})
	}
	return any
}

// socketConditions leave the families UNIX, INET, INET6 and NETLINK. A value with bits above 32 is larger than any family and refused as
// well.
func socketConditions() [][]specs.LinuxSeccompArg {
	any := [][]specs.LinuxSeccompArg{{{Index: 0, Value: syscall.AF_NETLINK, Op: specs.OpGreaterThan}}}
	for family := uint64(syscall.AF_INET + 1); family < syscall.AF_NETLINK; family++ {
		if family != syscall.AF_INET6 {
			any = append(any, []specs.LinuxSeccompArg{{Index: 0, Value: family, Op: specs.OpEqualTo}})
		}
	}
	return any
}

// parentDeathConditions: the kernel looks at 32 bits of the option, and at all of the signal.
func parentDeathConditions() [][]specs.LinuxSeccompArg {
	const setParentDeathSignal = 1 // PR_SET_PDEATHSIG
	return [][]specs.LinuxSeccompArg{{
		masked(0, 0xffffffff, setParentDeathSignal),
		{Index: 1, Value: uint64(syscall.SIGKILL), Op: specs.OpNotEqual},
	}}
}

// masked matches an argument whose bits under mask are value.
func masked(index uint, mask, value uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Value: mask, ValueTwo: value, Op: specs.OpMaskedEqual}
}
