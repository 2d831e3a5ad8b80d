package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

// bundleDirs is the directory below --root where `zbox -c` keeps its bundles; no container ID starts with a dot. It is not below /tmp: what
// cleans up there would take the root of a sandbox that runs for long.
const bundleDirs = ".bundles"

// rootsDir is the directory beside it with what they have in common.
const rootsDir = ".roots"

// bundleDir is the directory of one sandbox's bundle. It is locked for as long as zbox lives, so that a later zbox can tell one that was
// left behind by a kill -9.
type bundleDir struct {
	path  string
	roots string // of translate.Roots
	lock  *os.File
}

// keptFile in the directory of a bundle says that the container is there until somebody deletes it.
const keptFile = "kept"

// makeBundleDir makes the directory of a sandbox, and removes what is left of those that are gone.
func makeBundleDir(c *cli.Context, rt *libzbox.Runtime, id string, kept bool) (*bundleDir, error) {
	o, err := runtimeOptions(c)
	if err != nil {
		return nil, err
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, err
	}
	home := filepath.Join(root, bundleDirs)
	if err := makeRoot(root); err != nil {
		return nil, err
	}
	if err := os.Mkdir(home, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	// Nobody may sweep between mkdir and the lock below.
	all, err := lockDir(home, unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	sweep(rt, home)
	dir := &bundleDir{path: filepath.Join(home, id), roots: filepath.Join(root, rootsDir)}
	if err := os.Mkdir(dir.path, 0o700); err != nil {
		if _, lerr := rt.Load(id); errors.Is(err, os.ErrExist) && lerr == nil {
			err = libzbox.ErrExist
		}
		return nil, err
	}
	if dir.lock, err = lockDir(dir.path, unix.LOCK_EX); err == nil && kept {
		err = os.WriteFile(filepath.Join(dir.path, keptFile), nil, 0o600)
	}
	return dir, err
}

// makeRoot makes the state directory as libzbox does: the sticky bit keeps cleaners of XDG_RUNTIME_DIR away.
func makeRoot(root string) error {
	if _, err := os.Stat(root); err == nil {
		return nil
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	return os.Chmod(root, 0o700|os.ModeSticky)
}

// sweep removes the bundles that no zbox holds and that no container uses, and the containers of those that a killed zbox left behind. What
// cannot be removed is left for the next time.
func sweep(rt *libzbox.Runtime, home string) {
	entries, _ := os.ReadDir(home)
	for _, e := range entries {
		path := filepath.Join(home, e.Name())
		lock, err := lockDir(path, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue
		}
		if isGone(rt, path) {
			_ = os.RemoveAll(path)
		}
		lock.Close()
	}
}

// isGone reports whether nothing is left of the container of a bundle. One that was in the foreground of a zbox that was killed has died
// with it, and is deleted here.
func isGone(rt *libzbox.Runtime, path string) bool {
	id := filepath.Base(path)
	container, err := rt.Load(id)
	if err != nil {
		return errors.Is(err, libzbox.ErrNotExist)
	}
	if _, err := os.Stat(filepath.Join(path, keptFile)); err == nil {
		return false
	}
	state, err := container.State()
	return err == nil && state.Status == libzbox.Stopped && rt.Delete(id, true) == nil
}

// removeBundle removes the bundle of a sandbox that was deleted, unless the zbox that has it in its foreground is about to do so.
func removeBundle(root, id string) error {
	path := filepath.Join(root, bundleDirs, id)
	lock, err := lockDir(path, unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.EWOULDBLOCK):
		return nil
	case err != nil:
		return err
	}
	defer lock.Close()
	return os.RemoveAll(path)
}

func lockDir(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return f, nil
}

func (d *bundleDir) remove() {
	_ = os.RemoveAll(d.path)
	d.lock.Close()
}
