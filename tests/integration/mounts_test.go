package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// bindSource makes a directory with a file to be mounted.
func bindSource(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMountOptions(t *testing.T) {
	for _, test := range []struct {
		options []string
		has     string
		hasNot  string
	}{
		{[]string{"ro"}, "ro", "rw"},
		{[]string{"rw"}, "rw", "ro"},
		{[]string{"ro", "rw"}, "rw", "ro"},
		{[]string{"nosuid"}, "nosuid", ""},
		{[]string{"nosuid", "suid"}, "", "nosuid"},
		{[]string{"nodev"}, "nodev", ""},
		{[]string{"nodev", "dev"}, "", "nodev"},
		{[]string{"noexec"}, "noexec", ""},
		{[]string{"noexec", "exec"}, "", "noexec"},
		{[]string{"noatime"}, "noatime", "relatime"},
		{[]string{"noatime", "atime"}, "", "noatime"},
		{[]string{"nodiratime"}, "nodiratime", ""},
		{[]string{"relatime"}, "relatime", "noatime"},
		{[]string{"strictatime"}, "", "relatime"},
		{[]string{"sync"}, "sync", ""},
		{[]string{"ro", "nosuid", "nodev", "noexec"}, "ro,nosuid,nodev,noexec", ""},
		{[]string{"defaults"}, "rw", "nosuid"},
	} {
		t.Run("tmpfs "+strings.Join(test.options, ","), func(t *testing.T) {
			if test.options[0] == "defaults" {
				ZboxOnly(t, "runc 1.1 hands defaults to the file system")
			}
			r := New(t)
			seen := r.RunProbe(NewBundle(t, Mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: test.options})))
			m, ok := seen.MountAt("/mnt")
			if !ok || m.Type != "tmpfs" {
				t.Fatalf("no tmpfs on /mnt: %v", seen.Mounts)
			}
			all := "," + m.Options + "," + m.Super + ","
			if test.has != "" && !strings.Contains(all, ","+test.has+",") {
				t.Errorf("options %s lack %s", all, test.has)
			}
			if test.hasNot != "" && strings.Contains(","+m.Options+",", ","+test.hasNot+",") {
				t.Errorf("options %s have %s", m.Options, test.hasNot)
			}
		})
	}
}

func TestBindMountOptions(t *testing.T) {
	for _, test := range []struct {
		options []string
		want    string
	}{
		{[]string{"bind"}, "rw"},
		{[]string{"rbind"}, "rw"},
		{[]string{"bind", "ro"}, "ro"},
		{[]string{"rbind", "ro", "nosuid", "nodev", "noexec"}, "ro,nosuid,nodev,noexec"},
		{[]string{"bind", "noexec"}, "rw,noexec"},
	} {
		t.Run(strings.Join(test.options, ","), func(t *testing.T) {
			r := New(t)
			dir := bindSource(t)
			seen := r.RunProbe(NewBundle(t, Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: test.options})))
			m, ok := seen.MountAt("/mnt")
			if !ok {
				t.Fatal("nothing is mounted on /mnt")
			}
			if got := strings.TrimSuffix(m.Options, ",relatime"); got != test.want {
				t.Errorf("options %s, want %s", got, test.want)
			}
			if m.Root == "/" || !strings.HasSuffix(m.Root, filepath.Base(dir)) {
				t.Errorf("root of the mount is %s, want %s", m.Root, dir)
			}
		})
	}
}

// Engines and the validation suite give them; the kernel has no place for them.
func TestFileSystemOptionsOfABindMountAreAWarning(t *testing.T) {
	ZboxOnly(t, "others drop them without a word or refuse them")
	r := New(t)
	m := specs.Mount{Destination: "/mnt", Type: "bind", Source: bindSource(t), Options: []string{"bind", "nosuid", "mode=755", "size=1k"}}
	res := r.Run(NewBundle(t, Mount(m), Shell("grep ' /mnt ' /proc/self/mountinfo")))
	if res.Code != 0 || !strings.Contains(res.Stdout, "nosuid") {
		t.Errorf("exit %d, mounted as %q", res.Code, res.Stdout)
	}
	for _, part := range []string{"mounts[6] (/mnt).options", "mode=755, size=1k", "a bind mount takes no filesystem options"} {
		if !strings.Contains(res.Stderr, part) {
			t.Errorf("%q does not say %q", res.Stderr, part)
		}
	}
	m.Options = []string{"bind", "nosiud"} // a misspelt nosuid, perhaps
	r.RefuseRun(NewBundle(t, Mount(m)), "mounts[6]", "nosiud")
}

func TestMountDestinationIsMade(t *testing.T) {
	dir := bindSource(t)
	for _, test := range []struct {
		name        string
		mount       specs.Mount
		wantContent string
	}{
		{"directory", specs.Mount{Destination: "/made/here", Type: "bind", Source: dir, Options: []string{"bind"}}, "/made/here/file"},
		{"file", specs.Mount{Destination: "/made/there", Type: "bind", Source: dir + "/file", Options: []string{"bind"}}, "/made/there"},
		{"without a type", specs.Mount{Destination: "/made/here", Source: dir, Options: []string{"rbind"}}, "/made/here/file"},
		{"relative destination", specs.Mount{Destination: "made/here", Type: "bind", Source: dir, Options: []string{"bind"}}, "/made/here/file"},
		{"under another mount", specs.Mount{Destination: "/dev/shm/deep/er", Type: "bind", Source: dir, Options: []string{"bind"}}, "/dev/shm/deep/er/file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			if got := r.MustRun(NewBundle(t, Mount(test.mount), Args("/bin/cat", test.wantContent))); got != "content\n" {
				t.Errorf("read %q, want the content", got)
			}
		})
	}
}

func TestMountDestinationIsResolvedInsideTheRoot(t *testing.T) {
	for name, link := range map[string]string{"absolute": "/target", "relative": "target", "climbing": "../../../../target"} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			b := NewBundle(t, Mount(specs.Mount{Destination: "/link", Type: "bind", Source: bindSource(t), Options: []string{"bind"}}), Args("/bin/cat", "/target/file"))
			if err := os.Mkdir(b.Rootfs("target"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(link, b.Rootfs("link")); err != nil {
				t.Fatal(err)
			}
			if got := r.MustRun(b); got != "content\n" {
				t.Errorf("read %q, want the content at /target", got)
			}
			if _, err := os.Stat("/target"); err == nil {
				t.Error("/target was made on the host")
			}
		})
	}
}

func TestMountsAreMadeInTheirOrder(t *testing.T) {
	r := New(t)
	dir := bindSource(t)
	seen := r.MustRun(NewBundle(t,
		Mount(
			specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: []string{"bind"}},
			specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs"},
			specs.Mount{Destination: "/mnt/inner", Type: "bind", Source: dir, Options: []string{"bind"}},
		),
		Args("/bin/ls", "/mnt", "/mnt/inner")))
	if seen != "/mnt:\ninner\n\n/mnt/inner:\nfile\n" {
		t.Errorf("saw %q", seen)
	}
}

func TestRecursiveReadOnlyCoversSubmounts(t *testing.T) {
	for _, test := range []struct {
		option string
		inner  string
	}{{"ro", "rw"}, {"rro", "ro"}} {
		t.Run(test.option, func(t *testing.T) {
			r := New(t)
			dir := bindSource(t)
			inner := filepath.Join(dir, "inner")
			if err := os.Mkdir(inner, 0o755); err != nil {
				t.Fatal(err)
			}
			mountForTest(t, "tmpfs", inner, "tmpfs", 0)
			seen := r.RunProbe(NewBundle(t, Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: []string{"rbind", test.option}})))
			outer, _ := seen.MountAt("/mnt")
			if !strings.HasPrefix(outer.Options, "ro") {
				t.Errorf("options of the mount %s, want ro", outer.Options)
			}
			if m, _ := seen.MountAt("/mnt/inner"); !strings.HasPrefix(m.Options, test.inner) {
				t.Errorf("options of the submount %s, want %s", m.Options, test.inner)
			}
		})
	}
}

func TestRecursiveOptionsCoverSubmounts(t *testing.T) {
	for option, want := range map[string]string{
		"rnosuid": "nosuid", "rnodev": "nodev", "rnoexec": "noexec", "rnoatime": "noatime", "rnodiratime": "nodiratime",
	} {
		t.Run(option, func(t *testing.T) {
			r := New(t)
			dir := bindSource(t)
			inner := filepath.Join(dir, "inner")
			if err := os.Mkdir(inner, 0o755); err != nil {
				t.Fatal(err)
			}
			mountForTest(t, "tmpfs", inner, "tmpfs", 0)
			seen := r.RunProbe(NewBundle(t, Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: []string{"rbind", option}})))
			for _, point := range []string{"/mnt", "/mnt/inner"} {
				if m, _ := seen.MountAt(point); !strings.Contains(m.Options, want) {
					t.Errorf("options of %s are %s, want %s", point, m.Options, want)
				}
			}
		})
	}
}

// mountForTest mounts on the host for the time of the test.
func mountForTest(t *testing.T, source, target, kind string, flags uintptr) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", target, err)
		}
	})
}

func TestTmpcopyupFillsTheTmpfs(t *testing.T) {
	r := New(t)
	b := NewBundle(t,
		Mount(specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}}),
		Shell("cat /data/sub/file; readlink /data/link; stat -c '%a %u %g' /data/sub/file; echo changed > /data/sub/file; stat -f -c %T /data"))
	b.WriteFile("data/sub/file", "original\n", 0o604)
	if err := os.Chown(b.Rootfs("data/sub/file"), 12, 34); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub/file", b.Rootfs("data/link")); err != nil {
		t.Fatal(err)
	}
	if got := r.Run(b).Stdout; !strings.HasPrefix(got, "original\nsub/file\n604 12 34\n") {
		t.Errorf("saw %q", got)
	}
	if text, _ := os.ReadFile(b.Rootfs("data/sub/file")); string(text) != "original\n" {
		t.Errorf("the file below is %q", text)
	}
}

func TestTmpcopyupKeepsExtendedAttributes(t *testing.T) {
	ZboxOnly(t, "runc 1.1 copies none")
	r := New(t)
	b := NewBundle(t, Mount(specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}}), Sleep)
	b.WriteFile("data/sub/file", "original\n", 0o755)
	if err := os.Chown(b.Rootfs("data/sub/file"), 12, 34); err != nil {
		t.Fatal(err)
	}
	attributes := []struct{ path, name, value string }{
		// struct vfs_cap_data of linux/capability.h: revision 2, cap_net_bind_service=ep
		{"data/sub/file", "security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"data/sub", "trusted.empty", ""},
		{"data", "trusted.key", "value"},
	}
	for _, a := range attributes {
		if err := unix.Setxattr(b.Rootfs(a.path), a.name, []byte(a.value), 0); err != nil {
			t.Fatal(err)
		}
	}
	c := r.Start(b)
	for _, a := range attributes {
		value := make([]byte, 100)
		n, err := unix.Getxattr(fmt.Sprintf("/proc/%d/root/%s", c.Pid, a.path), a.name, value)
		if err != nil || string(value[:n]) != a.value {
			t.Errorf("%s of %s is %q, %v, want %q", a.name, a.path, value[:max(n, 0)], err, a.value)
		}
	}
}

func TestMountDataReachesTheFileSystem(t *testing.T) {
	r := New(t)
	seen := r.RunProbe(NewBundle(t, Mount(specs.Mount{
		Destination: "/mnt", Type: "tmpfs", Source: "named", Options: []string{"size=64k", "mode=0711", "uid=12", "nr_inodes=99"},
	})))
	m, _ := seen.MountAt("/mnt")
	for _, want := range []string{"size=64k", "mode=711", "uid=12", "nr_inodes=99"} {
		if !strings.Contains(m.Super, want) {
			t.Errorf("%s lacks %s", m.Super, want)
		}
	}
	if m.Source != "named" {
		t.Errorf("source %s, want named", m.Source)
	}
}

func TestMountPropagation(t *testing.T) {
	for _, test := range []struct {
		option string
		want   string
	}{
		{"rprivate", ""}, {"private", ""}, {"rslave", "master:"}, {"slave", "master:"}, {"rshared", "shared:"}, {"shared", "shared:"},
	} {
		t.Run(test.option, func(t *testing.T) {
			r := New(t)
			dir := bindSource(t)
			mountForTest(t, dir, dir, "", unix.MS_BIND)
			if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
				t.Fatal(err)
			}
			seen := r.RunProbe(NewBundle(t,
				Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: []string{"rbind", test.option}}),
				func(s *specs.Spec) { s.Linux.RootfsPropagation = "rslave" }))
			m, _ := seen.MountAt("/mnt")
			if test.option == "rshared" || test.option == "shared" {
				return // shared or only slave below a slave root: the host side is what counts and is tested below
			}
			if !strings.HasPrefix(m.Propagation, test.want) || test.want == "" && m.Propagation != "" {
				t.Errorf("propagation %q, want %q", m.Propagation, test.want)
			}
		})
	}
}

func TestHostMountsReachASlaveMount(t *testing.T) {
	r := New(t)
	dir := bindSource(t)
	mountForTest(t, dir, dir, "", unix.MS_BIND)
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(dir, "later")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	c := r.Start(NewBundle(t, Sleep, Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: []string{"rbind", "rslave"}})))
	mountForTest(t, "tmpfs", inner, "tmpfs", 0)
	if m, ok := c.Probe().MountAt("/mnt/later"); !ok || m.Type != "tmpfs" {
		t.Error("the mount made on the host later is not seen in the container")
	}
}

func TestRootfsPropagation(t *testing.T) {
	for _, test := range []struct {
		value string
		want  string
	}{{"", "none or slave"}, {"private", ""}, {"rprivate", ""}, {"slave", ""}, {"shared", "shared:"}, {"rshared", "shared:"}, {"unbindable", "unbindable"}} {
		t.Run(test.value, func(t *testing.T) {
			if strings.HasSuffix(test.value, "shared") || test.value == "unbindable" {
				ZboxOnly(t, "runc 1.1 needs a shared parent mount")
			}
			r := New(t)
			seen := r.RunProbe(NewBundle(t, func(s *specs.Spec) { s.Linux.RootfsPropagation = test.value }))
			m, ok := seen.MountAt("/")
			if !ok {
				t.Fatal("no mount at /")
			}
			if test.want != "" && test.want != "none or slave" && !strings.HasPrefix(m.Propagation, test.want) {
				t.Errorf("propagation %q, want %q", m.Propagation, test.want)
			}
			if test.want == "none or slave" && strings.HasPrefix(m.Propagation, "shared") {
				t.Errorf("propagation %q, want none that reaches the host", m.Propagation)
			}
		})
	}
}

func TestUnknownRootfsPropagationIsRefused(t *testing.T) {
	r := New(t)
	r.RefuseRun(NewBundle(t, func(s *specs.Spec) { s.Linux.RootfsPropagation = "sideways" }), "propagation")
}

func TestContainerMountsStayInTheContainer(t *testing.T) {
	r := New(t)
	before, _ := os.ReadFile("/proc/self/mountinfo")
	c := r.Start(NewBundle(t, Sleep, Mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs"})))
	after, _ := os.ReadFile("/proc/self/mountinfo")
	if leftMounts(filepath.Base(filepath.Dir(c.Bundle.Dir))) != nil {
		t.Errorf("mounts of the container on the host:\nbefore %s\nafter %s", before, after)
	}
}

func TestReadonlyRoot(t *testing.T) {
	r := New(t)
	b := NewBundle(t, Shell("touch /new; echo $?; touch /dev/shm/new; echo $?"), func(s *specs.Spec) { s.Root.Readonly = true })
	res := r.Run(b)
	if res.Stdout != "1\n0\n" || !strings.Contains(res.Stderr, "Read-only file system") {
		t.Errorf("saw %q, %q", res.Stdout, res.Stderr)
	}
}

func TestMaskedPaths(t *testing.T) {
	r := New(t)
	b := NewBundle(t, Shell("cat /secret/file; echo; ls /hidden | wc -l; stat -c %F /secret/file; touch /hidden/x || echo refused"), func(s *specs.Spec) {
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/secret/file", "/hidden", "/not/there")
	})
	b.WriteFile("secret/file", "secret", 0o644)
	b.WriteFile("hidden/file", "secret", 0o644)
	res := r.Run(b)
	if res.Code != 0 || strings.Contains(res.Stdout, "secret\n") {
		t.Fatalf("exit %d, saw %q, stderr %q", res.Code, res.Stdout, res.Stderr)
	}
	if want := "\n0\ncharacter special file\nrefused\n"; res.Stdout != want {
		t.Errorf("saw %q, want %q", res.Stdout, want)
	}
}

func TestReadonlyPaths(t *testing.T) {
	r := New(t)
	b := NewBundle(t, Shell("echo x > /fixed/file || echo refused; cat /fixed/file; touch /fixed/new || echo refused"), func(s *specs.Spec) {
		s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/fixed", "/not/there")
	})
	b.WriteFile("fixed/file", "kept\n", 0o644)
	if res := r.Run(b); res.Stdout != "refused\nkept\nrefused\n" {
		t.Errorf("saw %q, stderr %q", res.Stdout, res.Stderr)
	}
}

func TestIdmappedBindShowsMappedOwners(t *testing.T) {
	ZboxOnly(t, "runc has idmapped mounts since 1.2")
	r := New(t)
	dir := bindSource(t)
	if err := os.Chown(filepath.Join(dir, "file"), 7, 8); err != nil {
		t.Fatal(err)
	}
	b := NewBundle(t, Args("/bin/stat", "-c", "%u %g", "/mnt/file"), Mount(specs.Mount{
		Destination: "/mnt", Type: "bind", Source: dir, Options: []string{"bind", "idmap"},
		UIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 100}},
		GIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 2000, Size: 100}},
	}))
	if got := r.MustRun(b); got != "1007 2008\n" {
		t.Errorf("owner %q, want 1007 2008", got)
	}
}

func TestIdmapWithoutMappingsOrUserNamespaceIsRefused(t *testing.T) {
	ZboxOnly(t, "runc has idmapped mounts since 1.2")
	r := New(t)
	r.RefuseRun(NewBundle(t, Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: bindSource(t), Options: []string{"bind", "idmap"}})), "mounts[6]", "idmap")
}

func TestInvalidMountsAreRefused(t *testing.T) {
	for _, test := range []struct {
		name  string
		mount specs.Mount
		zbox  string
	}{
		{"missing source", specs.Mount{Destination: "/mnt", Type: "bind", Source: "/no/such/source", Options: []string{"bind"}}, "mounts[6]"},
		{"file system that is not there", specs.Mount{Destination: "/mnt", Type: "nosuchfs", Source: "x"}, "mounts[6]"},
		{"option that the file system has not", specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "x", Options: []string{"nosuchoption"}}, "mounts[6]"},
		{"bind of a directory on a file", specs.Mount{Destination: "/etc/passwd", Type: "bind", Source: "/etc", Options: []string{"bind"}}, "mounts[6]"},
		{"proc elsewhere than on a directory", specs.Mount{Destination: "/etc/passwd", Type: "proc", Source: "proc"}, "mounts[6]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			want := []string{}
			if IsZbox() {
				want = append(want, test.zbox, test.mount.Destination)
			}
			r.RefuseRun(NewBundle(t, Mount(test.mount)), want...)
		})
	}
}

func TestOverlayMount(t *testing.T) {
	r := New(t)
	dir := bindSource(t)
	for _, d := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "lower", "below"), []byte("below\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := r.MustRun(NewBundle(t, Shell("cat /mnt/below; echo above > /mnt/above"), Mount(specs.Mount{
		Destination: "/mnt", Type: "overlay", Source: "overlay",
		Options: []string{"lowerdir=" + dir + "/lower", "upperdir=" + dir + "/upper", "workdir=" + dir + "/work"},
	})))
	if got != "below\n" {
		t.Errorf("read %q, want below", got)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "upper", "above")); string(text) != "above\n" {
		t.Errorf("upper has %q, want above", text)
	}
}

// What is mounted on / is the root: a bundle brings its layers, and mounts that come first are layers, too.
func TestOverlayOnTheRootIsTheRoot(t *testing.T) {
	const unreachable = "in a user namespace whose root cannot reach the bundle"
	for name, mutate := range map[string]func(*specs.Spec){"as root": func(*specs.Spec) {}, "in a user namespace": WithUserNamespace, unreachable: WithUserNamespace} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			if name == unreachable {
				ZboxOnly(t, "other runtimes open the layers by their paths")
			}
			b := NewBundle(t, mutate, Shell("ls /.. /../..; cat /mnt/file; echo above > /above; cat /above; mkdir -p /new/dir; ls /new; awk '$2 == \"/\" { print $3 }' /proc/mounts"))
			outer := b.Dir + "/outer"
			if err := os.Mkdir(outer, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(b.Rootfs(), outer+"/inner"); err != nil {
				t.Fatal(err)
			}
			for _, dir := range []string{"scratch/upper", "scratch/work", "more"} {
				if err := os.MkdirAll(filepath.Join(outer, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, dir := range []string{"scratch", "scratch/upper", "scratch/work"} {
				if name != "as root" {
					if err := os.Chown(filepath.Join(outer, dir), 100000, 100000); err != nil {
						t.Fatal(err)
					}
				}
			}
			source := bindSource(t)
			if err := os.Mkdir(filepath.Join(source, "mnt"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(source, "file"), filepath.Join(source, "mnt/file")); err != nil {
				t.Fatal(err)
			}
			b.Change(func(s *specs.Spec) {
				s.Root.Path = "outer"
				s.Mounts = append([]specs.Mount{
					{Destination: "/more", Type: "bind", Source: source, Options: []string{"bind", "ro"}},
					{Destination: "/scratch", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}},
					{Destination: "/", Type: "overlay", Source: "overlay", Options: []string{
						"lowerdir=" + outer + "/more:" + outer + "/inner", "upperdir=" + outer + "/scratch/upper", "workdir=" + outer + "/scratch/work", "userxattr",
					}},
				}, s.Mounts...)
			})
			if name == unreachable {
				if err := os.Chmod(b.Dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			const list = "bin\ndev\netc\nhome\nmnt\nproc\nroot\nsys\ntmp\n"
			if got := r.MustRun(b); got != "/..:\n"+list+"\n/../..:\n"+list+"content\nabove\ndir\noverlay\n" {
				t.Errorf("got %q", got)
			}
			b.Change(Sleep)
			c := r.Start(b)
			if res := c.Exec(c.ID, "ls", "/", "/../.."); res.Stdout != "/:\n"+list+"\n/../..:\n"+list {
				t.Errorf("exec sees %q, %s", res.Stdout, res.Stderr)
			}
			c.Kill()
			c.Delete()
			for _, path := range []string{"above", "new", "inner/above", "scratch/upper/above"} {
				if _, err := os.Lstat(filepath.Join(outer, path)); err == nil {
					t.Errorf("%s was written on the host", path)
				}
			}
		})
	}
}

func TestCgroupMountShowsTheContainersCgroup(t *testing.T) {
	r := New(t)
	seen := r.RunProbe(NewBundle(t, WithNamespace(specs.CgroupNamespace, ""),
		Mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}})))
	m, ok := seen.MountAt("/sys/fs/cgroup")
	if !ok {
		t.Fatalf("nothing is mounted on /sys/fs/cgroup: %v", seen.Mounts)
	}
	if CgroupV2() {
		if m.Type != "cgroup2" || !strings.HasPrefix(m.Options, "ro") {
			t.Errorf("mount %+v, want a read-only cgroup2", m)
		}
		return
	}
	if mem, ok := seen.MountAt("/sys/fs/cgroup/memory"); !ok || !strings.HasPrefix(mem.Options, "ro") {
		t.Errorf("mount %+v, want a read-only cgroup on /sys/fs/cgroup/memory", mem)
	}
}
