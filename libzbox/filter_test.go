package libzbox

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func profile(names ...string) *specs.Spec {
	return &specs.Spec{Linux: &specs.Linux{Seccomp: &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Syscalls:      []specs.LinuxSyscall{{Names: names, Action: specs.ActErrno}},
	}}}
}

// cachedFilter compiles a filter, and returns it and the path of its cache entry.
func cachedFilter(t *testing.T, r *Runtime) (filter []byte, path string) {
	t.Helper()
	s := profile("reboot")
	filter, err := r.filter(s)
	if err != nil || len(filter) == 0 || len(filter)%8 != 0 {
		t.Fatalf("%d bytes, %v", len(filter), err)
	}
	key, err := filterKey(s.Linux.Seccomp)
	if err != nil {
		t.Fatal(err)
	}
	return filter, filepath.Join(r.opts.Root, filterCache, key)
}

func TestFilterIsCached(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	r, _ := newRuntime(t)
	filter, path := cachedFilter(t, r)
	for file, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700 | os.ModeDir} {
		if st, err := os.Stat(file); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, want %v", file, err, want)
		}
	}
	if again, ok := readCachedFilter(path); !ok || !bytes.Equal(again, filter) {
		t.Errorf("the cache has %d bytes, want %d", len(again), len(filter))
	}
	// What counts is the cache: a valid entry for this key is taken as it is.
	cacheFilter(path, []byte("another!"))
	if hit, err := r.filter(profile("reboot")); err != nil || string(hit) != "another!" {
		t.Errorf("got %q, %v, want the cached entry", hit, err)
	}
	if other, err := r.filter(profile("swapon")); err != nil || string(other) == "another!" {
		t.Errorf("another profile got this one's entry, %v", err)
	}
}

func TestFilterCacheEntryThatIsIgnored(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(path string) error
	}{
		{"another byte in the filter", func(path string) error { return change(path, func(b []byte) []byte { b[len(b)-1]++; return b }) }},
		{"another byte in the hash", func(path string) error { return change(path, func(b []byte) []byte { b[0]++; return b }) }},
		{"cut off", func(path string) error { return change(path, func(b []byte) []byte { return b[:len(b)-8] }) }},
		{"only the hash", func(path string) error { return change(path, func(b []byte) []byte { return b[:32] }) }},
		{"empty", func(path string) error { return change(path, func([]byte) []byte { return nil }) }},
		{"much too long", func(path string) error { return os.Truncate(path, 1<<30) }},
		{"writable by the group", func(path string) error { return os.Chmod(path, 0o620) }},
		{"writable by others", func(path string) error { return os.Chmod(path, 0o602) }},
		{"another owner", func(path string) error { return os.Chown(path, 65534, -1) }},
		{"a link", func(path string) error {
			if err := os.Rename(path, path+".real"); err != nil {
				return err
			}
			return os.Symlink(path+".real", path)
		}},
		{"a directory", func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		}},
		{"a FIFO", func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return unix.Mkfifo(path, 0o600)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := newRuntime(t)
			filter, path := cachedFilter(t, r)
			if tt.name == "another owner" && os.Geteuid() != 0 {
				t.Skip("needs root to give a file away")
			}
			cacheFilter(path, []byte("another!")) // shows when the entry is used
			if err := tt.spoil(path); err != nil {
				t.Fatal(err)
			}
			if got, ok := readCachedFilter(path); ok {
				t.Errorf("was read: %q", got)
			}
			if got, err := r.filter(profile("reboot")); err != nil || !bytes.Equal(got, filter) {
				t.Errorf("got %q, %v, want a freshly compiled filter", got, err)
			}
		})
	}
}

func change(path string, f func([]byte) []byte) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, f(data), 0o600)
}

func TestFilterOfNothing(t *testing.T) {
	r, _ := newRuntime(t)
	if got, err := r.filter(&specs.Spec{}); got != nil || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := os.Stat(r.opts.Root); !os.IsNotExist(err) {
		t.Errorf("the root was made: %v", err)
	}
}
