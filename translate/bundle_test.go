package translate

import (
	"encoding/json"
	"io/fs"
	"os"
	"path"
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
		want := []string{"drwxr-xr-x scratch", "drwxr-xr-x scratch/upper", "drwxr-xr-x scratch/work", "drwxr-xr-x skeleton"}
		if got := listing(t, filepath.Join(dir, "rootfs")); !slices.Equal(got[:4], want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		want = []string{
			"drwxr-xr-x bin", "-rwxr-xr-x bin/static", "drwxr-xr-x dev", "drwxr-xr-x etc", "-rw-r--r-- etc/group", "-rw-r--r-- etc/hostname",
			"-rw-r--r-- etc/hosts", "-rw-r--r-- etc/passwd", "-rw-r--r-- etc/resolv.conf", "dr-xr-xr-x proc", "dr-xr-xr-x sys", "dtrwxrwxrwx tmp",
		}
		if got := listing(t, filepath.Join(dir, "rootfs/skeleton")); !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		hosts, _ := os.ReadFile(filepath.Join(dir, "rootfs/skeleton/etc/hosts"))
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
	got := listing(t, filepath.Join(dir, "rootfs/skeleton/bin"))
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
	if err := os.Symlink("/usr/bin", filepath.Join(base, "bin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(base, "usr"), 0o750); err != nil {
		t.Fatal(err)
	}
	return base
}

// A fresh root that nobody writes to needs no layers.
func TestBundleOfAReadonlyRootIsFlat(t *testing.T) {
	tmp := t.TempDir()
	c := preset(&Config{Name: "box", Binary: static(t, tmp), Root: "/nonexistent", CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1, ReadonlyRoot: true})
	dir := filepath.Join(tmp, "bundle")
	if _, err := c.Bundle(dir, nil, self()); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, filepath.Join(dir, "rootfs")); !slices.Contains(got, "-rwxr-xr-x bin/static") {
		t.Errorf("got %q", got)
	}
	s := readSpec(t, dir)
	if !s.Root.Readonly || s.Mounts[0].Destination != "/proc" {
		t.Errorf("root %+v, mounts %+v", s.Root, s.Mounts)
	}
}

// layerMounts are the first mounts of a bundle, up to the overlay.
func layerMounts(t *testing.T, dir string, s *specs.Spec) []string {
	t.Helper()
	var out []string
	for _, m := range s.Mounts {
		line := m.Type + " " + m.Source + " " + m.Destination + " " + strings.Join(m.Options, ",")
		out = append(out, strings.ReplaceAll(line, dir, ""))
		if m.Destination == "/" {
			return out
		}
	}
	t.Fatalf("no overlay on /: %+v", s.Mounts)
	return nil
}

func TestBundleOfARootWithContentIsItsLowestLayer(t *testing.T) {
	tmp := t.TempDir()
	base := makeBase(t, tmp)
	before := listing(t, base)
	c := preset(&Config{Name: "box", Binary: static(t, tmp), Root: base, CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1})
	dir := filepath.Join(tmp, "bundle")
	warnings, err := c.Bundle(dir, nil, self())
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	want := []string{
		"bind /base /base bind,ro,nosuid,nodev",
		"tmpfs tmpfs /scratch nosuid,nodev,mode=755,size=512k,tmpcopyup",
		"overlay overlay / lowerdir=/bundle/rootfs/skeleton:/bundle/rootfs/base,upperdir=/bundle/rootfs/scratch/upper," +
			"workdir=/bundle/rootfs/scratch/work,userxattr,nosuid,nodev",
	}
	if got := layerMounts(t, tmp, readSpec(t, dir)); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// The program's mount point is where the base's link leads.
	got := listing(t, filepath.Join(dir, "rootfs/skeleton"))
	for _, want := range []string{"drwxr-x--- usr", "drwxr-xr-x usr/bin", "-rwxr-xr-x usr/bin/static", "-rw-r--r-- etc/passwd"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if slices.Contains(got, "drwxr-xr-x bin") {
		t.Errorf("bin hides the link of the base: %q", got)
	}
	if after := listing(t, base); !slices.Equal(before, after) {
		t.Errorf("root changed: %q", after)
	}

	c.ReadonlyRoot = true
	dir = filepath.Join(tmp, "readonly")
	if _, err := c.Bundle(dir, nil, self()); err != nil {
		t.Fatal(err)
	}
	want = []string{"bind /base /base bind,ro,nosuid,nodev", "overlay overlay / lowerdir=/readonly/rootfs/skeleton:/readonly/rootfs/base,userxattr,nosuid,nodev"}
	if got := layerMounts(t, tmp, readSpec(t, dir)); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// What zbox writes has the names of links of the base, which lead to the host: SEED.md 6.2, row 5.
func TestBundleWritesThroughNoLinkOfTheBase(t *testing.T) {
	tmp := t.TempDir()
	victim := filepath.Join(tmp, "victim")
	base := filepath.Join(tmp, "base")
	for _, dir := range []string{victim, base, filepath.Join(base, "etc"), filepath.Join(base, "bin")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"dev", "proc", "sys", "tmp", "workspace", "opt", "etc/passwd", "etc/group", "etc/hosts", "etc/hostname", "etc/resolv.conf", "bin/static"} {
		if err := os.Symlink(filepath.Join(victim, path.Base(name)), filepath.Join(base, name)); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t, base)
	c := preset(&Config{Name: "box", Binary: static(t, tmp), Root: base, CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1})
	c.Workspace = &Workspace{Source: t.TempDir(), Target: "/workspace"}
	c.Mounts = []Mount{{Source: c.Binary, Target: "/opt/deep/file"}}
	dir := filepath.Join(tmp, "bundle")
	if _, err := c.Bundle(dir, nil, self()); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, victim); len(got) > 0 {
		t.Errorf("written through links: %q", got)
	}
	if after := listing(t, base); !slices.Equal(before, after) {
		t.Errorf("root changed: %q", after)
	}
	got := listing(t, filepath.Join(dir, "rootfs/skeleton"))
	for _, want := range []string{"drwxr-xr-x dev", "dr-xr-xr-x proc", "dr-xr-xr-x sys", "-rw-r--r-- etc/hosts", "-rw-r--r-- etc/resolv.conf"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
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
	content := dir("content", 0o755)
	dir("content/bin", 0o755)
	crlf := file("crlf", "#!/bin/sh\r\necho\r\n", 0o755)
	relative := file("relative", "#!sh\n", 0o755)
	env := file("env-script", "#!/usr/bin/env -S VAR=1 nosuchprogram -x\n", 0o755)
	own := file("sh", "#!/bin/sh\n", 0o755)
	loader := map[string]string{"amd64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}[runtime.GOARCH]

	cases := []struct{ name, binary, root, want string }{
		{"root is / by a link", program, slash, "c.json: root: " + slash + ": is the host's root directory"},
		{"root is / through procfs", program, "/proc/self/root", "c.json: root: /proc/self/root: is the host's root directory"},
		{"root is a file", program, plain, "c.json: root: " + plain + ": not a directory"},
		{"root can be written by others", program, open, "c.json: root: " + open + ": mode 0777 lets other users write to it"},
		{"binary is not there", tmp + "/none", "/none", "c.json: binary: " + tmp + "/none: no such file or directory"},
		{"binary is a directory", open, "/none", "c.json: binary: " + open + ": not a regular file"},
		{"binary is not executable", plain, "/none", "c.json: binary: " + plain + ": not executable: mode 0644"},
		{"binary's interpreter is missing", script, "/none", "c.json: binary: " + script + " needs the interpreter /opt/python, which this host does not have: install it"},
		{"binary's interpreter is not in root", script, content, "c.json: binary: " + script + " needs the interpreter /opt/python, which root, " + content + ", does not have: install it there, or use a statically linked program"},
		{"binary's loader is not in root", "/bin/bash", content, "c.json: binary: /bin/bash needs the loader " + loader + ", which root, " + content + ", does not have: install it there, or use a statically linked program"},
		{"binary's first line ends with CR LF", crlf, "/none", "c.json: binary: " + crlf + `: its first line ends with CR LF, so that its interpreter would be "/bin/sh\r": convert it with dos2unix`},
		{"binary's interpreter is relative", relative, "/none", "c.json: binary: " + relative + ": its interpreter sh is no absolute path"},
		{"env's program is missing", env, "/none", "c.json: binary: " + env + " needs the program nosuchprogram (for env), which this host does not have: install it"},
		{"binary has the name of its interpreter", own, "/none", "c.json: binary: " + own + " needs the host's /bin/sh, which has the same path inside as itself: give the program another name"},
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
