package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/mount"
	"golang.org/x/sys/unix"
)

// rootfs is where containerd's mounts for the root go.
func (c *container) rootfs() string { return filepath.Join(c.bundle, "rootfs") }

// mount mounts the root from what containerd says about it; nothing means that the configuration names a directory that is ready.
func (c *container) mount(mounts []*types.Mount) error {
	if len(mounts) == 0 {
		return nil
	}
	if err := os.Mkdir(c.rootfs(), 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making the directory of the root: %w", err)
	}
	c.mounted = true // also a part of them
	for _, m := range mounts {
		if err := mountIn(c.rootfs(), mount.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options}); err != nil {
			return fmt.Errorf("mounting the root (%s): %w", m.Type, err)
		}
	}
	return nil
}

// mountIn mounts one of them. The library does not know containerd 2's options for the pods that have a user namespace.
func mountIn(root string, m mount.Mount) error {
	maps, options, err := splitIDMaps(m.Options)
	if err != nil {
		return err
	}
	m.Options = options
	switch {
	case maps == nil:
		return m.Mount(root)
	case m.Type == "overlay":
		return maps.mountOverlay(root, m)
	}
	return maps.mountOther(root, m)
}

func (c *container) unmount() error {
	if !c.mounted {
		return nil
	}
	if err := mount.UnmountAll(c.rootfs(), unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmounting the root: %w", err)
	}
	c.mounted = false
	return nil
}
