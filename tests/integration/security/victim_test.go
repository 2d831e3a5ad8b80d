package security

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const secret = "host-secret"

// victim is a directory of the host that no container may change or read.
type victim struct {
	path   string
	before map[string]string
	t      *testing.T
}

// newVictim makes a directory with a few files that attacks aim at.
func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{path: filepath.Join(t.TempDir(), "victim"), t: t}
	if err := os.Mkdir(v.path, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ptmx", "file", secret} {
		v.put(name, "data of the host\n")
	}
	return v
}

// put makes a file, which is part of what must stay as it is.
func (v *victim) put(name, text string) string {
	v.t.Helper()
	path := filepath.Join(v.path, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		v.t.Fatal(err)
	}
	v.before = describeTree(v.t, v.path)
	return path
}

// unchanged fails the test when anything in the victim differs from before, or anything is mounted on it.
func (v *victim) unchanged() {
	v.t.Helper()
	sameTree(v.t, v.before, describeTree(v.t, v.path))
	notMountedOn(v.t, v.path)
}

func sameTree(t *testing.T, before, after map[string]string) {
	t.Helper()
	for name, what := range after {
		if before[name] != what {
			t.Errorf("the host's %s was changed: %q, before %q", name, what, before[name])
		}
	}
	for name := range maps.Keys(before) {
		if _, there := after[name]; !there {
			t.Errorf("the host's %s was removed", name)
		}
	}
}

// describeTree tells kind, owner, device number and content of everything below a directory.
func describeTree(t *testing.T, root string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		what := fmt.Sprintf("mode %o owner %d:%d device %d", st.Mode, st.Uid, st.Gid, st.Rdev)
		switch d.Type() {
		case 0:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" content %x", sha256.Sum256(b))
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " link to " + target
		}
		seen[path] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// notMountedOn fails the test when the host's mount table has an entry at or below the path.
func notMountedOn(t *testing.T, path string) {
	t.Helper()
	for line := range strings.Lines(readFile(t, "/proc/self/mountinfo")) {
		if fields := strings.Fields(line); fields[4] == path || strings.HasPrefix(fields[4], path+"/") {
			t.Errorf("a mount reached the host: %s", line)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// keeps fails the test unless the file of the host has the same content at the end as now.
func keeps(t *testing.T, path string) {
	t.Helper()
	before := readFile(t, path)
	t.Cleanup(func() {
		if after := readFile(t, path); after != before {
			t.Errorf("the host's %s was changed from %q to %q", path, before, after)
		}
	})
}
