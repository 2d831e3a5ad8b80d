package translate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// base is the content of root, the lowest layer of the sandbox's file system. Nothing is ever written through root. A nil base is an empty
// one.
type base struct {
	dir      string   // without symbolic links
	handle   *os.File // of dir: everything in it is opened from there
	uid, gid uint32   // the owner of dir
}

// readBase opens root. It is nil when root does not exist or is empty.
func readBase(root string, o Options) (*base, error) {
	real, err := filepath.EvalSymlinks(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenFile(real, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOTDIR) {
		return nil, fmt.Errorf("%s: not a directory", root)
	}
	if err != nil {
		return nil, err
	}
	b := &base{dir: real, handle: dir}
	if err := b.check(root, o); err != nil {
		dir.Close()
		return nil, err
	}
	names, err := dir.Readdirnames(1)
	if len(names) == 0 {
		dir.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, nil
	}
	return b, nil
}

// check refuses what must not be anybody's base: the host's root directory under any name (SEED.md 6.2, row 6), and a directory that other
// users can fill with what the sandbox then runs.
func (b *base) check(root string, o Options) error {
	info, err := b.handle.Stat()
	if err != nil {
		return err
	}
	slash, err := os.Stat("/")
	if err != nil {
		return err
	}
	b.uid, b.gid = owner(info)
	if os.SameFile(info, slash) {
		return fmt.Errorf("%s: is the host's root directory", root)
	}
	return o.mayTrust(root, info)
}

// mayTrust reports a file that others than root, the caller and the user who called sudo could change.
func (o Options) mayTrust(name string, info fs.FileInfo) error {
	uid, _ := owner(info)
	switch {
	case uid != 0 && uid != o.UID && (o.SudoUID == 0 || uid != o.SudoUID):
		return fmt.Errorf("%s: belongs to uid %d; it must belong to root or to uid %d", name, uid, o.UID)
	case info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSymlink == 0:
		return fmt.Errorf("%s: mode %04o lets other users write to it", name, info.Mode().Perm())
	}
	return nil
}

func owner(info fs.FileInfo) (uid, gid uint32) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid, st.Gid
	}
	return 0, 0
}

func (b *base) close() {
	if b != nil {
		b.handle.Close()
	}
}

// open opens a path as a process inside would: links, absolute ones too, lead to places in the base only (openat2(2), RESOLVE_IN_ROOT).
func (b *base) open(name string, flags int) (*os.File, error) {
	return openBelow(b.handle, name, flags)
}

func openBelow(root *os.File, name string, flags int) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(int(root.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN):
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// openRegular opens a file to read it. What is no regular file is not opened: a device may do something then.
func openRegular(root *os.File, name string) (*os.File, error) {
	f, err := openBelow(root, name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readRegular(f, name)
}

// readRegular opens the file that f, which was opened with O_PATH, stands for.
func readRegular(f *os.File, name string) (*os.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// has reports whether there is something under a name, without following a link at its end.
func (b *base) has(name string) bool {
	if b == nil {
		return false
	}
	f, err := b.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// physical is the path without links that name leads to in the base, as far as it exists there: what is mounted on name lands on it.
func (b *base) physical(name string) string {
	name = path.Clean("/" + name)
	if b == nil || name == "/" {
		return name
	}
	f, err := b.open(name, unix.O_PATH)
	if err != nil {
		return path.Join(b.physical(path.Dir(name)), path.Base(name))
	}
	defer f.Close()
	now, err1 := pathOf(f)
	top, err2 := pathOf(b.handle)
	rest, below := strings.CutPrefix(now, top)
	if err1 != nil || err2 != nil || !below || rest != "" && rest[0] != '/' {
		return name
	}
	return path.Clean("/" + rest)
}

func pathOf(f *os.File) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// entries are those of its root directory.
func (b *base) entries() []fs.DirEntry {
	if b == nil {
		return nil
	}
	f, err := b.open(".", unix.O_DIRECTORY)
	if err != nil {
		return nil
	}
	defer f.Close()
	all, _ := f.ReadDir(-1)
	return all
}

// readlink is where a link in its root directory leads; "" when it is none.
func (b *base) readlink(name string) string {
	f, err := b.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return ""
	}
	defer f.Close()
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// stat is what a directory of the base looks like; nil when there is none.
func (b *base) stat(name string) fs.FileInfo {
	if b == nil {
		return nil
	}
	f, err := b.open(name, unix.O_PATH)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.IsDir() {
		return nil
	}
	return info
}
