package translate

import (
	"fmt"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/spec"
)

// checkProcess checks what describes the program's process.
func (c *Config) checkProcess() error {
	for i, arg := range c.Args {
		if strings.ContainsRune(arg, 0) {
			return wrong(fmt.Sprintf("args[%d]", i), "%q holds a zero byte", shorten(arg))
		}
	}
	if err := c.checkEnv(); err != nil {
		return err
	}
	switch {
	case c.Cwd != "" && !filepath.IsAbs(c.Cwd):
		return wrong("cwd", "%q must be an absolute path", shorten(c.Cwd))
	case len(c.Cwd) > maxPath || strings.ContainsRune(c.Cwd, 0):
		return wrong("cwd", "%q is longer than %d bytes or holds a zero byte", shorten(c.Cwd), maxPath)
	case c.Hostname != "" && !validHostname(c.Hostname):
		return wrong("hostname", "%q must be 1 to 64 of a-z A-Z 0-9 . - and start and end with a letter or digit", shorten(c.Hostname))
	}
	return c.checkCapabilities()
}

func (c *Config) checkEnv() error {
	first := map[string]int{}
	for i, entry := range c.Env {
		field := fmt.Sprintf("env[%d]", i)
		name, _, ok := strings.Cut(entry, "=")
		switch {
		case !ok || name == "":
			return wrong(field, "%q must be NAME=value", shorten(entry))
		case strings.ContainsRune(entry, 0):
			return wrong(field, "%q holds a zero byte", shorten(entry))
		}
		if j, twice := first[name]; twice {
			return wrong(field, "%s is already set by env[%d]", shorten(name), j)
		}
		first[name] = i
	}
	return nil
}

func (c *Config) checkCapabilities() error {
	for i, name := range c.Capabilities {
		if _, ok := capability(name); !ok {
			hint := ""
			if near := spec.Nearest(name, capabilityNames()); near != "" {
				hint = fmt.Sprintf(", did you mean %q?", near)
			}
			return wrong(fmt.Sprintf("capabilities[%d]", i), "%q is not a capability%s", shorten(name), hint)
		}
	}
	return nil
}

// capability is the full name of a capability, which may be given without CAP_ and in lower case.
func capability(name string) (string, bool) {
	name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	for _, known := range capabilityNames() {
		if name == known {
			return "CAP_" + name, true
		}
	}
	return "", false
}

// capabilityNames are those of capabilities(7), without CAP_.
func capabilityNames() []string {
	return strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
		NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
		SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
		BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)
}

func (c *Config) process(args []string, o Options) *specs.Process {
	if len(args) == 0 {
		args = c.Args
	}
	terminal := c.hasTerminal(o)
	return &specs.Process{
		Terminal:     terminal,
		User:         specs.User{UID: uint32(c.UID), GID: uint32(c.GID)},
		Args:         append(append(c.initArgs(), c.target()), args...),
		Env:          c.environment(terminal, o.Term),
		Cwd:          c.cwd(),
		Capabilities: c.capabilities(),
		// Not even a setuid program of a root with content can gain what the sandbox does not have.
		NoNewPrivileges: true,
	}
}

// initPath is where the init is inside: on the tmpfs of /dev, so that no root needs a file for it.
const initPath = "/dev/init"

func (c *Config) initArgs() []string {
	if !c.Init {
		return nil
	}
	return []string{initPath}
}

// initMounts shows the helper, a file of the bundle, to the sandbox. A relative source is in the bundle (runtime-spec, config.md,
// "Mounts").
func (c *Config) initMounts() []specs.Mount {
	if !c.Init {
		return nil
	}
	return []specs.Mount{bindMount(helperFile, initPath, "bind")}
}

func (c *Config) hasTerminal(o Options) bool {
	return c.Terminal == On || c.Terminal != Off && o.Terminal
}

func (c *Config) cwd() string {
	switch {
	case c.Cwd != "":
		return c.Cwd
	case c.Workspace != nil:
		return c.Workspace.Target
	}
	return "/"
}

// environment is the program's whole environment. An entry of env takes the place of the one that is there by itself.
func (c *Config) environment(terminal bool, term string) []string {
	env := []string{"PATH=" + searchPath, "HOME=" + homeDir}
	if terminal {
		if term == "" {
			term = "xterm"
		}
		env = append(env, "TERM="+term)
	}
	for _, entry := range c.Env {
		name, _, _ := strings.Cut(entry, "=")
		env = append(unset(env, name), entry)
	}
	return env
}

// unset is env but for the entry of one name.
func unset(env []string, name string) []string {
	var out []string
	for _, entry := range env {
		if !strings.HasPrefix(entry, name+"=") {
			out = append(out, entry)
		}
	}
	return out
}

// capabilities are the same in all sets that the program starts with. A user other than root keeps them over execve(2) only through the
// ambient set (capabilities(7)).
func (c *Config) capabilities() *specs.LinuxCapabilities {
	var names []string
	for _, name := range c.Capabilities {
		if full, ok := capability(name); ok {
			names = append(names, full)
		}
	}
	caps := &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
	if c.UID != 0 {
		caps.Inheritable, caps.Ambient = names, names
	}
	return caps
}

// hostname is the configured one, or a host name (RFC 1123, 2.1) made of the sandbox's name: no underscore, no dot or hyphen at the end.
func (c *Config) hostname() string {
	if c.Hostname != "" {
		return c.Hostname
	}
	return strings.TrimRight(strings.ReplaceAll(c.Name, "_", "-"), ".-")
}

// validHostname: the kernel takes 64 bytes (uname(2)).
func validHostname(name string) bool {
	alphanumeric := func(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' }
	for i := range len(name) {
		if !alphanumeric(name[i]) && (name[i] != '.' && name[i] != '-' || i == 0 || i == len(name)-1) {
			return false
		}
	}
	return 0 < len(name) && len(name) <= 64
}
