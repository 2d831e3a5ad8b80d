package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// publish makes a file that appears with all its content at once, in place of an older one. Until then it has no name (open(2),
// O_TMPFILE): a crash leaves nothing. A filesystem that knows no such files gets a temporary name instead.
func publish(path string, mode uint32, data []byte) error {
	fd, err := unix.Open(filepath.Dir(path), unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, mode)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		return publishByRename(path, mode, data)
	}
	if err != nil {
		return &os.PathError{Op: "create", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if n, err := unix.Write(fd, data); err != nil || n != len(data) {
		return &os.PathError{Op: "write", Path: path, Err: orNoSpace(err)}
	}
	return linkInto(fmt.Sprintf("/proc/self/fd/%d", fd), path)
}

// linkInto gives a nameless file its name. linkat(2) does not replace: an older file is removed first.
func linkInto(nameless, path string) error {
	const tries = 100 // somebody else may publish the same name meanwhile
	var err error
	for range tries {
		err = unix.Linkat(unix.AT_FDCWD, nameless, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
		if !errors.Is(err, unix.EEXIST) {
			break
		}
		if err = unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	if err != nil {
		return &os.PathError{Op: "create", Path: path, Err: err}
	}
	return nil
}

func publishByRename(path string, mode uint32, data []byte) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(temp, data, os.FileMode(mode)); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// orNoSpace is the reason of a write that was short.
func orNoSpace(err error) error {
	if err == nil {
		return unix.ENOSPC
	}
	return err
}
