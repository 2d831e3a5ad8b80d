package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/nsexec"
)

// The lock of a container is flock(2) on its state directory: it vanishes with its holder and leaves no file behind.
// create, start, update, pause, resume and delete take it; state and kill do not, so that they work meanwhile.

// lockExisting opens and locks the state directory of id. It waits for the holder, and notices that the directory was removed
// (and perhaps made anew) meanwhile.
func (r *Runtime) lockExisting(id string) (*os.File, string, error) {
	return r.flock(id, unix.LOCK_EX)
}

func (r *Runtime) flock(id string, how int) (*os.File, string, error) {
	if err := validateID(id); err != nil {
		return nil, "", err
	}
	dir := filepath.Join(r.opts.Root, id)
	for {
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			return nil, "", ErrNotExist
		}
		if err != nil {
			return nil, "", fmt.Errorf("opening the state directory %s: %w", dir, err)
		}
		f := os.NewFile(uintptr(fd), dir)
		err = nsexec.IgnoringEINTR(func() error { return unix.Flock(fd, how) })
		if err != nil {
			f.Close()
			return nil, "", fmt.Errorf("locking %s: %w", dir, err)
		}
		if sameFile(f, dir) {
			return f, dir, nil
		}
		f.Close()
	}
}

// sameFile reports whether path still is the open file f.
func sameFile(f *os.File, path string) bool {
	var a, b unix.Stat_t
	if unix.Fstat(int(f.Fd()), &a) != nil || unix.Lstat(path, &b) != nil {
		return false
	}
	return a.Dev == b.Dev && a.Ino == b.Ino
}

// loadLocked loads a container with its lock held; the caller calls unlock.
func (r *Runtime) loadLocked(id string) (*Container, error) {
	lock, dir, err := r.lockExisting(id)
	if err != nil {
		return nil, err
	}
	c := &Container{runtime: r, dir: dir, lock: lock}
	if err := c.read(); err != nil {
		c.unlock()
		return nil, err
	}
	return c, nil
}

// locked takes the lock of an already loaded container and reads its state again.
func (c *Container) locked() error {
	lock, _, err := c.runtime.lockExisting(c.j.ID)
	if err != nil {
		return err
	}
	c.lock = lock
	if err := c.read(); err != nil {
		c.unlock()
		return err
	}
	return nil
}

func (c *Container) unlock() {
	if c.lock != nil {
		c.lock.Close()
		c.lock = nil
	}
}

// unlockMade releases the lock of a container that this process made, but stays sure which one it is: Remove goes by it.
func (c *Container) unlockMade() {
	if c.lock != nil && unix.Flock(int(c.lock.Fd()), unix.LOCK_UN) == nil {
		c.made, c.lock = c.lock, nil
	}
	c.unlock()
}

// makeStateDir makes and locks a new container's state directory. Between the two a delete may take the directory away, and
// another create make it anew: it belongs to whoever gets the lock and finds no state file.
func (r *Runtime) makeStateDir(id string) (*Container, error) {
	if err := r.makeRoot(); err != nil {
		return nil, err
	}
	dir := filepath.Join(r.opts.Root, id)
	for {
		if err := unix.Mkdir(dir, 0o700); errors.Is(err, unix.EEXIST) {
			return nil, ErrExist
		} else if err != nil {
			return nil, fmt.Errorf("making the state directory %s: %w", dir, err)
		}
		c, err := r.claim(id)
		if !errors.Is(err, ErrNotExist) {
			return c, err
		}
	}
}

// claim locks a state directory that was just made, unless it is another one's by now.
func (r *Runtime) claim(id string) (*Container, error) {
	lock, dir, err := r.flock(id, unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	c := &Container{runtime: r, dir: dir, lock: lock}
	if unix.Access(filepath.Join(dir, journalFile), unix.F_OK) == nil {
		c.unlock()
		return nil, ErrExist
	}
	return c, nil
}
