package translate

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// self is the options of the user who runs the tests, without a mapped range: no ownership is changed.
func self() Options {
	o := Options{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if o.UID == 0 {
		o.UID = 1
	}
	return o
}

func static(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "static")
	if err := os.WriteFile(path, []byte("not ELF, not a script"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func readSpec(t *testing.T, dir string) *specs.Spec {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := &specs.Spec{}
	if err := json.Unmarshal(data, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// listing is one line per entry below dir.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := info.Mode().String() + " " + rel
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line = "link " + rel + " -> " + target
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBundleOfAnEmptyRootIsAFreshSkeleton(t *testing.T) {
	for _, existing := range []bool{false, true} {
		tmp := t.TempDir()
		root := filepath.Join(tmp, "root")
		if existing {
			if err := os.Mkdir(root, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		c := preset(&Config{Name: "a_box", Binary: static(t, tmp), Root: root, CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1})
		dir := filepath.Join(tmp, "bundle")
		warnings, err := c.Bundle(dir, nil, self())
		if err != nil || len(warnings) > 0 {
			t.Fatal(warnings, err)
		}
		want := []string{
			"drwxr-xr-x bin", "-rwxr-xr-x bin/static", "drwxr-xr-x dev", "drwxr-xr-x etc", "-rw-r--r-- etc/group", "-rw-r--r-- etc/hostname",
			"-rw-r--r-- etc/hosts", "-rw-r--r-- etc/passwd", "-rw-r--r-- etc/resolv.conf", "dr-xr-xr-x proc", "dr-xr-xr-x sys", "dtrwxrwxrwx tmp",
		}
		if got := listing(t, filepath.Join(dir, "rootfs")); !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		hosts, _ := os.ReadFile(filepath.Join(dir, "rootfs/etc/hosts"))
		if string(hosts) != "127.0.0.1\tlocalhost a-box\n::1\tlocalhost\n" {
			t.Errorf("hosts: %q", hosts)
		}
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("bundle: %v %v", info.Mode(), err)
		}
	}
}

func TestBundleOfBusyboxHasItsNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundle")
	c := example(t)
	c.Root = "/nonexistent"
	if _, err := c.Bundle(dir, nil, self()); err != nil {
		t.Fatal(err)
	}
	got := listing(t, filepath.Join(dir, "rootfs/bin"))
	for _, want := range []string{"-rwxr-xr-x busybox", "link sh -> busybox", "link ip -> busybox", "link ls -> busybox"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// makeBase is a root with content: a bin with the program's name, a link, a file, a socket-like special file.
func makeBase(t *testing.T, dir string) string {
	t.Helper()
	base := filepath.Join(dir, "base")
	for _, d := range []string{"", "usr", "usr/bin", "opt", "proc", "tmp"} {
		if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"usr/bin/static": "", "README": "hello", "tmp/old": "x"} {
		if err := os.WriteFile(filepath.Join(base, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("usr/bin", filepath.Join(base, "bin")); err != nil {
		t.Fatal(err)
	}
	return base
}

func TestBundleOfARootWithContentBindsItReadOnly(t *testing.T) {
	tmp := t.TempDir()
	base := makeBase(t, tmp)
	before := listing(t, base)
	c := preset(&Config{Name: "box", Binary: static(t, tmp), Root: base, CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1})
	dir := filepath.Join(tmp, "bundle")
	warnings, err := c.Bundle(dir, nil, self())
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	s := readSpec(t, dir)
	var binds []string
	for _, m := range s.Mounts {
		if m.Type == "bind" {
			binds = append(binds, strings.TrimPrefix(m.Source, tmp)+" "+m.Destination+" "+strings.Join(m.Options, ","))
		}
	}
	want := []string{
		"/base/README /README bind,ro,nosuid,nodev",
		"/base/opt /opt rbind,rro,rnosuid,rnodev",
		"/base/usr /usr rbind,rro,rnosuid,rnodev",
		"/static /bin/static bind,ro,nosuid,nodev",
	}
	if !slices.Equal(binds, want) {
		t.Errorf("got  %q\nwant %q", binds, want)
	}
	got := listing(t, filepath.Join(dir, "rootfs"))
	for _, want := range []string{"link bin -> usr/bin", "drwxr-xr-x usr", "-rw-r--r-- README", "-rw-r--r-- etc/passwd"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if after := listing(t, base); !slices.Equal(before, after) {
		t.Errorf("root changed: %q", after)
	}
	if !s.Root.Readonly || s.Root.Path != "rootfs" {
		t.Errorf("root %+v", s.Root)
	}
}

func TestBundleRefusesWithFieldAndReason(t *testing.T) {
	tmp := t.TempDir()
	program := static(t, tmp)
	link := func(target, name string) string {
		path := filepath.Join(tmp, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := func(name, content string, perm fs.FileMode) string {
		path := filepath.Join(tmp, name)
		if err := os.WriteFile(path, []byte(content), perm); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dir := func(name string, perm fs.FileMode) string {
		path := filepath.Join(tmp, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, perm); err != nil {
			t.Fatal(err)
		}
		return path
	}
	slash := link("/", "slash")
	open := dir("open", 0o777)
	script := file("script", "#!/opt/python -u\n", 0o755)
	plain := file("plain", "", 0o644)
	dir("empty-bin/bin", 0o755)
	loader := map[string]string{"amd64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}[runtime.GOARCH]

	cases := []struct{ name, binary, root, want string }{
		{"root is / by a link", program, slash, "c.json: root: " + slash + ": is the host's root directory"},
		{"root is / through procfs", program, "/proc/self/root", "c.json: root: /proc/self/root: is the host's root directory"},
		{"root is a file", program, plain, "c.json: root: " + plain + ": not a directory"},
		{"root can be written by others", program, open, "c.json: root: " + open + ": mode 0777 lets other users write to it"},
		{"root has a bin without the program's name", program, tmp + "/empty-bin", "c.json: root: " + tmp + "/empty-bin has no file bin/static to show the program on: add an empty one"},
		{"binary is not there", tmp + "/none", "/none", "c.json: binary: " + tmp + "/none: no such file or directory"},
		{"binary is a directory", open, "/none", "c.json: binary: " + open + ": not a regular file"},
		{"binary is not executable", plain, "/none", "c.json: binary: " + plain + ": not executable: mode 0644"},
		{"binary's interpreter is missing", script, "/none", "c.json: binary: " + script + " needs /opt/python, which is not in the sandbox: use a statically linked program, or a root that has it"},
		{"binary's loader is missing", "/bin/bash", "/none", "c.json: binary: /bin/bash needs " + loader + ", which is not in the sandbox: use a statically linked program, or a root that has it"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := preset(&Config{Name: "box", Binary: tc.binary, Root: tc.root, CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1, file: "c.json"})
			bundle := filepath.Join(t.TempDir(), "bundle")
			_, err := c.Bundle(bundle, nil, self())
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if _, err := os.Lstat(bundle); err == nil {
				t.Error("the bundle's directory is left behind")
			}
		})
	}
}

func TestBundleOverwritesNothing(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	cases := []struct {
		name  string
		plant func(dir string) error
		want  string
	}{
		{"a rootfs that exists", func(dir string) error { return os.Mkdir(filepath.Join(dir, "rootfs"), 0o755) }, "writing the bundle: mkdirat rootfs: file exists"},
		{"a link in place of rootfs", func(dir string) error { return os.Symlink(filepath.Dir(victim), filepath.Join(dir, "rootfs")) }, "writing the bundle: mkdirat rootfs: file exists"},
		{"a config.json that exists", func(dir string) error { return os.WriteFile(filepath.Join(dir, "config.json"), []byte("mine"), 0o644) }, "writing the bundle: openat config.json: file exists"},
		{"a link in place of config.json", func(dir string) error { return os.Symlink("../victim", filepath.Join(dir, "config.json")) }, "writing the bundle: openat config.json: file exists"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(filepath.Dir(victim), strings.ReplaceAll(tc.name, " ", "-"))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := tc.plant(dir); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			c := example(t)
			c.Root = "/nonexistent"
			_, err := c.Bundle(dir, nil, self())
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if after := listing(t, dir); !slices.Equal(before, after) {
				t.Errorf("the directory changed: %q", after)
			}
			if data, _ := os.ReadFile(victim); string(data) != "precious" {
				t.Errorf("overwritten: %q", data)
			}
		})
	}
}

func BenchmarkBundle(b *testing.B) {
	c, err := Load("../examples/sandbox.json")
	if err != nil {
		b.Fatal(err)
	}
	c.Root = "/nonexistent"
	tmp := b.TempDir()
	for i := 0; b.Loop(); i++ {
		if _, err := c.Bundle(filepath.Join(tmp, strconv.Itoa(i)), nil, self()); err != nil {
			b.Fatal(err)
		}
	}
}
