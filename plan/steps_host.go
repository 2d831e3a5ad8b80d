package plan

// The steps that libzbox executes in the host's world. Those before the stage's first step run before it is started;
// the others run while the stage waits at a Sync.

// IDMap is one range of a user namespace's map.
type IDMap struct {
	Container, Host, Size uint32
}

// CgroupCreate makes the container's cgroup, before any process of the container exists. On cgroup v2 it
// hands over the cgroup's directory as FD for Clone; NoFD where processes must be moved by CgroupJoin.
type CgroupCreate struct {
	Path string
	FD   FD
}

// CgroupLimit applies the container's limits to its cgroup. It comes before anything of the user's runs; libzbox does it as soon as the
// stage is on its way.
type CgroupLimit struct {
	Limits []string // in words, for people
}

// OpenCgroup opens the directory of an existing container's cgroup v2 (exec) and hands it over as FD for Clone.
type OpenCgroup struct {
	FD   FD
	Path string
}

// CgroupJoin moves the container's init process into the cgroup (v1 and the systemd driver).
type CgroupJoin struct {
	Path string
}

// OpenTree opens a detached copy of the mount tree at Path, which the container's user may not reach or which is to be idmapped, and
// hands it over as FD.
type OpenTree struct {
	FD        FD
	Path      string
	Recursive bool // the whole tree, not just the top mount
	Nofollow  bool
	// UIDs and GIDs idmap the tree; both empty: not idmapped. MapRecursive is ridmap.
	UIDs, GIDs   []IDMap
	MapRecursive bool
	// MapUserns idmaps with the container's own user namespace maps, which UIDs and GIDs repeat.
	Optional bool
}

// OpenNamespace opens the namespace file at Path, checks that it is of Type, and hands it over as FD.
type OpenNamespace struct {
	FD   FD
	Path string
	Type string // the OCI name: pid, network, mount, ipc, uts, user, cgroup, time
}

// OpenPidfd opens a pidfd of an existing container's init process and hands it over as FD, for Setns.
type OpenPidfd struct {
	FD  FD
	Pid int
}

// OpenProgram opens the program of a hook in the runtime's namespace and hands it over as FD.
type OpenProgram struct {
	FD   FD
	Path string
}

// OpenStart makes the listening socket of the start barrier in the state directory and hands it over as FD.
type OpenStart struct {
	FD FD
}

// Journal makes sure that the new init process is in the container's state, so that `delete --force` finds it from then on. It comes
// before anything that outlives the process, hooks of the runtime included.
type Journal struct{}

// MapIDs writes uid_map, gid_map and setgroups of the container's new user namespace.
type MapIDs struct {
	UIDs, GIDs    []IDMap
	DenySetgroups bool
}

// RunHook runs a hook in the runtime's namespaces. Index counts within its kind in config.json.
type RunHook struct {
	Kind  string // prestart or createRuntime
	Index int
	Path  string
}

// NetDevice moves a network device of the host into the container's network namespace and restores its addresses there.
type NetDevice struct {
	Device, NewName string
}

// IntelRdt assigns the container to a class of service below the resctrl filesystem.
type IntelRdt struct {
	ClosID     string
	Schemata   []string
	Monitoring bool
}
