package translate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// base is the content of root, seen read-only inside. Nothing is ever written through root: each entry of it is bound on an entry of the
// bundle's own rootfs. A nil base is an empty one.
type base struct {
	dir     string // without symbolic links
	files   []fs.DirEntry
	skipped []string
}

// readBase reads root. It is nil when root does not exist or is empty.
func readBase(root string, caller uint32) (*base, error) {
	real, err := filepath.EvalSymlinks(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := checkBase(root, real, caller); err != nil {
		return nil, err
	}
	all, err := os.ReadDir(real)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, nil
	}
	b := &base{dir: real}
	for _, e := range all {
		switch {
		case isOwnMount(e.Name()):
		case !utf8.ValidString(e.Name()):
			return nil, fmt.Errorf("%s: the name %q is not UTF-8 and cannot be written in a configuration", root, e.Name())
		case e.IsDir(), e.Type().IsRegular(), e.Type() == fs.ModeSymlink:
			b.files = append(b.files, e)
		default:
			b.skipped = append(b.skipped, e.Name())
		}
	}
	return b, nil
}

// checkBase refuses what must not be anybody's base: the host's root directory under any name (SEED.md 6.2, row 6), and a directory that
// another user could change between this look at it and the mounts.
func checkBase(root, real string, caller uint32) error {
	info, err := os.Stat(real)
	if err != nil {
		return err
	}
	slash, err := os.Stat("/")
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s: not a directory", root)
	case os.SameFile(info, slash):
		return fmt.Errorf("%s: is the host's root directory", root)
	case owner != 0 && owner != caller:
		return fmt.Errorf("%s: belongs to uid %d; it must belong to root or to uid %d", root, owner, caller)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s: mode %04o lets other users write to it", root, info.Mode().Perm())
	}
	return nil
}

// isOwnMount: the sandbox has its own /proc, /dev, /sys and /tmp, whatever root has there.
func isOwnMount(name string) bool {
	return name == "proc" || name == "dev" || name == "sys" || name == "tmp"
}

func (b *base) has(name string) bool {
	if b == nil {
		return false
	}
	for _, f := range b.files {
		if f.Name() == name {
			return true
		}
	}
	return false
}

// check reports what the program needs and root does not have.
func (b *base) check(c *Config, p *program) error {
	if b.has("bin") {
		if ok, err := b.hasFile(c.target()); err != nil || !ok {
			return wrong("root", "%s has no file %s to show the program on: add an empty one", c.Root, c.target()[1:])
		}
	}
	if p.loader == "" {
		return nil
	}
	ok, err := b.hasFile(p.loader)
	if err == nil && !ok {
		return wrong("binary", "%s needs %s, which is not in the sandbox: use a statically linked program, or a root that has it", c.Binary, p.loader)
	}
	return nil
}

// hasFile follows links inside the base only. An error is a link that leads out of it, or that is absolute.
func (b *base) hasFile(name string) (bool, error) {
	if b == nil {
		return false, nil
	}
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	info, err := root.Stat(strings.TrimLeft(name, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && !info.IsDir(), err
}

// entries are the mount points for mounts, and the links, which are made anew.
func (b *base) entries() []entry {
	if b == nil {
		return nil
	}
	var out []entry
	for _, f := range b.files {
		e := entry{path: f.Name(), mode: 0o644}
		switch f.Type() {
		case fs.ModeDir:
			e.mode = fs.ModeDir | 0o755
		case fs.ModeSymlink:
			e.mode = fs.ModeSymlink
			e.content, _ = os.Readlink(filepath.Join(b.dir, f.Name()))
		}
		out = append(out, e)
	}
	return out
}

func (b *base) mounts() []specs.Mount {
	if b == nil {
		return nil
	}
	var out []specs.Mount
	for _, f := range b.files {
		source, target := filepath.Join(b.dir, f.Name()), path.Join("/", f.Name())
		switch f.Type() {
		case fs.ModeDir:
			out = append(out, bindMount(source, target, "rbind"))
		case 0:
			out = append(out, bindMount(source, target, "bind"))
		}
	}
	return out
}

func (b *base) warnings() []string {
	if b == nil {
		return nil
	}
	var out []string
	for _, name := range b.skipped {
		out = append(out, fmt.Sprintf("root: %s is neither file, directory nor link and is not in the sandbox", filepath.Join(b.dir, name)))
	}
	return out
}
