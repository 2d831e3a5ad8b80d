package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// openImage opens the image's directory for a restore. With maps, for a new user namespace, at becomes the place of a mount: the calling thread
// is to have a mount namespace for that. Where the image's file system cannot be idmapped, the image's own permissions decide.
func (o *CriuOptions) openImage(maps *plan.MapIDs, at string) (*os.File, error) {
	images, err := openOwn(o.ImagePath)
	if err != nil || maps == nil {
		return images, err
	}
	dirs, err := withParents(o.ImagePath)
	if err != nil {
		images.Close()
		return nil, err
	}
	mapped, err := OpenIDMapped(dirs, maps.UIDs, maps.GIDs)
	if err != nil {
		return images, nil
	}
	images.Close()
	defer closeAll(mapped)
	return gatherImage(at, dirs, mapped)
}

// parentName is CRIU's link from an image to the one that it builds on.
const parentName = "parent"

// withParents is the directory of an image with those of the images that it builds on.
func withParents(dir string) (dirs []string, err error) {
	var seen []os.FileInfo
	for ; ; dir = filepath.Join(dir, parentName) {
		st, err := os.Stat(dir)
		if err != nil && len(dirs) > 0 && errors.Is(err, os.ErrNotExist) {
			return dirs, nil // whether it is needed is for CRIU to say
		}
		if err != nil {
			return nil, err
		}
		for i, other := range seen {
			if os.SameFile(st, other) {
				return nil, fmt.Errorf("%s is %s again", dir, dirs[i])
			}
		}
		dirs, seen = append(dirs, dir), append(seen, st)
	}
}

// gatherImage mounts the files of an image together for the processes of a new user namespace. As its root, they read the files that are root's
// through idmapped mounts. Before CRIU has given the namespace its maps, its first process is nobody there, but still root of the host for files:
// it reads the times (timens-*.img) as they are, and the directory is one that everybody may search. It reads them at the time that the maps are
// written, so that no permissions of one mount would do for both.
func gatherImage(at string, dirs []string, mapped []*os.File) (*os.File, error) {
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return nil, fmt.Errorf("making a place for the image: mount tmpfs: %w", err)
	}
	image := filepath.Join(at, "image")
	for i, dir := range dirs {
		// A mount can be copied file by file only where it is attached.
		source := filepath.Join(at, strconv.Itoa(i))
		if err := os.Mkdir(source, 0o700); err != nil {
			return nil, err
		}
		if err := unix.MoveMount(int(mapped[i].Fd()), "", unix.AT_FDCWD, source, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return nil, fmt.Errorf("mounting %s idmapped: %w", dir, err)
		}
		if err := bindFiles(image+strings.Repeat("/"+parentName, i), dir, source); err != nil {
			return nil, err
		}
	}
	return os.Open(image)
}

// bindFiles mounts the files of one directory of an image, mapped from the mount of it, in a new directory.
func bindFiles(target, dir, mapped string) error {
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if !file.Type().IsRegular() {
			continue
		}
		source := filepath.Join(mapped, file.Name())
		if strings.HasPrefix(file.Name(), "timens-") {
			source = filepath.Join(dir, file.Name())
		}
		place := filepath.Join(target, file.Name())
		if err := os.WriteFile(place, nil, 0o600); err != nil {
			return err
		}
		if err := unix.Mount(source, place, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", filepath.Join(dir, file.Name()), err)
		}
	}
	return nil
}
