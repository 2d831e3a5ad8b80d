package libzbox

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func onlyFile(t *testing.T, dir, name, text string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("the directory has %v, %v, want only %s", entries, err, name)
	}
	if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != text {
		t.Errorf("got %q, %v, want %q", data, err, text)
	}
}

func TestPidFileIsABareNumber(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pid")
	for _, pid := range []int{1, 4194304} {
		if err := writePidFile(path, pid); err != nil {
			t.Fatal(err)
		}
		onlyFile(t, dir, "pid", strconv.Itoa(pid))
	}
}

func TestPidFileReplacesALinkAndNotItsTarget(t *testing.T) {
	dir, other := t.TempDir(), filepath.Join(t.TempDir(), "other")
	put(t, other, "x")
	if err := os.Symlink(other, filepath.Join(dir, "pid")); err != nil {
		t.Fatal(err)
	}
	if err := writePidFile(filepath.Join(dir, "pid"), 7); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, dir, "pid", "7")
	onlyFile(t, filepath.Dir(other), "other", "x")
}

func TestPidFileThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "no", "pid"): "writing --pid-file: create " + filepath.Join(dir, "no", "pid") + ": no such file or directory",
		dir:                             "writing --pid-file: create " + dir + ": is a directory",
	} {
		if err := writePidFile(path, 7); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Engines wait for the file to appear and read it at once.
func TestPidFileIsNeverSeenIncomplete(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pid")
	var wait sync.WaitGroup
	stop := make(chan struct{})
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if data, err := os.ReadFile(path); err == nil && string(data) != "1234567" {
				t.Errorf("saw %q", data)
				return
			}
		}
	})
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		if err := writePidFile(path, 1234567); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wait.Wait()
}

func TestPublishByRenameReplaces(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "f"), "old")
	if err := publishByRename(filepath.Join(dir, "f"), 0o600, []byte("new")); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, dir, "f", "new")
}

func TestPublishOfAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4k,nr_inodes=8"); err != nil {
		t.Skipf("needs root to mount: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	err := publish(filepath.Join(dir, "f"), 0o600, make([]byte, 16<<10))
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}
