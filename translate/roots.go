package translate

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Roots is a directory of root file systems that are kept for the next sandbox that needs the same: making the files of one is most of
// the work of a bundle, and on a disk slower than all of the sandbox.
//
// No sandbox can change what is kept, or see that others use it: it is the lower layer of overlays, which the kernel only reads, without
// times of access, and no path inside leads there. A root file system that is mounted without an overlay is never kept.
type Roots struct {
	// Dir is made, with mode 0700, when it is missing. Nobody else may write to its parent.
	Dir string
	// used is locked for as long as the sandbox runs.
	used *os.File
}

const (
	// maxRoots is how many are kept while others are made. Those that sandboxes use do not count.
	maxRoots = 32
	// unfinished is how the name of one begins that is being made.
	unfinished = "new-"
)

// Close lets others remove the root file system that was used. Roots that were not used have nothing to close.
func (r *Roots) Close() {
	r.used.Close()
}

// keptRootfs is the path of a root file system with that content.
func (c *Config) keptRootfs(content []entry, o Options) (string, error) {
	if err := checkLayerPath(o.Roots.Dir); err != nil {
		return "", err
	}
	ids, err := c.idMaps(o)
	if err != nil {
		return "", err
	}
	key, err := rootsKey(content, ids)
	if err != nil {
		return "", err
	}
	r := o.Roots
	if err := r.use(key); errors.Is(err, fs.ErrNotExist) {
		err = r.make(key, content, ids)
		if err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	return filepath.Join(r.Dir, key, rootfsDir), nil
}

// rootsKey tells root file systems apart by all that is in them, and by the boot: a machine that lost power may have lost part of them.
func rootsKey(content []entry, ids idMaps) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "zbox rootfs 1 %s %v %v\n", boot, ids.uids, ids.gids)
	for _, e := range content {
		fmt.Fprintf(h, "%q %o %q %d %d\n", e.path, e.mode, e.content, e.uid, e.gid)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// use takes one that is there; fs.ErrNotExist when there is none.
func (r *Roots) use(key string) error {
	f, err := os.OpenFile(filepath.Join(r.Dir, key), unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err = unix.Flock(int(f.Fd()), unix.LOCK_SH); err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	switch {
	case err == nil && int(st.Uid) != os.Geteuid():
		err = fmt.Errorf("%s belongs to uid %d and not to the caller", f.Name(), st.Uid)
	case err == nil && st.Nlink == 0: // removed before it was locked
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return err
	}
	r.used = f
	return nil
}

// make makes one under another name first: what has its own name is complete.
func (r *Roots) make(key string, content []entry, ids idMaps) error {
	if err := os.Mkdir(r.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(r.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if err := r.use(key); !errors.Is(err, fs.ErrNotExist) {
		return err // made meanwhile
	}
	if err := r.tidy(dir); err != nil {
		return err
	}
	name := filepath.Join(r.Dir, unfinished+rand.Text())
	b, err := openBundle(name, ids)
	if err != nil {
		return err
	}
	defer b.close()
	if err = b.writeRootfs(content); err == nil {
		err = os.Rename(name, filepath.Join(r.Dir, key))
	}
	if err != nil {
		b.remove(name)
		return err
	}
	return r.use(key)
}

// tidy removes what a zbox that was killed has left unfinished, and, when there are many, all that no sandbox uses.
func (r *Roots) tidy(dir *os.File) error {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, unfinished) || len(names) >= maxRoots {
			if err := removeUnused(filepath.Join(r.Dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func removeUnused(path string) error {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil
	case err != nil:
		return err
	}
	return os.RemoveAll(path)
}
