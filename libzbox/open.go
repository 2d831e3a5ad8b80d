package libzbox

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/nsexec"
	"github.com/bxrne/zbox/plan"
)

// openPath opens an object without the right to read it; executing and binding need no more.
func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openTree makes a detached copy of a mount tree, idmapped where asked for (mount_setattr(2), MOUNT_ATTR_IDMAP).
func openTree(s *plan.OpenTree) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if s.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	if s.Nofollow {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, s.Path, flags)
	if err != nil {
		return nil, fmt.Errorf("open source %s: %w", s.Path, err)
	}
	f := os.NewFile(uintptr(fd), s.Path)
	if len(s.UIDs) == 0 && len(s.GIDs) == 0 {
		return f, nil
	}
	if err := idmapTree(f, s); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func idmapTree(tree *os.File, s *plan.OpenTree) error {
	userns, err := usernsWithMaps(s.UIDs, s.GIDs)
	if err != nil {
		return fmt.Errorf("idmapping %s: %w", s.Path, err)
	}
	defer userns.Close()
	return idmap(tree, userns, s.MapRecursive)
}

func idmap(tree, userns *os.File, recursive bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())}
	if err := unix.MountSetattr(int(tree.Fd()), "", flags, &attr); err != nil {
		return fmt.Errorf("idmapping %s (its filesystem must support idmapped mounts): %w", tree.Name(), err)
	}
	return nil
}

// An IDMap maps Size ids from Container on to those from Host on (user_namespaces(7)).
type IDMap = plan.IDMap

// OpenIDMapped makes a detached copy of the mount at each path, without what is mounted below it, whose files belong to the ids that uids and
// gids map theirs to (mount_setattr(2), MOUNT_ATTR_IDMAP). It is an error where the kernel or a file system cannot.
func OpenIDMapped(paths []string, uids, gids []IDMap) (_ []*os.File, err error) {
	userns, err := usernsWithMaps(uids, gids)
	if err != nil {
		return nil, err
	}
	defer userns.Close()
	var trees []*os.File
	for _, path := range paths {
		tree, err := openTree(&plan.OpenTree{Path: path})
		if err == nil {
			trees = append(trees, tree)
			err = idmap(tree, userns, false)
		}
		if err != nil {
			closeAll(trees)
			return nil, err
		}
	}
	return trees, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// namespaceTypes are the OCI names of the namespaces.
var namespaceTypes = map[string]int{
	"pid": unix.CLONE_NEWPID, "network": unix.CLONE_NEWNET, "mount": unix.CLONE_NEWNS, "ipc": unix.CLONE_NEWIPC,
	"uts": unix.CLONE_NEWUTS, "user": unix.CLONE_NEWUSER, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME,
}

// namespaceFiles are their names below /proc/PID/ns.
var namespaceFiles = map[string]string{
	"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "user": "user", "cgroup": "cgroup", "time": "time",
}

// openNamespace opens a namespace file and checks its type: a wrong one is an error, not another namespace (config-linux.md).
func openNamespace(path, kind string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.NSFS_MAGIC {
		f.Close()
		return nil, fmt.Errorf("%s is not a namespace file", path)
	}
	got, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil || got != namespaceTypes[kind] {
		f.Close()
		return nil, fmt.Errorf("%s is not a %s namespace", path, kind)
	}
	return f, nil
}

// listenStart makes the start barrier's socket. Its path goes through the locked directory's descriptor: sun_path holds only 107
// bytes, and nothing is resolved twice.
func (c *Container) listenStart() (*os.File, error) {
	return nsexec.Listen(c.startSocket())
}

func (c *Container) startSocket() string {
	return filepath.Join(fmt.Sprintf("/proc/self/fd/%d", c.lock.Fd()), startSocket)
}
