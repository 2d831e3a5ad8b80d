package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/mount"
	"github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

// idMaps are what containerd 2 wants a root mapped by: its files are those of the host's ids in the image, and of the pod's in the mount.
type idMaps struct{ uids, gids []libzbox.IDMap }

// splitIDMaps takes the options uidmap= and gidmap=, which are not the kernel's, out of those of a mount. Without them the maps are nil.
func splitIDMaps(options []string) (maps *idMaps, others []string, err error) {
	var m idMaps
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "uidmap":
			m.uids, err = parseIDMaps(value)
		case "gidmap":
			m.gids, err = parseIDMaps(value)
		default:
			others = append(others, option)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("option %s: %w", option, err)
		}
	}
	switch {
	case m.uids == nil && m.gids == nil:
		return nil, options, nil
	case m.uids == nil || m.gids == nil:
		return nil, nil, errors.New("options uidmap= and gidmap=: one of them is missing")
	}
	return &m, others, nil
}

// parseIDMaps reads CONTAINER:HOST:SIZE, several of them between commas.
func parseIDMaps(text string) (maps []libzbox.IDMap, err error) {
	for one := range strings.SplitSeq(text, ",") {
		var numbers []uint32
		for field := range strings.SplitSeq(one, ":") {
			n, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("reading an id map: %w", err)
			}
			numbers = append(numbers, uint32(n))
		}
		if len(numbers) != 3 {
			return nil, fmt.Errorf("id map %q is not CONTAINER:HOST:SIZE", one)
		}
		maps = append(maps, libzbox.IDMap{Container: numbers[0], Host: numbers[1], Size: numbers[2]})
	}
	return maps, nil
}

// mountOther mounts what is no overlay, and its idmapped copy over it.
func (maps *idMaps) mountOther(root string, m mount.Mount) error {
	if err := m.Mount(root); err != nil {
		return err
	}
	target, err := fs.RootPath(root, m.Target)
	if err != nil {
		return err
	}
	trees, err := libzbox.OpenIDMapped([]string{target}, maps.uids, maps.gids)
	if err != nil {
		return err
	}
	defer trees[0].Close()
	return attach(trees[0], target)
}

// mountOverlay mounts an overlay over idmapped copies of its lower directories; containerd has made the upper one for the pod's ids. Overlayfs
// takes layers by their paths and, before Linux 6.15, from attached mounts only. So they are attached, and the overlay is made over them, in a
// mount namespace that goes away with a thread: whenever the shim is killed, nothing of them stays.
func (maps *idMaps) mountOverlay(root string, m mount.Mount) error {
	lower := slices.IndexFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, lowerdir) })
	if lower < 0 {
		return errors.New("an overlay without the option lowerdir=")
	}
	target, err := fs.RootPath(root, m.Target)
	if err != nil {
		return err
	}
	layers, err := libzbox.OpenIDMapped(strings.Split(m.Options[lower][len(lowerdir):], ":"), maps.uids, maps.gids)
	if err != nil {
		return err
	}
	defer closeAll(&layers)
	m.Target, m.Options = "", slices.Delete(slices.Clone(m.Options), lower, lower+1)
	var overlay *os.File
	err = libzbox.OnOwnThread(func() (err error) {
		overlay, err = overlayOf(layers, m, target)
		return err
	})
	if err != nil {
		return err
	}
	defer overlay.Close()
	return attach(overlay, target)
}

const lowerdir = "lowerdir="

// overlayOf makes a detached overlay in a mount namespace of the thread's own, where the layers are directories beside it, with short names:
// there are up to 500 of them, and the kernel takes a page of options.
func overlayOf(layers []*os.File, m mount.Mount, scratch string) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("making the thread's mounts private: %w", err)
	}
	if err := unix.Mount("layers", scratch, "tmpfs", 0, "mode=700"); err != nil {
		return nil, fmt.Errorf("mounting a tmpfs for the layers: %w", err)
	}
	if err := unix.Chdir(scratch); err != nil {
		return nil, os.NewSyscallError("chdir", err)
	}
	var names []string
	for i, layer := range layers {
		name := strconv.Itoa(i)
		if err := errors.Join(unix.Mkdir(name, 0o700), attach(layer, name)); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	const overlay = "overlay"
	if err := unix.Mkdir(overlay, 0o700); err != nil {
		return nil, os.NewSyscallError("mkdir", err)
	}
	m.Options = append(m.Options, lowerdir+strings.Join(names, ":"))
	if err := m.Mount(filepath.Join(scratch, overlay)); err != nil {
		return nil, err
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, overlay, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	return os.NewFile(uintptr(fd), overlay), nil
}

// attach mounts a detached tree.
func attach(tree *os.File, target string) error {
	if err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mounting the idmapped %s at %s: %w", tree.Name(), target, err)
	}
	return nil
}
