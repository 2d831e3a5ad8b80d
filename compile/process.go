package compile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// defaultPath is where programs are looked for when the environment names no PATH (as execvp(3) does).
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// defaultUmask applies where process.user.umask does not.
const defaultUmask = 0o022

// keepGroupsAnnotation leaves the caller's supplementary groups alone (podman's --group-add keep-groups).
const keepGroupsAnnotation = "run.oci.keep_original_groups"

func (c *compiler) hostnames() error {
	if c.spec.Hostname != "" {
		c.add("hostname", &plan.Hostname{Value: c.spec.Hostname})
	}
	if c.spec.Domainname != "" {
		c.add("domainname", &plan.Domainname{Value: c.spec.Domainname})
	}
	return nil
}

// processSetup is everything about the user's process that can be done before it is started. Its errors are those of create.
func (c *compiler) processSetup() error {
	if !c.req.NoNewKeyring {
		c.add("", &plan.Keyring{Value: "_ses." + c.req.ID})
	}
	for _, part := range []func() error{
		c.labels, c.rlimits, c.scheduling, c.memoryPolicy, c.personality, c.bounding, c.user, c.program,
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// stdioOwner is who is to have the standard streams, to open /dev/stdout. Root may open them anyway.
func (c *compiler) stdioOwner() uint32 {
	if c.process.User.UID == 0 {
		return plan.SameOwner
	}
	return c.process.User.UID
}

// user takes the user's ids. The bounding set was cut before: that needs a capability which goes with the ids. The working directory is
// entered as the user, who may be the only one with the right to.
func (c *compiler) user() error {
	u := c.process.User
	if !c.process.Terminal {
		c.add("", &plan.OwnStdio{UID: c.stdioOwner()})
	}
	if c.homeIsMissing() {
		c.add("", &plan.Home{UID: u.UID})
	}
	step := &plan.User{UID: u.UID, GID: u.GID, Groups: u.AdditionalGids}
	if c.spec.Annotations[keepGroupsAnnotation] == "1" {
		step.KeepGroups = 1
	}
	if c.setgroupsDenied() {
		switch {
		case len(u.AdditionalGids) == 0:
		case c.req.Facts.SetgroupsDenied:
			return errors.New("process.user.additionalGids: cannot be set: the user namespace that zbox is in has given up setgroups(2)")
		default:
			return errors.New("process.user.additionalGids: cannot be set without root privileges while only one group is mapped")
		}
		step.KeepGroups = 1
	}
	c.add("process.user", step)
	c.add(given("process.cwd", c.process.Cwd != ""), &plan.Chdir{Path: c.cwd()})
	umask := uint32(defaultUmask)
	if u.Umask != nil {
		umask = *u.Umask
	}
	c.add(given("process.user.umask", u.Umask != nil), &plan.Umask{Mask: umask & 0o777})
	return nil
}

func (c *compiler) cwd() string {
	if c.process.Cwd == "" {
		return "/"
	}
	return c.process.Cwd
}

// workingDirectory makes a missing working directory as root and before anything becomes read-only, as runc does. A process that is
// executed later gets none made.
func (c *compiler) workingDirectory() {
	if cwd := c.cwd(); path.Clean(cwd) != "/" {
		c.add("process.cwd", &plan.Mkdir{Path: cwd})
	}
}

// program finds what is to be executed and closes all that it must not see.
func (c *compiler) program() error {
	c.add("process.args[0]", &plan.Find{Program: c.process.Args[0], Path: envValue(c.process.Env, "PATH", defaultPath)})
	c.add("", &plan.CloseFDs{Keep: uint32(c.plan.Preserve)})
	return nil
}

// lockDown ends the plan. A filter that is installed without no_new_privs needs CAP_SYS_ADMIN, so it comes before the capabilities go;
// otherwise it comes last, so that it need allow no system call but execve(2).
func (c *compiler) lockDown() error {
	nnp := c.process.NoNewPrivileges
	if !nnp {
		if err := c.seccomp(); err != nil {
			return err
		}
	}
	c.capabilities()
	if nnp {
		c.add("process.noNewPrivileges", &plan.NoNewPrivs{})
		if err := c.seccomp(); err != nil {
			return err
		}
	}
	c.add("process.args", &plan.Exec{Args: c.process.Args, Env: c.environment()})
	return nil
}

// environment is process.env with what socket activation, sd_notify and a login need. Later entries win, as with runc.
func (c *compiler) environment() []string {
	var env []string
	seen := map[string]int{}
	set := func(entry string) {
		name, _, _ := strings.Cut(entry, "=")
		if i, ok := seen[name]; ok {
			env[i] = entry
			return
		}
		seen[name] = len(env)
		env = append(env, entry)
	}
	for _, entry := range c.process.Env {
		set(entry)
	}
	if c.homeIsMissing() {
		set("HOME=" + homeOf(c.process.User.UID)) // unless the home step finds another
	}
	if c.req.ListenFDs > 0 {
		set(fmt.Sprintf("LISTEN_FDS=%d", c.req.ListenFDs))
		set("LISTEN_PID=1")
		if c.req.ListenFDNames != "" {
			set("LISTEN_FDNAMES=" + c.req.ListenFDNames)
		}
	}
	if c.req.NotifySocket != "" {
		set("NOTIFY_SOCKET=" + c.req.NotifySocket)
	}
	return env
}

// homeIsMissing: then the root's passwd file is asked, as other runtimes do. Nothing else of a process may depend on that (CVE-2016-3697).
func (c *compiler) homeIsMissing() bool {
	return !slices.ContainsFunc(c.process.Env, func(entry string) bool { return strings.HasPrefix(entry, "HOME=") })
}

// homeOf is the home directory of a user who has none in the environment and in the passwd file.
func homeOf(uid uint32) string {
	if uid == 0 {
		return "/root"
	}
	return "/"
}

// envValue is the last value of a variable, as execve(2)'s program would see it.
func envValue(env []string, name, fallback string) string {
	for _, entry := range slices.Backward(env) {
		if n, v, ok := strings.Cut(entry, "="); ok && n == name {
			return v
		}
	}
	return fallback
}

func (c *compiler) seccomp() error {
	profile := c.spec.Linux.Seccomp
	if profile == nil {
		return nil
	}
	flags, notify, err := FilterFlags(profile)
	if err != nil {
		return fmt.Errorf("linux.seccomp: %w", err)
	}
	step := &plan.Seccomp{Filter: c.req.Filter, Flags: flags, Rules: FilterWords(profile)}
	if notify {
		step.Notify = 1
	}
	c.add("linux.seccomp", step)
	return nil
}

var personalityDomains = map[specs.LinuxPersonalityDomain]uint64{specs.PerLinux: 0, specs.PerLinux32: 0x0008}

func (c *compiler) personality() error {
	p := c.spec.Linux.Personality
	if p == nil {
		return nil
	}
	domain, ok := personalityDomains[p.Domain]
	if !ok {
		return fmt.Errorf("linux.personality.domain: %q is not LINUX or LINUX32", p.Domain)
	}
	if len(p.Flags) > 0 {
		return errors.New("linux.personality.flags: the spec defines none")
	}
	c.add("linux.personality", &plan.Personality{Domain: domain})
	return nil
}

// labels writes the LSM labels that execve(2) applies (proc_pid_attr(5)).
func (c *compiler) labels() error {
	if profile := c.process.ApparmorProfile; profile != "" {
		if !c.req.Facts.AppArmor {
			return errors.New("process.apparmorProfile: AppArmor is not enabled on this host")
		}
		c.add("process.apparmorProfile", &plan.ProcWrite{Path: "self/attr/apparmor/exec", Value: "exec " + profile})
	}
	if label := c.process.SelinuxLabel; label != "" {
		if !c.req.Facts.SELinux {
			return errors.New("process.selinuxLabel: SELinux is not enabled on this host")
		}
		c.add("process.selinuxLabel", &plan.ProcWrite{Path: "self/attr/exec", Value: label})
	}
	return nil
}

var rlimitTypes = map[string]uint32{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

func (c *compiler) rlimits() error {
	seen := map[string]bool{}
	for i, r := range c.process.Rlimits {
		origin := fmt.Sprintf("process.rlimits[%d]", i)
		resource, ok := rlimitTypes[r.Type]
		if !ok {
			return fmt.Errorf("%s.type: %q is not a resource limit of Linux", origin, r.Type)
		}
		if seen[r.Type] {
			return fmt.Errorf("%s: %s is listed twice", origin, r.Type)
		}
		seen[r.Type] = true
		c.add(origin, &plan.Rlimit{Resource: resource, Soft: r.Soft, Hard: r.Hard})
	}
	return nil
}
