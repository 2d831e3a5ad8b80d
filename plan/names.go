package plan

// The names of the steps and who executes them; stage() is the op code.

func (*OpenProc) Name() string      { return "open_proc" }
func (*OpenProc) stage() uint32     { return 1 }
func (*ProcWrite) Name() string     { return "proc_write" }
func (*ProcWrite) stage() uint32    { return 2 }
func (*Setns) Name() string         { return "setns" }
func (*Setns) stage() uint32        { return 3 }
func (*Unshare) Name() string       { return "unshare" }
func (*Unshare) stage() uint32      { return 4 }
func (*Clone) Name() string         { return "clone" }
func (*Clone) stage() uint32        { return 5 }
func (*Sync) Name() string          { return "sync" }
func (*Sync) stage() uint32         { return 6 }
func (*Become) Name() string        { return "become" }
func (*Become) stage() uint32       { return 7 }
func (*Setsid) Name() string        { return "setsid" }
func (*Setsid) stage() uint32       { return 8 }
func (*ParentDeath) Name() string   { return "parent_death" }
func (*ParentDeath) stage() uint32  { return 9 }
func (*Propagation) Name() string   { return "propagation" }
func (*Propagation) stage() uint32  { return 10 }
func (*Root) Name() string          { return "root" }
func (*Root) stage() uint32         { return 11 }
func (*Mount) Name() string         { return "mount" }
func (*Mount) stage() uint32        { return 12 }
func (*Bind) Name() string          { return "bind" }
func (*Bind) stage() uint32         { return 13 }
func (*Remount) Name() string       { return "remount" }
func (*Remount) stage() uint32      { return 14 }
func (*Device) Name() string        { return "device" }
func (*Device) stage() uint32       { return 15 }
func (*Symlink) Name() string       { return "symlink" }
func (*Symlink) stage() uint32      { return 16 }
func (*Console) Name() string       { return "console" }
func (*Console) stage() uint32      { return 17 }
func (*Mask) Name() string          { return "mask" }
func (*Mask) stage() uint32         { return 18 }
func (*ReadOnly) Name() string      { return "read_only" }
func (*ReadOnly) stage() uint32     { return 19 }
func (*PivotRoot) Name() string     { return "pivot_root" }
func (*PivotRoot) stage() uint32    { return 20 }
func (*MoveRoot) Name() string      { return "move_root" }
func (*MoveRoot) stage() uint32     { return 21 }
func (*Chroot) Name() string        { return "chroot" }
func (*Chroot) stage() uint32       { return 22 }
func (*RootAttr) Name() string      { return "root_attr" }
func (*RootAttr) stage() uint32     { return 23 }
func (*Hostname) Name() string      { return "hostname" }
func (*Hostname) stage() uint32     { return 24 }
func (*Domainname) Name() string    { return "domainname" }
func (*Domainname) stage() uint32   { return 25 }
func (*Loopback) Name() string      { return "loopback" }
func (*Loopback) stage() uint32     { return 26 }
func (*Keyring) Name() string       { return "keyring" }
func (*Keyring) stage() uint32      { return 27 }
func (*Rlimit) Name() string        { return "rlimit" }
func (*Rlimit) stage() uint32       { return 28 }
func (*Chdir) Name() string         { return "chdir" }
func (*Chdir) stage() uint32        { return 29 }
func (*Umask) Name() string         { return "umask" }
func (*Umask) stage() uint32        { return 30 }
func (*Scheduler) Name() string     { return "scheduler" }
func (*Scheduler) stage() uint32    { return 31 }
func (*IOPriority) Name() string    { return "io_priority" }
func (*IOPriority) stage() uint32   { return 32 }
func (*MemoryPolicy) Name() string  { return "memory_policy" }
func (*MemoryPolicy) stage() uint32 { return 33 }
func (*Affinity) Name() string      { return "affinity" }
func (*Affinity) stage() uint32     { return 34 }
func (*Personality) Name() string   { return "personality" }
func (*Personality) stage() uint32  { return 35 }
func (*NoNewPrivs) Name() string    { return "no_new_privs" }
func (*NoNewPrivs) stage() uint32   { return 36 }
func (*Bounding) Name() string      { return "bounding" }
func (*Bounding) stage() uint32     { return 37 }
func (*User) Name() string          { return "user" }
func (*User) stage() uint32         { return 38 }
func (*Capset) Name() string        { return "capset" }
func (*Capset) stage() uint32       { return 39 }
func (*Ambient) Name() string       { return "ambient" }
func (*Ambient) stage() uint32      { return 40 }
func (*Seccomp) Name() string       { return "seccomp" }
func (*Seccomp) stage() uint32      { return 41 }
func (*Hook) Name() string          { return "hook" }
func (*Hook) stage() uint32         { return 42 }
func (*OwnStdio) Name() string      { return "own_stdio" }
func (*OwnStdio) stage() uint32     { return 43 }
func (*Find) Name() string          { return "find" }
func (*Find) stage() uint32         { return 44 }
func (*WaitStart) Name() string     { return "wait_start" }
func (*WaitStart) stage() uint32    { return 45 }
func (*CloseFDs) Name() string      { return "close_fds" }
func (*CloseFDs) stage() uint32     { return 46 }
func (*Exec) Name() string          { return "exec" }
func (*Exec) stage() uint32         { return 47 }
func (*Mkdir) Name() string         { return "mkdir" }
func (*Mkdir) stage() uint32        { return 48 }
func (*Home) Name() string          { return "home" }
func (*Home) stage() uint32         { return 49 }
func (*CgroupCreate) Name() string  { return "cgroup_create" }
func (*CgroupLimit) Name() string   { return "cgroup_limit" }
func (*CgroupLimit) host()          {}
func (*CgroupCreate) host()         {}
func (*OpenCgroup) Name() string    { return "open_cgroup" }
func (*OpenCgroup) host()           {}
func (*CgroupJoin) Name() string    { return "cgroup_join" }
func (*CgroupJoin) host()           {}
func (*OpenTree) Name() string      { return "open_tree" }
func (*OpenTree) host()             {}
func (*OpenNamespace) Name() string { return "open_namespace" }
func (*OpenNamespace) host()        {}
func (*OpenPidfd) Name() string     { return "open_pidfd" }
func (*OpenPidfd) host()            {}
func (*OpenProgram) Name() string   { return "open_program" }
func (*OpenProgram) host()          {}
func (*OpenStart) Name() string     { return "open_start" }
func (*OpenStart) host()            {}
func (*Journal) Name() string       { return "journal" }
func (*Journal) host()              {}
func (*MapIDs) Name() string        { return "map_ids" }
func (*MapIDs) host()               {}
func (*RunHook) Name() string       { return "run_hook" }
func (*RunHook) host()              {}
func (*NetDevice) Name() string     { return "net_device" }
func (*NetDevice) host()            {}
func (*IntelRdt) Name() string      { return "intel_rdt" }
func (*IntelRdt) host()             {}
