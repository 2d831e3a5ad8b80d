package translate

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/tests/integration"
)

func TestParseRefusesMountsWithFieldAndReason(t *testing.T) {
	cases := []struct{ name, line, want string }{
		{"source is relative", `"mounts": [{"source": "a", "target": "/a"}]`, `mounts[0].source: "a" must be an absolute path`},
		{"target is relative", `"mounts": [{"source": "/a", "target": "a"}]`, `mounts[0].target: "a" must be an absolute path`},
		{"target is /", `"mounts": [{"source": "/a", "target": "/."}]`, `mounts[0].target: is /: give the whole file system as root`},
		{"target goes up", `"mounts": [{"source": "/a", "target": "/a/../b"}]`, `mounts[0].target: "/a/../b" goes up with ..`},
		{"target is the kernel's", `"mounts": [{"source": "/a", "target": "//proc/sys/"}]`, `mounts[0].target: //proc/sys/ is in /proc, which is the sandbox's own`},
		{"target given twice", `"mounts": [{"source": "/a", "target": "/x"}, {"source": "/b", "target": "/x/"}]`, `mounts[1].target: /x is already the target of mounts[0]`},
		{"target of the workspace", `"mounts": [{"source": "/a", "target": "/workspace"}], "workspace": {"source": "/w"}`, `workspace.target: /workspace is already the target of mounts[0]`},
		{"source is missing", `"mounts": [{"target": "/x"}]`, `mounts[0].source: missing; it is a string`},
		{"workspace as a string", `"workspace": "/w"`, `workspace: an object is needed, not a string`},
		{"persist is relative", `"persist": "p"`, `persist: "p" must be an absolute path`},
		{"persist is /", `"persist": "//"`, `persist: "//" is the host's root directory`},
		{"persist of a root that is not written", `"persist": "/p", "readonly_root": true`, `persist: keeps what is written to the root, and with readonly_root nothing is`},
		{"no tmpfs", `"tmpfs_size_mb": 0`, `tmpfs_size_mb: 0 is out of range 1 to 4294967295`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("c.json", []byte(with(`"name": "x", `+tc.line)))
			text, _, _ := strings.Cut(fmt.Sprint(err), ", at: ")
			// file:line:column comes first
			parts := strings.SplitN(text, ": ", 2)
			if len(parts) != 2 || !strings.HasPrefix(parts[0], "c.json") || parts[1] != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

// busyboxBox is a sandbox that Bundle can make anywhere.
func busyboxBox() *Config {
	return preset(&Config{Name: "box", Binary: "/bin/busybox", Root: "/nonexistent", CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1, file: "c.json"})
}

func TestBundleRefusesMountsThatAreNotThere(t *testing.T) {
	tmp := t.TempDir()
	for _, dir := range []string{"holder", "other", "group", "base"} {
		if err := os.Mkdir(filepath.Join(tmp, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc", filepath.Join(tmp, "holder/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "base/x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(tmp, "group"), 0o775); err != nil {
		t.Fatal(err)
	}
	mounts := func(list ...Mount) func(*Config) { return func(c *Config) { c.Mounts = list } }
	holder := Mount{Source: tmp + "/holder", Target: "/h"}
	const made = "which is in /h (mounts[0]) and must be there already, not behind a link, because nothing is made on the host: "
	cases := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no source", mounts(Mount{Source: tmp + "/none", Target: "/x"}), "c.json: mounts[0].source: " + tmp + "/none: no such file or directory"},
		{"the host's root", mounts(Mount{Source: "/", Target: "/x"}), "c.json: mounts[0].source: is the host's root directory: it can be mounted with readonly only"},
		{"a mount point in another mount", mounts(holder, Mount{Source: tmp + "/other", Target: "/h/new"}), "c.json: mounts[1].target: /h/new, " + made + "no such file or directory"},
		{"a mount point behind a link of another mount", mounts(holder, Mount{Source: tmp + "/other", Target: "/h/link"}), "c.json: mounts[1].target: /h/link, " + made + "too many levels of symbolic links"},
		{"the program's place", mounts(Mount{Source: tmp + "/holder", Target: "/bin/busybox"}), "c.json: mounts[0].target: /bin/busybox is where the program is"},
		{"no place for the program", mounts(Mount{Source: tmp + "/holder", Target: "/bin"}), "c.json: binary: is shown at /bin/busybox, which is in /bin (mounts[0]) and must be there already, not behind a link, because nothing is made on the host: no such file or directory"},
		{"a user that cannot write", func(c *Config) { c.UID, c.Workspace = 3, &Workspace{Source: tmp, Target: "/w"} }, "c.json: workspace: without root privileges only uid 0 of the sandbox is the caller, and uid is 3: leave uid out or mount readonly"},
		{"a workspace that is a file", func(c *Config) { c.Workspace = &Workspace{Source: tmp + "/base/x", Target: "/w"} }, "c.json: workspace.source: " + tmp + "/base/x: not a directory"},
		{"persist without a parent", func(c *Config) { c.Persist = tmp + "/a/b" }, "c.json: persist: " + tmp + "/a/b: the directory that it is to be in does not exist"},
		{"persist that others write", func(c *Config) { c.Persist = tmp + "/group" }, "c.json: persist: " + tmp + "/group: mode 0775 lets other users write to it"},
		{"persist that is a link", func(c *Config) { c.Persist = tmp + "/holder/link" }, "c.json: persist: " + tmp + "/holder/link: not a directory"},
		{"persist in root", func(c *Config) { c.Root, c.Persist = tmp+"/base", tmp+"/base/p" }, "c.json: persist: " + tmp + "/base/p and root, " + tmp + "/base, must not be in each other"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			before := listing(t, tmp)
			c := busyboxBox()
			tc.change(c)
			o := self()
			o.UID = uint32(max(os.Geteuid(), 1))
			o.SubUID, o.SubGID = IDRange{Start: 100000, Size: 65535}, IDRange{Start: 100000, Size: 65535}
			_, err := c.Bundle(filepath.Join(t.TempDir(), "bundle"), nil, o)
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if after := listing(t, tmp); !slices.Equal(before, after) {
				t.Errorf("made something: %q", after)
			}
		})
	}
}

// As root, files that the sandbox's user writes belong to the owner of what is mounted.
func TestBundleMapsTheOwnerOfAMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	tmp := t.TempDir()
	if err := os.Chown(tmp, 1234, 5678); err != nil {
		t.Fatal(err)
	}
	c := busyboxBox()
	c.UID, c.GID = 10, 20
	c.Workspace = &Workspace{Source: tmp, Target: "/work"}
	c.Mounts = []Mount{{Source: "/etc/passwd", Target: "/opt/users", Readonly: true}}
	dir := filepath.Join(t.TempDir(), "bundle")
	o := Options{SubUID: IDRange{Start: 100000, Size: 65536}, SubGID: IDRange{Start: 300000, Size: 65536}}
	if _, err := c.Bundle(dir, nil, o); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range readSpec(t, dir).Mounts {
		if m.Destination == "/work" || m.Destination == "/opt/users" {
			got = append(got, fmt.Sprint(m.Destination, m.Options, m.UIDMappings, m.GIDMappings))
		}
	}
	want := []string{
		"/opt/users[bind ro nosuid nodev] [{0 100010 1}] [{0 300020 1}]",
		"/work[rbind rw rnosuid rnodev] [{1234 100010 1}] [{5678 300020 1}]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if s := readSpec(t, dir); s.Process.Cwd != "/work" {
		t.Errorf("working directory %s", s.Process.Cwd)
	}
}

// What is mounted below a source is mapped with it, where that is possible.
func TestBundleMapsWhatIsMountedBelow(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	tmp := t.TempDir()
	sub := filepath.Join(tmp, "a b")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", sub, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(sub, 0); err != nil {
			t.Error(err)
		}
	})
	old := "workspace: " + sub + ": id-mapped mounts of tmpfs need Linux 6.3, this is 6.1: what is mounted below " + tmp + " belongs to nobody inside"
	for kernel, want := range map[Kernel]struct{ options, warnings string }{
		{6, 3}: {"[rbind rw rnosuid rnodev ridmap]", "[]"},
		{6, 1}: {"[rbind rw rnosuid rnodev]", "[" + old + "]"},
	} {
		c := busyboxBox()
		c.Workspace = &Workspace{Source: tmp, Target: "/work"}
		dir := filepath.Join(t.TempDir(), "bundle")
		warnings, err := c.Bundle(dir, nil, Options{Kernel: kernel})
		if err != nil || fmt.Sprint(warnings) != want.warnings {
			t.Errorf("%v: warnings %v, %v, want %s", kernel, warnings, err, want.warnings)
		}
		for _, m := range readSpec(t, dir).Mounts {
			if m.Destination == "/work" && fmt.Sprint(m.Options) != want.options {
				t.Errorf("%v: options %v, want %s", kernel, m.Options, want.options)
			}
		}
	}
}

func TestBundleMapsIDsOnlyWhereItCan(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	tmp := t.TempDir()
	base := makeBase(t, tmp)
	for kernel, want := range map[Kernel]string{
		{5, 19}: "[]",
		{5, 18}: "[root: " + base + ": id-mapped layers need Linux 5.19, this is 5.18: its files belong to nobody inside and cannot be changed there]",
	} {
		c := busyboxBox()
		c.Root = base
		dir := filepath.Join(t.TempDir(), "bundle")
		warnings, err := c.Bundle(dir, nil, Options{Kernel: kernel})
		if err != nil || fmt.Sprint(warnings) != want {
			t.Errorf("%v: warnings %v, %v, want %s", kernel, warnings, err, want)
		}
		if mapped := len(readSpec(t, dir).Mounts[0].UIDMappings) > 0; mapped != (want == "[]") {
			t.Errorf("%v: mapped %v", kernel, mapped)
		}
	}
	c := busyboxBox()
	c.Mounts = []Mount{{Source: "/proc/sys", Target: "/x"}}
	_, err := c.Bundle(filepath.Join(t.TempDir(), "bundle"), nil, Options{})
	if want := "c.json: mounts[0].source: /proc/sys: file systems of the kernel have no id-mapped mounts: mount it readonly, or run zbox as the user that it belongs to"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestBaseMapsMakeTheOwnerRoot(t *testing.T) {
	r := IDRange{Start: 100000, Size: 65536}
	m := func(disk, host, size uint32) specs.LinuxIDMapping {
		return specs.LinuxIDMapping{ContainerID: disk, HostID: host, Size: size}
	}
	for owner, want := range map[uint32][]specs.LinuxIDMapping{
		0:      {m(0, 100000, 65536)},
		1:      {m(0, 100001, 1), m(1, 100000, 1), m(2, 100002, 65534)},
		1000:   {m(0, 101000, 1), m(1, 100001, 999), m(1000, 100000, 1), m(1001, 101001, 64535)},
		65535:  {m(0, 165535, 1), m(1, 100001, 65534), m(65535, 100000, 1)},
		231072: {m(231072, 100000, 1), m(1, 100001, 65535)},
	} {
		got := baseMaps(owner, r)
		if !slices.Equal(got, want) {
			t.Errorf("owner %d: got %v, want %v", owner, got, want)
		}
		for _, g := range got {
			if inside := insideID(g.ContainerID, owner); inside != g.HostID-100000 {
				t.Errorf("owner %d: %d is %d inside, but mapped to %d", owner, g.ContainerID, inside, g.HostID-100000)
			}
		}
	}
}

// compile builds a program or library with the C compiler that the project's own build needs.
func compile(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc %q: %v\n%s", args, err, out)
	}
}

// libraryTree is a program with libraries that are found by RUNPATH, by an RPATH that is inherited, and by $ORIGIN.
func libraryTree(t *testing.T) string {
	t.Helper()
	dir := integration.PublicDir(t)
	for _, d := range []string{"bin", "lib", "more"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	source := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := source("c.c", "int c(void) { return 7; }\n")
	b := source("b.c", "int c(void); int b(void) { return c(); }\n")
	a := source("a.c", "#include <stdio.h>\nint b(void); int main(void) { printf(\"%d\\n\", b()); return 0; }\n")
	compile(t, "-shared", "-fPIC", "-o", dir+"/more/libc7.so", c)
	compile(t, "-shared", "-fPIC", "-Wl,--disable-new-dtags,-rpath,"+dir+"/more", "-o", dir+"/lib/libb.so", b, "-L"+dir+"/more", "-lc7")
	compile(t, "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib", "-o", dir+"/bin/a", a, "-L"+dir+"/lib", "-lb", "-Wl,-rpath-link,"+dir+"/more")
	return dir
}

func TestDynamicProgramRunsOnAFreshRoot(t *testing.T) {
	dir := libraryTree(t)
	c := box()
	c.Binary = dir + "/bin/a"
	if out, code := run(t, c, "x"); out != "7\n" || code != 0 {
		t.Errorf("exit code %d, output %q", code, out)
	}
	if err := os.Remove(dir + "/more/libc7.so"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Bundle(filepath.Join(t.TempDir(), "bundle"), nil, self())
	if want := ": binary: " + c.Binary + " needs the library libc7.so, which this host does not have: install it"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	// It could be there.
	c.Env = []string{"LD_LIBRARY_PATH=/elsewhere"}
	if _, err := c.Bundle(filepath.Join(t.TempDir(), "bundle"), nil, self()); err != nil {
		t.Error(err)
	}
}

func TestScriptsRunWithTheirInterpreters(t *testing.T) {
	dir := integration.PublicDir(t)
	for name, text := range map[string]string{
		"hello": "#!/bin/sh -e\necho hello $1\n", "nested": "#!" + dir + "/hello\n", "env-hello": "#!/usr/bin/env dash\necho hello $1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"hello": "hello you\n", "env-hello": "hello you\n", "nested": "hello /bin/nested\n"} {
		c := box()
		c.Binary = filepath.Join(dir, name)
		if out, code := run(t, c, "you"); out != want || code != 0 {
			t.Errorf("%s: exit code %d, output %q", name, code, out)
		}
	}
}

// The libraries of a root with content are its own: nothing comes along.
func TestDynamicProgramRunsWithTheLibrariesOfItsRoot(t *testing.T) {
	tmp := integration.PublicDir(t)
	c := box()
	c.Binary, c.Root = "/bin/bash", filepath.Join(tmp, "base")
	p, err := c.gather(Options{})
	if err != nil || len(p.needs) < 2 {
		t.Fatal(p.needs, err)
	}
	defer p.close()
	last := p.needs[len(p.needs)-1]
	for _, f := range p.needs {
		if f == last {
			continue
		}
		target := filepath.Join(c.Root, f.target)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", f.source, target).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	_, err = c.gather(Options{})
	if want := "needs the library " + filepath.Base(last.target) + ", which root, " + c.Root + ", does not have"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	// Behind an absolute link, which leads to a place in root.
	if err := os.MkdirAll(filepath.Join(c.Root, "opt"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", last.source, filepath.Join(c.Root, "opt/library")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Symlink("/opt/library", filepath.Join(c.Root, last.target)); err != nil {
		t.Fatal(err)
	}
	if out, code := run(t, c, "-c", "echo ran"); out != "ran\n" || code != 0 {
		t.Errorf("exit code %d, output %q", code, out)
	}
}

func TestCacheOfTheHostIsReadAndBrokenOnesAreEmpty(t *testing.T) {
	data, err := os.ReadFile("/etc/ld.so.cache")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(parseCache(data, binary.LittleEndian).find("libc.so.6"), func(p string) bool { return strings.HasSuffix(p, "/libc.so.6") }) {
		t.Error("libc.so.6 is not found")
	}
	old := append([]byte(oldCacheMagic), 1, 0, 0, 0)
	old = append(old, make([]byte, oldCacheEntry+4)...) // aligned to 8
	if len(parseCache(append(old, data...), binary.LittleEndian).find("libc.so.6")) == 0 {
		t.Error("libc.so.6 is not found behind an old part")
	}
	for i := range data {
		if i > 200 && i < len(data)-200 {
			continue
		}
		parseCache(data[:i], binary.LittleEndian).find("libc.so.6")
		broken := slices.Clone(data)
		broken[i] ^= 0xff
		parseCache(broken, binary.LittleEndian).find("libc.so.6")
	}
}

func FuzzCache(f *testing.F) {
	data, err := os.ReadFile("/etc/ld.so.cache")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:min(len(data), 4096)])
	f.Fuzz(func(_ *testing.T, data []byte) { parseCache(data, binary.LittleEndian).find("libc.so.6") })
}

func FuzzELF(f *testing.F) {
	for _, path := range []string{"/bin/bash", "/bin/busybox"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:min(len(data), 1<<16)])
	}
	f.Fuzz(func(_ *testing.T, data []byte) { readELF(strings.NewReader(string(data))) })
}

func TestELFNamesWhatIsNeededAlsoWithoutSections(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the offsets of e_shoff are those of 64 bits")
	}
	data, err := os.ReadFile("/bin/bash")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x3c, 0x3d, 0x3e, 0x3f} { // e_shoff, e_shnum, e_shstrndx
		data[at] = 0
	}
	e := readELF(strings.NewReader(string(data)))
	if e == nil || !slices.Contains(e.needed, "libc.so.6") || !strings.HasPrefix(e.interp, "/lib") {
		t.Errorf("got %+v", e)
	}
}
