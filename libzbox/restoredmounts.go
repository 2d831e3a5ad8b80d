package libzbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// protectMounts gives the root and the host's files and directories in the container the attributes of the plan. CRIU takes the root as it is
// given, and has to write there; of several mounts of the same file, as masks are, and volumes may be, it cares for the first only.
func (p *performer) protectMounts() error {
	root, err := openPath(fmt.Sprintf("/proc/%d/root", p.pid))
	if err != nil {
		return err
	}
	defer root.Close()
	return inMountNamespace(p.pid, func() error {
		for n, step := range p.plan.Steps {
			path, set, recursive := protection(step)
			err := protect(root, path, set, 0)
			if err == nil {
				err = protect(root, path, recursive, unix.AT_RECURSIVE)
			}
			if err != nil {
				return fmt.Errorf("%s: %s (%s): %w", configFile, p.plan.Origin(n+1), path, err)
			}
		}
		return nil
	})
}

// maskAttributes are what the stage gives a mask: without them, root in the container could change the mode of the host's null device.
const maskAttributes = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC

// protection is what a step restricts of a mount, and of the whole tree there.
func protection(step plan.Step) (path string, set, recursive uint64) {
	switch s := step.(type) {
	case *plan.RootAttr:
		path, set = "/", s.AttrSet
	case *plan.Bind:
		path, set, recursive = s.Target, s.AttrSet, s.RecSet
	case *plan.Remount:
		path, set, recursive = s.Target, s.AttrSet, s.RecSet
	case *plan.Mask:
		path, set = s.Path, maskAttributes
	case *plan.ReadOnly:
		path, set = s.Path, unix.MOUNT_ATTR_RDONLY
	}
	const restrictions = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW
	return path, set & restrictions, recursive & restrictions
}

// protect sets attributes of the mount at a path; what the container has unmounted is passed over.
func protect(root *os.File, path string, set uint64, flags uint) error {
	if set == 0 {
		return nil
	}
	f, err := inside(root, path)
	if f == nil {
		return err
	}
	defer f.Close()
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_TYPE, &st); err != nil {
		return fmt.Errorf("looking at the mount: %w", err)
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil
	}
	if err := unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH|flags, &unix.MountAttr{Attr_set: set}); err != nil {
		return fmt.Errorf("protecting the mount: %w", err)
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
	return OnOwnThread(func() error {
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS)
		}
		if err == nil {
			err = do()
		}
		return err
	})
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
