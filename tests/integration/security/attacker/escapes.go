package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// An escape is a way out of a sandbox, or to a limit of its own. It returns nil when it got through.
type escape func() error

var escapes = map[string]escape{
	// What is no escape and has to work, or else the others prove nothing.
	"control: write to /tmp": func() error { return os.WriteFile("/tmp/control", []byte("x"), 0o600) },
	"control: a new process": func() error { return clone(0) },
	"control: loopback":      func() error { return errnoOf(raw(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)) },
	// The file system of the host.
	"chroot and climb":         chrootAndClimb,
	"mount a procfs":           func() error { return unix.Mount("proc", "/tmp", "proc", 0, "") },
	"bind the root":            func() error { return unix.Mount("/", "/tmp", "", unix.MS_BIND|unix.MS_REC, "") },
	"make the root writable":   func() error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") },
	"unmount /proc":            func() error { return unix.Unmount("/proc", unix.MNT_DETACH) },
	"pivot_root":               func() error { return unix.PivotRoot("/tmp", "/tmp") },
	"clone a mount tree":       func() error { _, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE); return err },
	"open by handle":           openByHandle,
	"leave by the old root":    oldRoot,
	"replace the own program":  func() error { return os.Rename("/etc/passwd", "/bin/attacker") },
	"write to the own program": func() error { return openFor("/proc/self/exe", unix.O_WRONLY) },
	"make a disk":              func() error { return unix.Mknod("/tmp/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))) },
	"use another device":       otherDevice,
	"descriptors of the host":  inheritedDescriptors,
	// Namespaces.
	"a user namespace":           func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"a user namespace by clone":  func() error { return clone(unix.CLONE_NEWUSER) },
	"a mount namespace by clone": func() error { return clone(unix.CLONE_NEWNS) },
	"join a namespace":           joinNamespace,
	"another host name":          func() error { return unix.Sethostname([]byte("owned")) },
	// Switches of the host's kernel.
	"core_pattern":         func() error { return openFor("/proc/sys/kernel/core_pattern", unix.O_WRONLY) },
	"sysrq":                func() error { return openFor("/proc/sysrq-trigger", unix.O_WRONLY) },
	"a sysctl of the host": func() error { return openFor("/proc/sys/vm/overcommit_memory", unix.O_WRONLY) },
	"sysfs":                func() error { return openFor("/sys/kernel/mm/transparent_hugepage/enabled", unix.O_WRONLY) },
	"kernel memory":        func() error { return readable("/proc/kcore") },
	"keys of the host":     func() error { return readable("/proc/keys") },
	"timers of the host":   func() error { return readable("/proc/timer_list") },
	"firmware":             func() error { return listable("/sys/firmware") },
	"the kernel's log":     func() error { _, err := unix.Klogctl(3, make([]byte, 64)); return err },
	"load a module":        func() error { return unix.InitModule([]byte("x"), "") },
	"another kernel":       func() error { return errnoOf(raw(unix.SYS_KEXEC_LOAD, 0, 0, 0)) },
	"I/O ports":            ioPorts,
	"the clock":            func() error { return unix.Settimeofday(&unix.Timeval{Sec: 1}) },
	"accounting":           func() error { return unix.Acct("/tmp/acct") },
	"bpf":                  func() error { return errnoOf(raw(unix.SYS_BPF, 0, 0, 0)) },
	"perf":                 func() error { return errnoOf(raw(unix.SYS_PERF_EVENT_OPEN, zero(), 0, 0)) },
	"userfaultfd":          func() error { return errnoOf(raw(unix.SYS_USERFAULTFD, 0, 0, 0)) },
	"io_uring":             func() error { return errnoOf(raw(425, 1, zero(), 0)) },
	"keyring":              func() error { _, err := unix.KeyctlJoinSessionKeyring("x"); return err },
	// Other processes, and zbox.
	"processes of the host":        hostProcesses,
	"trace a process":              func() error { return unix.PtraceSeize(1) },
	"take a descriptor of another": func() error { return errnoOf(raw(unix.SYS_PIDFD_GETFD, 0, 0, 0)) },
	"live on without zbox":         func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) },
	"type into the terminal":       func() error { return errnoOf(raw(unix.SYS_IOCTL, 0, unix.TIOCSTI, zero())) },
	"paste into the terminal":      func() error { return errnoOf(raw(unix.SYS_IOCTL, 0, 0x541c, zero())) },
	"the caller's terminal":        func() error { return openFor("/dev/tty", unix.O_RDWR) },
	// Rights and limits.
	"become another user":         func() error { return unix.Setresuid(54321, 54321, 54321) },
	"another group":               func() error { return unix.Setgroups([]int{54321}) },
	"regain privileges":           func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) },
	"a better priority":           func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -5) },
	"be spared by the OOM killer": func() error { return os.WriteFile("/proc/self/oom_score_adj", []byte("-900"), 0) },
	"more memory": func() error {
		return openOne("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
	},
	"more processes":      func() error { return openOne("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max") },
	"a cgroup of its own": func() error { return mkdirOne("/sys/fs/cgroup/x", "/sys/fs/cgroup/memory/x") },
	"leave the cgroup":    func() error { return openOne("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs") },
	// The network.
	"interfaces of the host": otherInterfaces,
	"raw packets":            func() error { return errnoOf(socket(unix.AF_PACKET)) },
	"raw IP":                 rawIP,
	"the hypervisor":         func() error { return errnoOf(socket(unix.AF_VSOCK)) },
}

func errnoOf(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func openFor(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func openOne(paths ...string) error {
	var err error
	for _, path := range paths {
		if err = openFor(path, unix.O_WRONLY); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

func mkdirOne(paths ...string) error {
	var err error
	for _, path := range paths {
		if err = unix.Mkdir(path, 0o700); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// oldRoot: what is left on the root, or under it, would be found by going up.
func oldRoot() error {
	here, err := os.Stat("/")
	if err != nil {
		return nil
	}
	up, err := os.Stat("/../../..")
	if err != nil || !os.SameFile(here, up) {
		return nil
	}
	return errors.New("the same root")
}

var errHidden = errors.New("hidden")

// readable: a masked file is there and empty.
func readable(path string) error {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errHidden
	case err == nil && len(data) == 0:
		return errHidden
	}
	return err
}

func listable(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return errHidden
	}
	return err
}

// chrootAndClimb is the way out of a chroot that the seed left open.
func chrootAndClimb() error {
	if err := unix.Mkdir("/tmp/deeper", 0o700); err != nil && err != unix.EEXIST {
		return err
	}
	if err := unix.Chroot("/tmp/deeper"); err != nil {
		return err
	}
	for range 64 {
		_ = unix.Chdir("..")
	}
	return unix.Chroot(".")
}

func openByHandle() error {
	handle := unix.NewFileHandle(1, make([]byte, 8)) // FILEID_INO32_GEN: inode 2 is often a root directory
	dir, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	_, err = unix.OpenByHandleAt(dir, handle, unix.O_RDONLY)
	return err
}

// otherDevice looks for a device node that the runtime specification does not ask for.
func otherDevice() error {
	expected := "null zero full random urandom tty console ptmx"
	found := ""
	err := filepath.WalkDir("/dev", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type()&fs.ModeDevice != 0 && !strings.HasPrefix(path, "/dev/pts/") && !strings.Contains(expected, e.Name()) {
			found = path
		}
		return err
	})
	if found != "" {
		fmt.Fprintln(os.Stderr, found)
		return nil
	}
	return errors.Join(err, errHidden)
}

func inheritedDescriptors() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		// Those of the Go runtime, and the directory that is being read.
		if err != nil || slices.Contains([]string{"0", "1", "2"}, e.Name()) || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/proc/") {
			continue
		}
		fmt.Fprintln(os.Stderr, target)
		return nil
	}
	return errHidden
}

func clone(flags uintptr) error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		unix.Exit(0)
	}
	return errnoOf(errno)
}

func joinNamespace() error {
	fd, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, 0)
}

// hostProcesses looks for processes that are no relatives: a sandbox has its first one and the attacker.
func hostProcesses() error {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name, err := os.ReadFile(e + "/comm"); err == nil && !strings.HasPrefix(string(name), "attacker") && string(name) != "exe\n" {
			fmt.Fprintf(os.Stderr, "%s", name)
			return nil
		}
	}
	return errHidden
}

func otherInterfaces() error {
	data, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		if name, _, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name != "lo" {
			return nil
		}
	}
	return errHidden
}

func rawIP() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// ioPorts is iopl(2), where the machine has it.
func ioPorts() error {
	const iopl = 172 // x86_64
	return errnoOf(raw(iopl, 3, 0, 0))
}

// tryEscapes prints as JSON what became of each: "" when it got through.
func tryEscapes() {
	seen := map[string]string{}
	for name := range escapes {
		seen[name] = tryInChild("escape", name)
	}
	_ = json.NewEncoder(os.Stdout).Encode(seen)
}

func tryEscape(name string) {
	e := escapes[name]
	if e == nil {
		fmt.Fprintln(os.Stderr, "unknown escape", name)
		os.Exit(2)
	}
	err := e()
	var errno unix.Errno
	switch {
	case err == nil:
	case errors.As(err, &errno):
		fmt.Print(unix.ErrnoName(errno))
	default:
		fmt.Print(err)
	}
}
