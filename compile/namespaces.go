package compile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// namespaces says which namespaces are new and which are joined.
type namespaces struct {
	created uint64 // mask of CLONE_NEW*
	joined  []joinedNamespace
	origins map[uint64]string
}

type joinedNamespace struct {
	kind uint64
	path string
	fd   plan.FD
}

var namespaceKinds = map[specs.LinuxNamespaceType]uint64{
	specs.PIDNamespace: unix.CLONE_NEWPID, specs.NetworkNamespace: unix.CLONE_NEWNET, specs.MountNamespace: unix.CLONE_NEWNS,
	specs.IPCNamespace: unix.CLONE_NEWIPC, specs.UTSNamespace: unix.CLONE_NEWUTS, specs.UserNamespace: unix.CLONE_NEWUSER,
	specs.CgroupNamespace: unix.CLONE_NEWCGROUP, specs.TimeNamespace: unix.CLONE_NEWTIME,
}

func (n *namespaces) isNew(kind uint64) bool { return n.created&kind != 0 }

func (n *namespaces) isJoined(kind uint64) bool {
	return slices.ContainsFunc(n.joined, func(j joinedNamespace) bool { return j.kind == kind })
}

// own reports whether the container is in a namespace of this kind that is not the host's.
func (n *namespaces) own(kind uint64) bool { return n.isNew(kind) || n.isJoined(kind) }

func (c *compiler) decideNamespaces() error {
	c.ns.origins = map[uint64]string{}
	for i, n := range c.spec.Linux.Namespaces {
		origin := fmt.Sprintf("linux.namespaces[%d]", i)
		kind, ok := namespaceKinds[n.Type]
		if !ok {
			return fmt.Errorf("%s.type: %q is not a namespace", origin, n.Type)
		}
		if _, twice := c.ns.origins[kind]; twice {
			return fmt.Errorf("%s: the %s namespace is listed twice", origin, n.Type)
		}
		c.ns.origins[kind] = origin
		if n.Path == "" {
			c.ns.created |= kind
			continue
		}
		c.ns.joined = append(c.ns.joined, joinedNamespace{kind: kind, path: n.Path})
	}
	c.orderJoins()
	return c.checkNamespaces()
}

// orderJoins puts the user namespace first for a caller without privileges, who may join the others only from inside it; and last for
// root, who may lose the right to join the others by entering it. The rest keeps its order.
func (c *compiler) orderJoins() {
	first := c.req.Facts.EUID != 0
	slices.SortStableFunc(c.ns.joined, func(a, b joinedNamespace) int {
		au, bu := a.kind == unix.CLONE_NEWUSER, b.kind == unix.CLONE_NEWUSER
		switch {
		case au == bu:
			return 0
		case au == first:
			return -1
		}
		return 1
	})
}

func (c *compiler) checkNamespaces() error {
	linux := c.spec.Linux
	switch {
	case c.req.Facts.EUID != 0 && !c.ns.own(unix.CLONE_NEWUSER):
		return errors.New("linux.namespaces: without root privileges a container needs a user namespace (`zbox spec --rootless` writes one)")
	case c.ns.isNew(unix.CLONE_NEWUSER) && (len(linux.UIDMappings) == 0 || len(linux.GIDMappings) == 0):
		return errors.New("linux.uidMappings, linux.gidMappings: a new user namespace needs both")
	case !c.ns.own(unix.CLONE_NEWUSER) && (len(linux.UIDMappings) > 0 || len(linux.GIDMappings) > 0):
		return errors.New("linux.uidMappings, linux.gidMappings: need a user namespace")
	case !c.ns.own(unix.CLONE_NEWNS) && len(c.spec.Mounts) > 0:
		return errors.New("mounts: need a mount namespace")
	case !c.ns.own(unix.CLONE_NEWNS) && c.spec.Root.Readonly:
		return errors.New("root.readonly: needs a mount namespace")
	case !c.ns.own(unix.CLONE_NEWNS) && len(linux.Devices) > 0:
		return errors.New("linux.devices: need a mount namespace")
	case !c.ns.own(unix.CLONE_NEWNS) && linux.RootfsPropagation != "":
		return errors.New("linux.rootfsPropagation: needs a mount namespace")
	case !c.ns.own(unix.CLONE_NEWNS) && c.req.NotifyDir != "":
		return errors.New("NOTIFY_SOCKET: needs a mount namespace in linux.namespaces")
	case !c.ns.own(unix.CLONE_NEWNS) && len(linux.MaskedPaths)+len(linux.ReadonlyPaths) > 0:
		return errors.New("linux.maskedPaths, linux.readonlyPaths: need a mount namespace")
	case !c.ns.own(unix.CLONE_NEWUTS) && c.spec.Hostname != "":
		return errors.New("hostname: needs a uts namespace")
	case !c.ns.own(unix.CLONE_NEWUTS) && c.spec.Domainname != "":
		return errors.New("domainname: needs a uts namespace")
	case !c.ns.isNew(unix.CLONE_NEWTIME) && len(linux.TimeOffsets) > 0:
		return errors.New("linux.timeOffsets: need a new time namespace")
	case c.ns.isNew(unix.CLONE_NEWTIME) && c.lateTime() && !c.kernelHas(6, 2):
		return fmt.Errorf("%s: a new time namespace without root privileges needs Linux 6.2", c.ns.origins[unix.CLONE_NEWTIME])
	case !c.ns.own(unix.CLONE_NEWNET) && len(linux.NetDevices) > 0:
		return errors.New("linux.netDevices: need a network namespace")
	}
	return nil
}

func (c *compiler) openNamespaces() error {
	for i := range c.ns.joined {
		j := &c.ns.joined[i]
		j.fd = c.nextFD()
		kind := string(kindName(j.kind))
		c.add(c.ns.origins[j.kind]+".path", &plan.OpenNamespace{FD: j.fd, Path: j.path, Type: kind})
	}
	return nil
}

func kindName(kind uint64) specs.LinuxNamespaceType {
	for name, k := range namespaceKinds {
		if k == kind {
			return name
		}
	}
	return ""
}

// outer is what the stage's first process does, still in the host's namespaces.
func (c *compiler) outer() error {
	c.add("", &plan.OpenProc{})
	if adj := c.process.OOMScoreAdj; adj != nil {
		c.add("process.oomScoreAdj", &plan.ProcWrite{Path: "self/oom_score_adj", Value: fmt.Sprint(*adj)})
	}
	for _, j := range c.ns.joined {
		if !c.joinsLate(j.kind) {
			c.join(j)
		}
	}
	return nil
}

func (c *compiler) join(j joinedNamespace) {
	c.add(c.ns.origins[j.kind]+".path", &plan.Setns{FD: j.fd, Types: j.kind, What: j.path})
}

// joinsLate: a process that is born into its cgroup cannot be so from inside of a cgroup namespace: with nsdelegate, none may cross its
// border there (cgroups(7)). In a user namespace of its own init has no right to enter it any more.
func (c *compiler) joinsLate(kind uint64) bool {
	return kind == unix.CLONE_NEWCGROUP && c.req.CloneIntoCgroup && !c.ns.own(unix.CLONE_NEWUSER)
}

// cloneKinds are the namespaces that clone3(2) makes. A cgroup namespace must be made after its cgroup was entered, a time namespace
// before its offsets are written, which no process may have entered by then.
const cloneKinds = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

func (c *compiler) clone() error {
	if c.ns.isNew(unix.CLONE_NEWTIME) && !c.lateTime() {
		c.timeNamespace()
	}
	c.add(given("linux.namespaces", len(c.spec.Linux.Namespaces) > 0), &plan.Clone{Types: c.cloneTypes(), Cgroup: c.cgroupFD})
	return nil
}

// cloneTypes are the namespaces that the clone step makes.
func (c *compiler) cloneTypes() uint64 {
	types := c.ns.created & cloneKinds
	if c.lateIPC() {
		types &^= unix.CLONE_NEWIPC
	}
	return types
}

// lateIPC: the message queues of an ipc namespace belong to whoever made it; before init has taken an id of its user namespace that
// would be nobody.
func (c *compiler) lateIPC() bool {
	return c.ns.isNew(unix.CLONE_NEWIPC) && c.ns.own(unix.CLONE_NEWUSER)
}

// lateTime: without root privileges a time namespace can be made only inside the new user namespace, by init itself, which enters it
// with execve(2); the kernel does that since 6.2.
func (c *compiler) lateTime() bool {
	return c.req.Facts.EUID != 0 && c.ns.isNew(unix.CLONE_NEWUSER)
}

func (c *compiler) kernelHas(major, minor int) bool {
	f := c.req.Facts
	return f.KernelMajor > major || (f.KernelMajor == major && f.KernelMinor >= minor)
}

// timeNamespace makes a time namespace for the children of the current process.
func (c *compiler) timeNamespace() {
	c.add(c.ns.origins[unix.CLONE_NEWTIME], &plan.Unshare{Types: unix.CLONE_NEWTIME})
	offsets := c.spec.Linux.TimeOffsets
	if len(offsets) == 0 {
		return
	}
	var b strings.Builder
	for _, clock := range sortedKeys(offsets) {
		fmt.Fprintf(&b, "%s %d %d\n", clock, offsets[clock].Secs, offsets[clock].Nanosecs)
	}
	c.add("linux.timeOffsets", &plan.ProcWrite{Path: "self/timens_offsets", Value: b.String()})
}

// hostHalf is what the host does for the new init process while it waits. The journal comes first: from then on a clean-up knows it.
func (c *compiler) hostHalf() error {
	if c.journalsLate() || c.joinsAmid() {
		return nil
	}
	c.journal()
	if c.ns.isNew(unix.CLONE_NEWUSER) {
		c.add("linux.uidMappings", &plan.MapIDs{
			UIDs: idMaps(c.spec.Linux.UIDMappings), GIDs: idMaps(c.spec.Linux.GIDMappings), DenySetgroups: c.setgroupsDenied(),
		})
	}
	if c.joinsCgroup() {
		c.joinCgroup()
	}
	for _, name := range sortedKeys(c.spec.Linux.NetDevices) {
		c.add(fmt.Sprintf("linux.netDevices[%q]", name), &plan.NetDevice{Device: name, NewName: c.spec.Linux.NetDevices[name].Name})
	}
	c.intelRdt()
	return nil
}

// journalsLate: when the host has nothing to do but to write the journal, init need not wait for it before its own work. Until it
// gets to journalLate it has done nothing that outlives it, and a zbox that died meanwhile ends it there.
func (c *compiler) journalsLate() bool {
	return !c.joinsCgroup() && !c.needsHost() && c.spec.Hooks == nil
}

// needsHost: without what the host does init cannot begin.
func (c *compiler) needsHost() bool {
	linux := c.spec.Linux
	return c.ns.isNew(unix.CLONE_NEWUSER) || len(linux.NetDevices) > 0 || linux.IntelRdt != nil
}

// joinsCgroup: init is not born into its cgroup, but moved there.
func (c *compiler) joinsCgroup() bool { return c.req.CgroupPath != "" && !c.req.CloneIntoCgroup }

func (c *compiler) joinCgroup() {
	c.add(c.cgroupOrigin(), &plan.CgroupJoin{Path: c.req.CgroupPath})
}

// joinsAmid: the move takes long (systemd makes a scope meanwhile), so init goes on with its mounts, up to needsCgroup.
func (c *compiler) joinsAmid() bool { return c.joinsCgroup() && !c.needsHost() }

// needsCgroup: a mount that shows init's cgroup, or that copies data of the container's, for which its memory limit is.
func needsCgroup(m mountStep) bool {
	return slices.ContainsFunc(m.steps, func(s plan.Step) bool {
		mount, ok := s.(*plan.Mount)
		return ok && (mount.FSType == "cgroup" || mount.FSType == "cgroup2" || mount.Flags&plan.MountTmpCopyUp != 0)
	})
}

// joinAmid waits for the move. The journal comes with it; what init has done by then does not outlive it (journalsLate).
func (c *compiler) joinAmid() {
	c.journal()
	c.joinCgroup()
	c.newCgroupNamespace()
}

// journalLate comes before anything of the user's runs.
func (c *compiler) journalLate() error {
	if c.journalsLate() {
		c.journal()
	}
	return nil
}

// journal is what every new init process needs from the host before it may become the user's.
func (c *compiler) journal() {
	c.add("", &plan.Journal{})
	if c.req.CgroupPath != "" && c.req.CloneIntoCgroup {
		c.limitCgroup()
	}
}

// setgroupsDenied: a caller without privileges who maps only the own group must give up setgroups(2) first, and all namespaces below
// one that did have given it up as well (user_namespaces(7)).
func (c *compiler) setgroupsDenied() bool {
	if c.req.Facts.SetgroupsDenied {
		return true
	}
	maps := c.spec.Linux.GIDMappings
	return c.req.Facts.EUID != 0 && c.ns.isNew(unix.CLONE_NEWUSER) && len(maps) == 1 && maps[0].Size == 1
}

func idMaps(maps []specs.LinuxIDMapping) []plan.IDMap {
	var out []plan.IDMap
	for _, m := range maps {
		out = append(out, plan.IDMap{Container: m.ContainerID, Host: m.HostID, Size: m.Size})
	}
	return out
}

// identity makes init the root of its user namespace and the leader of a new session, and enters the namespaces that clone could not
// make.
func (c *compiler) identity() error {
	if c.ns.own(unix.CLONE_NEWUSER) {
		become := &plan.Become{UID: firstMapped(c.spec.Linux.UIDMappings), GID: firstMapped(c.spec.Linux.GIDMappings)}
		if !c.setgroupsDenied() {
			become.Setgroups = 1
		}
		c.add(c.ns.origins[unix.CLONE_NEWUSER], become)
	}
	c.add("", &plan.Setsid{})
	if c.req.DieWithParent {
		c.add("", &plan.ParentDeath{Signal: uint32(unix.SIGKILL)})
	}
	if c.lateIPC() {
		c.add(c.ns.origins[unix.CLONE_NEWIPC], &plan.Unshare{Types: unix.CLONE_NEWIPC})
	}
	if c.ns.isNew(unix.CLONE_NEWTIME) && c.lateTime() {
		c.timeNamespace()
	}
	for _, j := range c.ns.joined {
		if c.joinsLate(j.kind) {
			c.join(j)
		}
	}
	if !c.joinsAmid() {
		c.newCgroupNamespace()
	}
	return nil
}

// newCgroupNamespace must come when init is in its cgroup, which is then all that the namespace shows.
func (c *compiler) newCgroupNamespace() {
	if c.ns.isNew(unix.CLONE_NEWCGROUP) {
		c.add(c.ns.origins[unix.CLONE_NEWCGROUP], &plan.Unshare{Types: unix.CLONE_NEWCGROUP})
	}
}

// firstMapped is 0 where the maps hold it (or there are none: a joined namespace), else the first id that they hold.
func firstMapped(maps []specs.LinuxIDMapping) uint32 {
	if len(maps) == 0 || slices.ContainsFunc(maps, func(m specs.LinuxIDMapping) bool { return m.ContainerID == 0 }) {
		return 0
	}
	return maps[0].ContainerID
}

func (c *compiler) loopback() error {
	if c.ns.isNew(unix.CLONE_NEWNET) {
		c.add(c.ns.origins[unix.CLONE_NEWNET], &plan.Loopback{})
	}
	return nil
}

func (c *compiler) intelRdt() {
	rdt := c.spec.Linux.IntelRdt
	if rdt == nil {
		return
	}
	step := &plan.IntelRdt{ClosID: rdt.ClosID, Monitoring: rdt.EnableMonitoring}
	if step.ClosID == "" {
		step.ClosID = c.req.ID
	}
	// The order is that of the spec (config-linux.md, "IntelRdt"): a later line overrides an earlier one.
	for _, schema := range []string{rdt.L3CacheSchema, rdt.MemBwSchema} {
		if schema != "" {
			step.Schemata = append(step.Schemata, schema)
		}
	}
	step.Schemata = append(step.Schemata, rdt.Schemata...)
	c.add("linux.intelRdt", step)
}
