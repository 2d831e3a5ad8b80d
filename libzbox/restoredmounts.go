package libzbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// protectRoot gives the root mount the attributes of the plan: CRIU takes it as it is given, and has to write there.
func (p *performer) protectRoot() error {
	n := plan.First[*plan.RootAttr](p.plan)
	if n == 0 || p.plan.Steps[n-1].(*plan.RootAttr).AttrSet == 0 {
		return nil
	}
	attr := unix.MountAttr{Attr_set: p.plan.Steps[n-1].(*plan.RootAttr).AttrSet}
	err := inMountNamespace(p.pid, func() error { return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr) })
	if err != nil {
		return fmt.Errorf("%s: %s: %w", configFile, p.plan.Origin(n), err)
	}
	return nil
}

// inMountNamespace calls do on a thread in the mount namespace of a process, at its root.
func inMountNamespace(pid int, do func() error) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this function, nobody else gets it
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS)
		}
		if err == nil {
			err = do()
		}
		result <- err
	}()
	return <-result
}

// checkMounts: what the plan makes read-only or hides is so. A container that may mount by itself has the right to change that.
func (p *performer) checkMounts() error {
	if p.limitsOfPlan().caps&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return nil
	}
	root, err := openPath(fmt.Sprintf("/proc/%d/root", p.pid))
	if err != nil {
		return err
	}
	defer root.Close()
	for n, step := range p.plan.Steps {
		var err error
		switch s := step.(type) {
		case *plan.Bind:
			if s.AttrSet&unix.MOUNT_ATTR_RDONLY != 0 {
				err = checkReadOnly(root, s.Target)
			}
		case *plan.ReadOnly:
			err = checkReadOnly(root, s.Path)
		case *plan.RootAttr:
			if s.AttrSet&unix.MOUNT_ATTR_RDONLY != 0 {
				err = checkReadOnly(root, "/")
			}
		case *plan.Mask:
			err = checkMasked(root, s.Path)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.plan.Origin(n+1), err)
		}
	}
	return nil
}

// inside opens a path of the container; nil without an error is one that is not there.
func inside(root *os.File, path string) (*os.File, error) {
	fd, err := unix.Openat2(int(root.Fd()), path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func checkReadOnly(root *os.File, path string) error {
	f, err := inside(root, path)
	if f == nil {
		return err
	}
	defer f.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	if fs.Flags&unix.ST_RDONLY == 0 {
		return fmt.Errorf("%s is writable", path)
	}
	return nil
}

// checkMasked: a directory is empty, and stays so; anything else is the null device.
func checkMasked(root *os.File, path string) error {
	f, err := inside(root, path)
	if f == nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
			return fmt.Errorf("%s is not masked", path)
		}
		return nil
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not masked", path)
	}
	if err != nil {
		return err
	}
	return checkReadOnly(root, path)
}
