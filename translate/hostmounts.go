package translate

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hostMount is a directory or file of the host that the user wants inside.
type hostMount struct {
	field    string // "mounts[2]"
	source   string // without symbolic links
	target   string // clean
	readonly bool
	handle   *os.File
	isDir    bool
	uid, gid uint32 // the owner of source
}

const workspaceField = "workspace"

// listMounts are the mounts and the workspace as they are in the file.
func (c *Config) listMounts() []hostMount {
	var out []hostMount
	for i, m := range c.Mounts {
		out = append(out, hostMount{field: fmt.Sprintf("mounts[%d]", i), source: m.Source, target: path.Clean(m.Target), readonly: m.Readonly})
	}
	if c.Workspace != nil {
		out = append(out, hostMount{field: workspaceField, source: c.Workspace.Source, target: path.Clean(c.Workspace.Target)})
	}
	return out
}

// checkMounts checks what can be said without looking at the machine.
func (c *Config) checkMounts() error {
	first := map[string]string{}
	for i, m := range c.listMounts() {
		given := m.target
		if i < len(c.Mounts) {
			given = c.Mounts[i].Target
		} else if c.Workspace != nil {
			given = c.Workspace.Target
		}
		if err := checkAbsolute(m.field+".source", m.source); err != nil {
			return err
		}
		if err := checkTarget(m.field+".target", given); err != nil {
			return err
		}
		if other, twice := first[m.target]; twice {
			return wrong(m.field+".target", "%s is already the target of %s", shorten(m.target), other)
		}
		first[m.target] = m.field
	}
	return nil
}

func checkAbsolute(field, name string) error {
	switch {
	case strings.ContainsRune(name, 0):
		return wrong(field, "%q holds a zero byte", shorten(name))
	case len(name) > maxPath:
		return wrong(field, "%q is %d bytes long, longer than %d", shorten(name), len(name), maxPath)
	case !filepath.IsAbs(name):
		return wrong(field, "%q must be an absolute path", shorten(name))
	}
	return nil
}

// checkTarget: the file systems of the kernel are the sandbox's own, and what they hide and protect must stay so.
func checkTarget(field, name string) error {
	if err := checkAbsolute(field, name); err != nil {
		return err
	}
	clean := path.Clean(name)
	top, _, _ := strings.Cut(clean[1:], "/")
	switch {
	case slices.Contains(strings.Split(name, "/"), ".."):
		return wrong(field, "%q goes up with ..", shorten(name))
	case clean == "/":
		return wrong(field, "is /: give the whole file system as root")
	case top == "proc" || top == "sys" || top == "dev":
		return wrong(field, "%s is in /%s, which is the sandbox's own", shorten(name), top)
	}
	return nil
}

// openMounts looks at the sources, in the order in which they are to be mounted: what holds another comes first.
func (c *Config) openMounts(o Options) ([]*hostMount, error) {
	var out []*hostMount
	for _, m := range c.listMounts() {
		if err := m.open(); err != nil {
			closeMounts(out)
			return nil, wrong(m.field+".source", "%w", err)
		}
		out = append(out, &m)
		if m.field == workspaceField && !m.isDir {
			closeMounts(out)
			return nil, wrong(m.field+".source", "%s: not a directory", m.source)
		}
	}
	slices.SortStableFunc(out, func(a, b *hostMount) int { return strings.Compare(a.target, b.target) })
	for i, m := range out {
		if err := c.checkMount(m, holder(out[:i], m.target), o); err != nil {
			closeMounts(out)
			return nil, err
		}
	}
	return out, nil
}

func closeMounts(mounts []*hostMount) {
	for _, m := range mounts {
		m.handle.Close()
	}
}

// open resolves the source, once.
func (m *hostMount) open() error {
	real, err := filepath.EvalSymlinks(m.source)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return fmt.Errorf("%s: %w", m.source, err)
	}
	if m.handle, err = os.OpenFile(real, unix.O_PATH|unix.O_NOFOLLOW, 0); err != nil {
		return err
	}
	info, err := m.handle.Stat()
	if err != nil {
		m.handle.Close()
		return err
	}
	m.source, m.isDir = real, info.IsDir()
	m.uid, m.gid = owner(info)
	return nil
}

// checkMount: h is the mount that m's target is in, or nil. A mount point that is missing there would be made on the host.
func (c *Config) checkMount(m, h *hostMount, o Options) error {
	if m.source == "/" && !m.readonly {
		return wrong(m.field+".source", "is the host's root directory: it can be mounted with readonly only")
	}
	if !m.readonly && o.unprivileged() && c.UID != 0 {
		return wrong(m.field, "without root privileges only uid 0 of the sandbox is the caller, and uid is %d: leave uid out or mount readonly", c.UID)
	}
	if h == nil {
		return nil
	}
	if err := h.mustHave(m.target); err != nil {
		return wrong(m.field+".target", "%w", err)
	}
	return nil
}

// checkProgramPath: the program needs a place in what is mounted over its directory.
func (c *Config) checkProgramPath(mounts []*hostMount) error {
	for _, m := range mounts {
		if m.target == c.target() {
			return wrong(m.field+".target", "%s is where the program is", m.target)
		}
	}
	if h := holder(mounts, c.target()); h != nil {
		if err := h.mustHave(c.target()); err != nil {
			return wrong("binary", "is shown at %w", err)
		}
	}
	return nil
}

// mustHave reports a mount point in m that is not there, or behind a link.
func (m *hostMount) mustHave(target string) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(int(m.handle.Fd()), strings.TrimPrefix(target, m.target+"/"), &how)
	if err != nil {
		return fmt.Errorf("%s, which is in %s (%s) and must be there already, not behind a link, because nothing is made on the host: %w", target, m.target, m.field, err)
	}
	return unix.Close(fd)
}

// holder is the innermost of the mounts that a path is in, the path itself not counted.
func holder(mounts []*hostMount, name string) *hostMount {
	var in *hostMount
	for _, m := range mounts {
		if strings.HasPrefix(name, m.target+"/") && (in == nil || len(m.target) > len(in.target)) {
			in = m
		}
	}
	return in
}

// hostBinds are the mounts of the bundle. Where root runs zbox, the owner of the source is the sandbox's user inside, so that what it
// writes belongs to that owner on the host; other owners are nobody.
func (c *Config) hostBinds(mounts []*hostMount, o Options) (out []specs.Mount, warnings []string, err error) {
	for _, m := range mounts {
		kind := "bind"
		if m.isDir {
			kind = "rbind"
		}
		s := bindMount(m.source, m.target, kind)
		if !m.readonly {
			s.Options = []string{kind, "rw", "nosuid", "nodev"}
			if m.isDir {
				s.Options = []string{kind, "rw", "rnosuid", "rnodev"}
			}
		}
		if !o.unprivileged() {
			trouble := o.noIDMap(m.handle)
			switch {
			case trouble == nil:
				s.UIDMappings = []specs.LinuxIDMapping{{ContainerID: m.uid, HostID: o.hostUID(uint32(c.UID)), Size: 1}}
				s.GIDMappings = []specs.LinuxIDMapping{{ContainerID: m.gid, HostID: o.hostGID(uint32(c.GID)), Size: 1}}
				below, warning := m.checkBelow(o)
				if warning != "" {
					warnings = append(warnings, warning)
				} else if below {
					s.Options = append(s.Options, "ridmap")
				}
			case m.readonly:
				warnings = append(warnings, fmt.Sprintf("%s: %s: %v: its files belong to nobody inside", m.field, m.source, trouble))
			default:
				return nil, nil, wrong(m.field+".source", "%s: %w: mount it readonly, or run zbox as the user that it belongs to", m.source, trouble)
			}
		}
		out = append(out, s)
	}
	return out, warnings, nil
}

// checkBelow reports whether something is mounted below the source, and warns if ids cannot be mapped there.
func (m *hostMount) checkBelow(o Options) (below bool, warning string) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return true, "" // then the runtime will find out
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		// Blanks in it are octal escapes (proc_pid_mountinfo(5)).
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
		if point == m.source || !isIn(point, strings.TrimSuffix(m.source, "/")) {
			continue
		}
		below = true
		if err := noIDMapAt(point, o); err != nil {
			return true, fmt.Sprintf("%s: %s: %v: what is mounted below %s belongs to nobody inside", m.field, point, err, m.source)
		}
	}
	return below, ""
}

// noIDMapAt is noIDMap of a mount point. One that cannot be looked at is left to the runtime.
func noIDMapAt(point string, o Options) error {
	f, err := os.OpenFile(point, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	return o.noIDMap(f)
}
