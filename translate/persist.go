package translate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// persisted is the directory that keeps what a sandbox writes: DIR/upper and DIR/work, the layer of an overlay. They belong to the sandbox's
// root, an unprivileged user of the host, and so does what is written there: a set-user-ID file in it gives nobody anything.
type persisted struct {
	dir string // without symbolic links
}

// openPersist makes the directory and its two parts where they are missing. The sandbox has no way to DIR itself, only to what is in
// upper; that is looked at by nobody but the kernel, inside the sandbox.
func (c *Config) openPersist(o Options, ids idMaps, b *base) (*persisted, error) {
	if c.Persist == "" {
		return nil, nil
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(filepath.Clean(c.Persist)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: the directory that it is to be in does not exist", c.Persist)
	}
	if err != nil {
		return nil, err
	}
	p := &persisted{dir: filepath.Join(parent, filepath.Base(c.Persist))}
	if b != nil && (isIn(p.dir, b.dir) || isIn(b.dir, p.dir)) {
		return nil, fmt.Errorf("%s and root, %s, must not be in each other", c.Persist, b.dir)
	}
	if err := os.Mkdir(p.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	info, err := os.Lstat(p.dir)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s: not a directory", c.Persist)
	}
	if err := o.mayTrust(c.Persist, info); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := letRootPass(root, info, ids); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Persist, err)
	}
	for _, name := range []string{upperDir, workDir} {
		if err := makeLayer(root, name, ids); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Persist, err)
		}
	}
	return p, nil
}

// letRootPass lets the sandbox's root through to the two parts, where it is not the caller: an overlay is mounted with its rights. A
// directory that is in use keeps its mode.
func letRootPass(dir *os.Root, info fs.FileInfo, ids idMaps) error {
	uid, gid := ids.uids[0].HostID, ids.gids[0].HostID
	nowUID, nowGID := owner(info)
	mode := info.Mode().Perm()
	if nowUID == uid || mode&0o001 != 0 || nowGID == gid && mode&0o010 != 0 {
		return nil
	}
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	if names, _ := f.Readdirnames(1); len(names) > 0 {
		return fmt.Errorf("mode %04o keeps gid %d, the sandbox's root, from passing through: chgrp %d and chmod g+x it, or name an empty directory", mode, gid, gid)
	}
	if err := f.Chown(-1, int(gid)); err != nil {
		return err
	}
	return f.Chmod(0o710)
}

// isIn reports whether a clean path is another one or below it.
func isIn(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// makeLayer makes a directory for the sandbox's root, or checks that it is one.
func makeLayer(root *os.Root, name string, ids idMaps) error {
	uid, gid := ids.uids[0].HostID, ids.gids[0].HostID
	err := root.Mkdir(name, 0o700)
	if err == nil {
		if err := root.Lchown(name, int(uid), int(gid)); err != nil {
			return err
		}
		return root.Chmod(name, 0o755)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	now, _ := owner(info)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", name)
	case now != uid:
		return fmt.Errorf("%s belongs to uid %d and not to uid %d, the sandbox's root: it was made by another user or with other ids in /etc/subuid", name, now, uid)
	}
	return nil
}

// keptSomething reports whether an earlier run has written something: it may have brought what the base lacks.
func (c *Config) keptSomething() bool {
	if c.Persist == "" {
		return false
	}
	names, _ := os.ReadDir(filepath.Join(c.Persist, upperDir))
	return len(names) > 0
}
