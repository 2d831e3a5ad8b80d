package plan

// The steps that the stage executes. The order of the types here is the order of the op codes of the wire format:
// append, or regenerate everything. Steps up to and including Clone run in the first process (the "outer" one,
// still in the host's namespaces), those behind it in the container's init process.

// OpenProc keeps a descriptor of the host's procfs, checked by PROC_SUPER_MAGIC and the root inode. Every later
// ProcWrite goes through it: what the container mounts over its own /proc cannot redirect it (CVE-2025-52881).
type OpenProc struct{}

// ProcWrite writes Value with one write(2) to Path below the procfs of OpenProc. Path is resolved with RESOLVE_BENEATH,
// RESOLVE_NO_XDEV and RESOLVE_NO_MAGICLINKS. It serves sysctls, LSM labels, oom_score_adj and timens_offsets.
type ProcWrite struct {
	Path  string // relative to /proc, such as "self/oom_score_adj" or "sys/net/ipv4/ip_forward"
	Value string
}

// Setns joins existing namespaces: FD is a namespace descriptor, or a pidfd when Types has several bits.
type Setns struct {
	FD    FD
	Types uint64 // mask of CLONE_NEW*
	What  string // for messages: the path of the namespace
}

// Unshare leaves the given namespaces for new ones (cgroup and time namespaces cannot be made well at clone).
type Unshare struct {
	Types uint64 // mask of CLONE_NEW*
}

// Clone makes the container's init process with clone3(CLONE_PARENT): it becomes a child of zbox, the outer process
// reports its pid and exits. All steps behind run in the new process.
type Clone struct {
	Types  uint64 // mask of CLONE_NEW*
	Cgroup FD     // directory of the cgroup v2 to be born in (CLONE_INTO_CGROUP), or NoFD
}

// Sync reports that it was reached and waits for libzbox's acknowledgement; host steps behind it run meanwhile.
type Sync struct{}

// Become takes the ids of the container's root inside a new user namespace, once its maps are written.
type Become struct {
	UID, GID  uint32
	Setgroups uint32 // 1: also clear the supplementary groups (setgroups is allowed in this namespace)
}

// Setsid starts a new session.
type Setsid struct{}

// ParentDeath asks for Signal when the parent dies (PR_SET_PDEATHSIG).
type ParentDeath struct {
	Signal uint32
}

// Propagation sets the propagation of the whole mount tree of the new mount namespace.
type Propagation struct {
	Flags uint64 // MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE
}

// Root opens the container's root directory, clones its mount tree onto itself (pivot_root wants a mount point) and makes
// the mount that holds it private. Every target of the steps behind is resolved inside it.
type Root struct {
	Path string
	FD   FD // an open_tree descriptor of the root, or NoFD to open Path
}

// Flags of Mount and Bind.
const (
	MountRecursive      = 1 << 0 // bind the whole tree (rbind)
	MountRealDir        = 1 << 1 // no component of the target may be a symlink (procfs, sysfs: CVE-2019-19921)
	MountTmpCopyUp      = 1 << 2 // copy what the target held into the new tmpfs
	MountSourceNofollow = 1 << 3 // do not follow a symlink at the end of the source (src-nofollow)
	MountTargetNofollow = 1 << 4 // do not follow a symlink at the end of the target (dest-nofollow)
	MountCopySymlink    = 1 << 5 // if the source is a symlink, recreate it at the target (copy-symlink)
	MountOptional       = 1 << 6 // a missing source is no error
)

// Mount makes a new filesystem (fsopen, fsconfig, fsmount) and attaches it at Target, which is created if missing.
type Mount struct {
	FSType  string
	Source  string
	Options []string // superblock parameters: "key=value" (FSCONFIG_SET_STRING) or "flag" (FSCONFIG_SET_FLAG)
	Target  string
	Attr    uint64 // MOUNT_ATTR_* of the new mount
	// RecSet and RecClear are applied recursively afterwards (rro, rnosuid, …); MOUNT_ATTR_* masks.
	RecSet, RecClear uint64
	Propagation      uint64 // MS_* propagation, with MS_REC for the recursive form; 0 leaves it
	Flags            uint32 // Mount* flags
}

// Bind attaches an existing tree (open_tree with OPEN_TREE_CLONE) at Target, which is created as a file or directory like
// the source.
type Bind struct {
	Source             string
	FD                 FD // a detached tree that the host opened, or NoFD to open Source
	Target             string
	AttrSet, AttrClear uint64 // MOUNT_ATTR_* of the top mount
	RecSet, RecClear   uint64 // MOUNT_ATTR_* of the whole tree
	Propagation        uint64
	Flags              uint32
}

// Remount changes an existing mount: its attributes, and its superblock when Options is not empty.
type Remount struct {
	Target             string
	AttrSet, AttrClear uint64
	RecSet, RecClear   uint64
	Options            []string
	Propagation        uint64
}

// Device makes a device node (or FIFO) at Path, or binds the host's node there when Bind is set (user namespaces
// cannot mknod). An existing node of the same kind is kept, one of another kind is an error.
type Device struct {
	Path         string
	Mode         uint32 // S_IFCHR, S_IFBLK or S_IFIFO with the permission bits
	Major, Minor uint32
	UID, GID     uint32
	Bind         string // host path to bind, or "" to mknod
}

// Symlink makes a symbolic link at Path inside the root; an existing file is left alone.
type Symlink struct {
	Path, Target string
}

// Console allocates a pty on the container's devpts, binds the peer at /dev/console, makes it the controlling terminal and stdio,
// and hands the master up. Columns and Rows of 0 leave the size alone.
type Console struct {
	Columns, Rows uint32
	UID, GID      uint32 // owner of the peer
	Mount         uint32 // 1: bind it at /dev/console (a new container), 0: stdio only (exec)
}

// Mask hides Path: a directory behind an empty read-only tmpfs, a file behind /dev/null; a missing path is no error.
type Mask struct {
	Path string
}

// ReadOnly makes the tree at Path read-only; a missing path is no error.
type ReadOnly struct {
	Path string
}

// PivotRoot makes Root the root of the mount namespace and detaches the old one.
type PivotRoot struct{}

// MoveRoot moves Root over / and chroots into it (--no-pivot: a root on the initial ramdisk cannot be pivoted away).
type MoveRoot struct{}

// Chroot makes Path of the stage's own view the root directory: a container without a mount namespace of its own has neither
// mounts nor a root that could be pivoted to.
type Chroot struct {
	Path string
}

// RootAttr sets attributes and propagation of the root mount, as the last of the mount steps.
type RootAttr struct {
	AttrSet     uint64
	Propagation uint64
}

// Hostname sets the UTS host name.
type Hostname struct {
	Value string
}

// Domainname sets the UTS (NIS) domain name.
type Domainname struct {
	Value string
}

// Loopback sets lo up in a new network namespace.
type Loopback struct{}

// Keyring joins a new session keyring called Value; a kernel without keyrings is no error.
type Keyring struct {
	Value string
}

// Rlimit sets one resource limit.
type Rlimit struct {
	Resource   uint32 // RLIMIT_*
	Soft, Hard uint64 // ^0 is RLIM_INFINITY
}

// Chdir changes to the working directory and verifies with getcwd that it is inside the container (CVE-2024-21626).
type Chdir struct {
	Path string
}

// Umask sets the file mode creation mask.
type Umask struct {
	Mask uint32
}

// Scheduler is sched_setattr(2).
type Scheduler struct {
	Policy                    uint32
	Nice                      int32
	Priority                  uint32
	Flags                     uint64
	Runtime, Deadline, Period uint64 // nanoseconds
}

// IOPriority is ioprio_set(2) with class and level in one value.
type IOPriority struct {
	Value uint32
}

// MemoryPolicy is set_mempolicy(2).
type MemoryPolicy struct {
	Mode  uint32 // MPOL_* with MPOL_F_* bits
	Nodes []byte // node mask, little endian, a multiple of 8 bytes; empty for none
}

// Affinity is sched_setaffinity(2).
type Affinity struct {
	Mask []byte // CPU mask, little endian, a multiple of 8 bytes
}

// Personality is personality(2).
type Personality struct {
	Domain uint64
}

// NoNewPrivs is PR_SET_NO_NEW_PRIVS.
type NoNewPrivs struct{}

// Bounding drops every capability that is not in Keep from the bounding set.
type Bounding struct {
	Keep uint64
}

// User sets the supplementary groups, group and user ids; capabilities stay permitted (SECBIT_KEEP_CAPS) until Capset.
type User struct {
	UID, GID   uint32
	Groups     []uint32
	KeepGroups uint32 // 1: leave the supplementary groups alone (run.oci.keep_original_groups, or setgroups is denied)
}

// Capset sets the effective, permitted and inheritable sets.
type Capset struct {
	Effective, Permitted, Inheritable uint64
}

// Ambient raises the given capabilities in the ambient set and clears the others.
type Ambient struct {
	Caps uint64
}

// Seccomp installs a filter. With Notify the listener descriptor is sent up.
type Seccomp struct {
	Filter []byte // struct sock_filter[]
	Flags  uint64 // SECCOMP_FILTER_FLAG_*
	Notify uint32
	Rules  string // for the text only
}

// Hook runs a hook inside the container's namespaces: Path with Args and Env, the state on its stdin (StateHead, the pid in
// decimal, StateTail).
type Hook struct {
	Kind                 string // createContainer or startContainer
	Path                 string
	Args, Env            []string
	Timeout              uint32 // seconds; 0 is none
	StateHead, StateTail string
	FD                   FD // the program, opened in the runtime's namespace, or NoFD to execute Path
}

// SameOwner in OwnStdio leaves the owner as it is, as -1 does in fchown(2).
const SameOwner = ^uint32(0)

// OwnStdio gives the terminal, pipes and sockets on descriptors 0 to 2 to UID and opens the container's own /dev/null in place of the
// host's; anything else is left alone (CVE-2026-88265).
type OwnStdio struct {
	UID uint32
}

// Home looks up the home directory of UID in the root's /etc/passwd, for the HOME of Exec's Env; that stays as it is when there is none.
type Home struct {
	UID uint32
}

// Find looks up the program as execvpe(3) would, as the container's user, and keeps what it found for Exec; its errors are those
// that create reports.
type Find struct {
	Program string
	Path    string // value of PATH
}

// WaitStart reports that the container is created, closes the report socket and waits on the listening socket FD until
// `zbox start` connects; errors behind it are reported there.
type WaitStart struct {
	FD FD
}

// CloseFDs closes every descriptor from 3+Keep on, but for those that the stage itself still needs until Exec (O_CLOEXEC).
type CloseFDs struct {
	Keep uint32
}

// Exec becomes the user's process: the program of Find with Args and Env.
type Exec struct {
	Args, Env []string
}

// Mkdir makes the directory Path in the root with its parents, if it is missing; what else is wrong with it is left to Chdir.
type Mkdir struct {
	Path string
}
