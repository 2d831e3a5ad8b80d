package plan

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// bit is one named bit of a mask.
type bit struct {
	mask uint64
	name string
}

var namespaceBits = []bit{
	{unix.CLONE_NEWUSER, "user"},
	{unix.CLONE_NEWNS, "mount"},
	{unix.CLONE_NEWPID, "pid"},
	{unix.CLONE_NEWNET, "network"},
	{unix.CLONE_NEWIPC, "ipc"},
	{unix.CLONE_NEWUTS, "uts"},
	{unix.CLONE_NEWCGROUP, "cgroup"},
	{unix.CLONE_NEWTIME, "time"},
}

var attrBits = []bit{
	{unix.MOUNT_ATTR_RDONLY, "ro"},
	{unix.MOUNT_ATTR_NOSUID, "nosuid"},
	{unix.MOUNT_ATTR_NODEV, "nodev"},
	{unix.MOUNT_ATTR_NOEXEC, "noexec"},
	{unix.MOUNT_ATTR_NODIRATIME, "nodiratime"},
	{unix.MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"},
}

var propagationBits = []bit{
	{unix.MS_SHARED, "shared"}, {unix.MS_SLAVE, "slave"}, {unix.MS_PRIVATE, "private"}, {unix.MS_UNBINDABLE, "unbindable"},
}

func bitNames(mask uint64, names []bit) []string {
	var out []string
	for _, n := range names {
		if mask&n.mask != 0 {
			out = append(out, n.name)
			mask &^= n.mask
		}
	}
	if mask != 0 {
		out = append(out, fmt.Sprintf("%#x", mask))
	}
	return out
}

func namespaces(mask uint64) string { return strings.Join(bitNames(mask, namespaceBits), ", ") }

// attrNames names MOUNT_ATTR_* bits; the access time setting is a number in the mask, not a bit.
func attrNames(mask uint64) []string {
	atime := mask & unix.MOUNT_ATTR__ATIME
	names := bitNames(mask&^unix.MOUNT_ATTR__ATIME, attrBits)
	switch atime {
	case unix.MOUNT_ATTR_NOATIME:
		names = append(names, "noatime")
	case unix.MOUNT_ATTR_STRICTATIME:
		names = append(names, "strictatime")
	}
	return names
}

func clearNames(mask uint64) []string {
	names := bitNames(mask&^unix.MOUNT_ATTR__ATIME, attrBits)
	if mask&unix.MOUNT_ATTR__ATIME != 0 {
		names = append(names, "atime")
	}
	return names
}

// mountDetails says in words what is special about a mount.
func mountDetails(set, clearing, recSet, recClear, propagation uint64, options []string) string {
	var parts []string
	parts = append(parts, attrNames(set)...)
	if names := clearNames(clearing); len(names) > 0 {
		parts = append(parts, "without "+strings.Join(names, "+"))
	}
	if names := attrNames(recSet); len(names) > 0 {
		parts = append(parts, "recursively "+strings.Join(names, "+"))
	}
	if names := clearNames(recClear); len(names) > 0 {
		parts = append(parts, "recursively without "+strings.Join(names, "+"))
	}
	parts = append(parts, options...)
	if propagation != 0 {
		parts = append(parts, propagationText(propagation))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

var flagBits = []bit{
	{MountTmpCopyUp, "tmpcopyup"},
	{MountSourceNofollow, "src-nofollow"},
	{MountTargetNofollow, "dest-nofollow"},
	{MountCopySymlink, "copy-symlink"},
	{MountOptional, "if it is there"},
}

// flagNames names the Mount* flags that the rest of a step's text does not show.
func flagNames(flags uint32) []string {
	return bitNames(uint64(flags&^(MountRecursive|MountRealDir)), flagBits)
}

func propagationText(flags uint64) string {
	name := strings.Join(bitNames(flags&^unix.MS_REC, propagationBits), "+")
	if flags&unix.MS_REC != 0 {
		name = "recursively " + name
	}
	return name
}

func capCount(mask uint64) string {
	n := 0
	for m := mask; m != 0; m &= m - 1 {
		n++
	}
	return fmt.Sprintf("%d (%#x)", n, mask)
}

func limitText(v uint64) string {
	if v == ^uint64(0) {
		return "unlimited"
	}
	return fmt.Sprint(v)
}

var rlimitNames = map[uint32]string{
	unix.RLIMIT_AS: "AS", unix.RLIMIT_CORE: "CORE", unix.RLIMIT_CPU: "CPU", unix.RLIMIT_DATA: "DATA", unix.RLIMIT_FSIZE: "FSIZE",
	unix.RLIMIT_LOCKS: "LOCKS", unix.RLIMIT_MEMLOCK: "MEMLOCK", unix.RLIMIT_MSGQUEUE: "MSGQUEUE", unix.RLIMIT_NICE: "NICE",
	unix.RLIMIT_NOFILE: "NOFILE", unix.RLIMIT_NPROC: "NPROC", unix.RLIMIT_RSS: "RSS", unix.RLIMIT_RTPRIO: "RTPRIO",
	unix.RLIMIT_RTTIME: "RTTIME", unix.RLIMIT_SIGPENDING: "SIGPENDING", unix.RLIMIT_STACK: "STACK",
}

func idMapsText(maps []IDMap) string {
	var parts []string
	for _, m := range maps {
		parts = append(parts, fmt.Sprintf("%d:%d:%d", m.Container, m.Host, m.Size))
	}
	return strings.Join(parts, ",")
}

func (s *OpenProc) Text() string  { return "keep a verified descriptor of the host's /proc" }
func (s *ProcWrite) Text() string { return fmt.Sprintf("write %q to /proc/%s", s.Value, s.Path) }
func (s *Setns) Text() string {
	return fmt.Sprintf("join the %s namespace of %s", namespaces(s.Types), s.What)
}

func (s *Unshare) Text() string {
	return fmt.Sprintf("move to a new %s namespace", namespaces(s.Types))
}

func (s *Clone) Text() string {
	text := "start the init process"
	if s.Types != 0 {
		text += " in new " + namespaces(s.Types) + " namespaces"
	}
	if s.Cgroup != NoFD {
		text += ", inside its cgroup"
	}
	return text
}

func (s *Sync) Text() string { return "wait for the host steps behind this one" }
func (s *Become) Text() string {
	return fmt.Sprintf("become uid %d, gid %d of the user namespace", s.UID, s.GID)
}
func (s *Setsid) Text() string { return "start a new session" }
func (s *ParentDeath) Text() string {
	return fmt.Sprintf("get signal %d when the parent dies", s.Signal)
}
func (s *Propagation) Text() string { return "make all mounts " + propagationText(s.Flags) }
func (s *Root) Text() string        { return fmt.Sprintf("take %s as the root filesystem", s.Path) }

func (s *Mount) Text() string {
	what := s.FSType
	if strings.HasPrefix(s.Source, "/") {
		what += " " + s.Source
	}
	return fmt.Sprintf("mount %s on %s%s", what, s.Target,
		mountDetails(s.Attr, 0, s.RecSet, s.RecClear, s.Propagation, append(flagNames(s.Flags), s.Options...)))
}

func (s *Bind) Text() string {
	verb := "bind"
	if s.Flags&MountRecursive != 0 {
		verb = "bind recursively"
	}
	return fmt.Sprintf("%s %s on %s%s", verb, s.Source, s.Target,
		mountDetails(s.AttrSet, s.AttrClear, s.RecSet, s.RecClear, s.Propagation, flagNames(s.Flags)))
}

func (s *Remount) Text() string {
	return fmt.Sprintf("remount %s%s", s.Target,
		mountDetails(s.AttrSet, s.AttrClear, s.RecSet, s.RecClear, s.Propagation, s.Options))
}

func (s *Device) Text() string {
	if s.Bind != "" {
		return fmt.Sprintf("bind the host's device %s on %s", s.Bind, s.Path)
	}
	kind := map[uint32]string{unix.S_IFCHR: "c", unix.S_IFBLK: "b", unix.S_IFIFO: "p"}[s.Mode&unix.S_IFMT]
	return fmt.Sprintf("make device %s: %s %d:%d, mode %04o, owner %d:%d", s.Path, kind, s.Major, s.Minor, s.Mode&0o7777, s.UID, s.GID)
}

func (s *Symlink) Text() string { return fmt.Sprintf("link %s to %s", s.Path, s.Target) }

func (s *Console) Text() string {
	text := "make a terminal and take it as stdio"
	if s.Mount != 0 {
		text += " and as /dev/console"
	}
	if s.Columns != 0 || s.Rows != 0 {
		text += fmt.Sprintf(", %d columns by %d rows", s.Columns, s.Rows)
	}
	return text
}

func (s *Mask) Text() string      { return "hide " + s.Path }
func (s *ReadOnly) Text() string  { return fmt.Sprintf("make %s read-only", s.Path) }
func (s *PivotRoot) Text() string { return "pivot to the root filesystem and detach the host's mounts" }
func (s *MoveRoot) Text() string  { return "move the root filesystem over / and chroot into it" }
func (s *Chroot) Text() string    { return "chroot into " + s.Path }
func (s *RootAttr) Text() string {
	return "change the root mount" + mountDetails(s.AttrSet, 0, 0, 0, s.Propagation, nil)
}
func (s *Hostname) Text() string   { return "set the host name to " + s.Value }
func (s *Domainname) Text() string { return "set the domain name to " + s.Value }
func (s *Loopback) Text() string   { return "set the loopback interface up" }
func (s *Keyring) Text() string    { return fmt.Sprintf("join a new session keyring %q", s.Value) }

func (s *Rlimit) Text() string {
	return fmt.Sprintf("limit RLIMIT_%s to %s (hard %s)", rlimitNames[s.Resource], limitText(s.Soft), limitText(s.Hard))
}

func (s *Chdir) Text() string { return "change directory to " + s.Path }
func (s *Mkdir) Text() string { return "make the directory " + s.Path + " if it is missing" }
func (s *Umask) Text() string { return fmt.Sprintf("set the umask to %04o", s.Mask) }

func (s *Scheduler) Text() string {
	return fmt.Sprintf("set scheduling policy %d, nice %d, priority %d, flags %#x, runtime %d ns, deadline %d ns, period %d ns",
		s.Policy, s.Nice, s.Priority, s.Flags, s.Runtime, s.Deadline, s.Period)
}

func (s *IOPriority) Text() string {
	return fmt.Sprintf("set I/O priority class %d, level %d", s.Value>>13, s.Value&0x1fff)
}

func (s *MemoryPolicy) Text() string {
	return fmt.Sprintf("set memory policy %#x on node mask %x", s.Mode, s.Nodes)
}

func (s *Affinity) Text() string    { return fmt.Sprintf("run on CPU mask %x", s.Mask) }
func (s *Personality) Text() string { return fmt.Sprintf("set personality %#x", s.Domain) }
func (s *NoNewPrivs) Text() string  { return "give up new privileges for good" }
func (s *Bounding) Text() string    { return "keep capabilities in the bounding set: " + capCount(s.Keep) }

func (s *User) Text() string {
	groups := fmt.Sprintf("groups %v", s.Groups)
	if s.KeepGroups != 0 {
		groups = "the caller's groups"
	}
	return fmt.Sprintf("become uid %d, gid %d, %s", s.UID, s.GID, groups)
}

func (s *Capset) Text() string {
	return fmt.Sprintf("set capabilities: effective %s, permitted %s, inheritable %s",
		capCount(s.Effective), capCount(s.Permitted), capCount(s.Inheritable))
}

func (s *Ambient) Text() string { return "set ambient capabilities: " + capCount(s.Caps) }

func (s *Seccomp) Text() string {
	text := "install the seccomp filter: " + s.Rules
	if s.Flags != 0 {
		text += fmt.Sprintf(", flags %#x", s.Flags)
	}
	if s.Notify != 0 {
		text += ", its listener handed over"
	}
	return text
}

func (s *Hook) Text() string {
	text := fmt.Sprintf("run the %s hook %s in the container", s.Kind, s.Path)
	if s.Timeout != 0 {
		text += fmt.Sprintf(", at most %d s", s.Timeout)
	}
	return text
}

func (s *Home) Text() string {
	return fmt.Sprintf("look up the home directory of user %d in /etc/passwd", s.UID)
}

func (s *Find) Text() string      { return "find the program " + s.Program }
func (s *WaitStart) Text() string { return "created: wait for start" }

func (s *CloseFDs) Text() string {
	return fmt.Sprintf("close all descriptors but the first %d", 3+s.Keep)
}

func (s *Exec) Text() string { return "execute " + strings.Join(quoteAll(s.Args), " ") }

// quoteAll quotes what a shell would split.
func quoteAll(args []string) []string {
	var out []string
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\n\"'\\$`") {
			a = fmt.Sprintf("%q", a)
		}
		out = append(out, a)
	}
	return out
}

func (s *CgroupCreate) Text() string { return "make the cgroup " + s.Path }

func (s *CgroupLimit) Text() string {
	if len(s.Limits) == 0 {
		return "let the cgroup use the default devices only"
	}
	return "limit the cgroup: " + strings.Join(s.Limits, ", ")
}

func (s *OpenCgroup) Text() string { return "open the cgroup " + s.Path }
func (s *CgroupJoin) Text() string { return "move the init process into the cgroup " + s.Path }

func (s *OpenTree) Text() string {
	text := "open the mount source " + s.Path
	if s.Recursive {
		text += " with what is mounted below"
	}
	if s.Nofollow {
		text += ", no symlink followed"
	}
	if len(s.UIDs) > 0 || len(s.GIDs) > 0 {
		text += fmt.Sprintf(", idmapped uids %s gids %s", idMapsText(s.UIDs), idMapsText(s.GIDs))
	}
	if s.MapRecursive {
		text += " recursively"
	}
	return text
}

func (s *OpenNamespace) Text() string { return fmt.Sprintf("open the %s namespace %s", s.Type, s.Path) }

func (s *OpenPidfd) Text() string   { return fmt.Sprintf("open the container's init process %d", s.Pid) }
func (s *OpenProgram) Text() string { return "open the hook program " + s.Path }
func (s *OpenStart) Text() string   { return "listen on the start socket" }

func (s *Journal) Text() string { return "write the init process to the state file" }

func (s *MapIDs) Text() string {
	text := fmt.Sprintf("map uids %s and gids %s", idMapsText(s.UIDs), idMapsText(s.GIDs))
	if s.DenySetgroups {
		text += ", deny setgroups"
	}
	return text
}

func (s *RunHook) Text() string { return fmt.Sprintf("run the %s hook %s", s.Kind, s.Path) }

func (s *NetDevice) Text() string {
	text := "move the network device " + s.Device + " into the container"
	if s.NewName != "" && s.NewName != s.Device {
		text += " as " + s.NewName
	}
	return text
}

func (s *IntelRdt) Text() string {
	return fmt.Sprintf("join the resctrl class %s %s", s.ClosID, strings.Join(s.Schemata, "; "))
}

func (s *OwnStdio) Text() string {
	const null = "take the container's own /dev/null for stdio"
	if s.UID == SameOwner {
		return null
	}
	return fmt.Sprintf("%s, give the rest of it to uid %d", null, s.UID)
}
