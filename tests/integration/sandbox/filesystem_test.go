package sandbox

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

// tree makes directories and files below dir; what ends in / is a directory, what has -> a link.
func tree(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		link, target, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(dir, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case isLink:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(filepath.Base(name)+"\n"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// state is what a tree looks like: names, modes, owners, times and contents.
func state(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintln(&b, strings.TrimPrefix(path, dir), info.Mode(), st.Uid, st.Gid, info.ModTime().UnixNano())
		if d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.Write(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// expect runs a script in the sandbox.
func expect(t *testing.T, r *integration.Runtime, b box, script, want string) {
	t.Helper()
	res := r.Do("-c", b.write(t), "--", "sh", "-c", script)
	if res.Code != 0 || res.Stdout != want || res.Stderr != "" {
		t.Errorf("exit code %d, got\n%s%s\nwant\n%s", res.Code, res.Stdout, res.Stderr, want)
	}
}

// tmpfsHasAttributes: since Linux 6.6, and overlayfs needs them to remove directories.
func tmpfsHasAttributes(t *testing.T) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major > 6 || major == 6 && minor >= 6
}

func TestRootWithContentCanBeChangedAndIsNot(t *testing.T) {
	r := integration.New(t)
	base := integration.PublicDir(t)
	tree(t, base, "etc/motd", "etc/private", "usr/bin/", "bin -> usr/bin", "usr/share/doc/file", "var/lib/", "tmp/hidden", "users/file")
	if err := os.Chmod(filepath.Join(base, "etc/private"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(filepath.Join(base, "users/file"), 33, 44); err != nil {
		t.Fatal(err)
	}
	before := state(t, base)
	b := newBox(t, r).with("root", base)
	// What installing a package does: change, replace, rename, remove and make again, give away.
	script := `set -e; cat /etc/motd /etc/private; stat -c '%u %g' /etc/motd /users/file; ls /tmp; cat /proc/1/comm
		echo more >> /etc/motd; cp /etc/motd /etc/new; mv /etc/new /etc/motd; rm /usr/share/doc/file; ls /usr/share/doc
		chmod 600 /users; ln /etc/motd /etc/hard; touch /usr/bin/tool; ls /usr/bin; cat /etc/motd`
	expect(t, r, b, script, "motd\nprivate\n0 0\n33 44\nbusybox\nbusybox\ntool\nmotd\nmore\n")
	// Overlayfs without redirect_dir answers EXDEV for directories of a lower layer; mv copies then and removes.
	script = "rm -r /usr/share/doc; mkdir /usr/share/doc; ls /usr/share/doc; mv /var/lib /var/moved; ls /var"
	if tmpfsHasAttributes(t) {
		expect(t, r, b, script, "moved\n")
	}
	expect(t, r, b.with("persist", filepath.Join(t.TempDir(), "keep")), script, "moved\n")
	expect(t, r, b, "cat /etc/motd; ls /usr/share/doc", "motd\nfile\n")
	expect(t, r, b.with("readonly_root", true), "cat /etc/motd; (echo > /etc/motd) 2>&1; ls -d /proc/1", "motd\nsh: can't create /etc/motd: Read-only file system\n/proc/1\n")
	if after := state(t, base); after != before {
		t.Errorf("root was\n%s\nand is\n%s", before, after)
	}
}

// A tree that a user unpacked is root's inside, under sudo.
func TestRootOfTheUserBehindSudoIsRootsInside(t *testing.T) {
	r := integration.New(t)
	base := integration.PublicDir(t)
	tree(t, base, "etc/motd", "system")
	for _, name := range []string{"", "etc", "etc/motd"} {
		if err := os.Chown(filepath.Join(base, name), 1234, 1234); err != nil {
			t.Fatal(err)
		}
	}
	config := newBox(t, r).with("root", base).write(t)
	args := []string{"-c", config, "--", "sh", "-c", "stat -c %u / /etc/motd /system; echo > /etc/motd"}
	if res := r.Do(args...); res.Code != 1 || !strings.HasSuffix(res.Stderr, "belongs to uid 1234; it must belong to root or to uid 0\n") {
		t.Errorf("exit code %d, %q", res.Code, res.Stderr)
	}
	cmd := r.Command(args...)
	cmd.Env = append(os.Environ(), "SUDO_UID=1234")
	if res := r.DoCommand(cmd); res.Code != 0 || res.Stdout != "0\n0\n1234\n" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
}

// hostile are links at every name that zbox makes or mounts on, to a directory of the host.
func hostile(victim string) []string {
	var out []string
	for _, name := range []string{
		"dev", "proc", "sys", "tmp", "workspace", "data", "etc/passwd", "etc/group", "etc/hosts", "etc/hostname", "etc/resolv.conf", "bin/busybox", "bin/sh",
	} {
		out = append(out, name+" -> "+filepath.Join(victim, filepath.Base(name)))
	}
	return out
}

func TestLinksInRootReachNothingOfTheHost(t *testing.T) {
	r := integration.New(t)
	base, victim, work := integration.PublicDir(t), integration.PublicDir(t), integration.PublicDir(t)
	tree(t, base, append(hostile(victim), "etc/motd", "up -> ../../../../../../../../"+victim)...)
	tree(t, victim, "passwd", "data/", "secret")
	before := state(t, victim) + state(t, base)
	b := newBox(t, r).with("root", base).with("workspace", map[string]any{"source": work}).
		with("mounts", []any{map[string]any{"source": work, "target": "/data/deep/er"}})
	res := r.Do("-c", b.write(t), "--", "sh", "-c", "cat /etc/hostname; cat /up/secret "+victim+"/secret 2>/dev/null; echo > /workspace/made; ls -d /proc/1; ls /data/deep/er")
	if want := r.Marker + "\n/proc/1\nmade\n"; res.Code != 0 || res.Stdout != want {
		t.Errorf("exit code %d, got %q, %q, want %q", res.Code, res.Stdout, res.Stderr, want)
	}
	if after := state(t, victim) + state(t, base); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
}

func TestPersistKeepsWhatIsWrittenForTheNextRun(t *testing.T) {
	r := integration.New(t)
	base, keep := integration.PublicDir(t), filepath.Join(t.TempDir(), "keep")
	tree(t, base, "etc/motd", "gone", "dir/below")
	before := state(t, base)
	for _, root := range []string{base, "/nonexistent/root"} {
		b := newBox(t, r).with("root", root).with("persist", keep+filepath.Base(root))
		expect(t, r, b, "echo one > /made; rm -f /gone; rm -rf /dir; mkdir /dir; echo x > /dir/new; cat /made", "one\n")
		expect(t, r, b, "cat /made; ls /gone 2>/dev/null; ls /dir; echo two >> /made", "one\nnew\n")
		expect(t, r, b, "cat /made", "one\ntwo\n")
	}
	if after := state(t, base); after != before {
		t.Errorf("root was\n%s\nand is\n%s", before, after)
	}
	// Mount points are in no layer that is kept, and what is kept is nobody's of the host.
	upper := filepath.Join(keep+filepath.Base(base), "upper")
	names, err := os.ReadDir(upper)
	if err != nil || len(names) != 3 {
		t.Errorf("kept %v, %v", names, err)
	}
	info, err := os.Stat(filepath.Join(upper, "made"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid < 1000 {
		t.Errorf("%+v, %v", info, err)
	}
}

// Whatever an earlier run left in the layer, or somebody put there, is looked at inside only.
func TestHostileLayerOfPersistReachesNothingOfTheHost(t *testing.T) {
	r := integration.New(t)
	victim, work, keep := integration.PublicDir(t), integration.PublicDir(t), filepath.Join(t.TempDir(), "keep")
	tree(t, victim, "passwd", "data/", "secret", "hosts", "sh")
	b := newBox(t, r).with("persist", keep).with("workspace", map[string]any{"source": work})
	expect(t, r, b, "ls /workspace", "")
	upper := filepath.Join(keep, "upper")
	tree(t, upper, "tmp -> /../../root", "workspace -> "+victim, "etc -> "+victim, "up -> ../../../../../../.."+victim)
	if err := unix.Mknod(filepath.Join(upper, "disk"), unix.S_IFBLK|0o666, 8<<8); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(filepath.Join(upper, "sys"), unix.S_IFCHR, 0); err != nil { // a whiteout
		t.Fatal(err)
	}
	before := state(t, victim)
	res := r.Do("-c", b.write(t), "--", "sh", "-c", "cat /up/secret /etc/secret /workspace/secret /disk 2>/dev/null; echo x > /workspace/made; echo ran; ls -d /sys/kernel")
	if res.Code != 0 || res.Stdout != "ran\n/sys/kernel\n" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
	if text, err := os.ReadFile(filepath.Join(work, "made")); string(text) != "x\n" {
		t.Errorf("workspace: %q, %v", text, err)
	}
	tree(t, upper, "proc -> "+victim)
	if res := r.Do("-c", b.write(t), "--", "true"); res.Code == 0 || !strings.Contains(res.Stderr, "/proc must be mounted on ordinary directory") {
		t.Errorf("exit code %d, %q", res.Code, res.Stderr)
	}
	if after := state(t, victim); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
	// The directories themselves are checked.
	if err := os.Rename(upper, upper+".old"); err != nil {
		t.Fatal(err)
	}
	tree(t, keep, "upper -> "+victim)
	if res := r.Do("-c", b.write(t), "--", "true"); res.Code != 1 || !strings.HasSuffix(res.Stderr, "upper is not a directory\n") {
		t.Errorf("exit code %d, %q", res.Code, res.Stderr)
	}
}

func TestPersistIsForOneSandboxAtATime(t *testing.T) {
	r := integration.New(t)
	keep := filepath.Join(t.TempDir(), "keep")
	config := newBox(t, r).with("persist", keep).write(t)
	id := r.ID("box")
	r.Must("run", "-d", "-c", config, id, "--", "sleep", "1000")
	want := "persist: " + keep + ": another sandbox runs on it: wait until it has ended, or name another directory\n"
	if res := r.Do("-c", config, "--", "true"); res.Code != 1 || !strings.HasSuffix(res.Stderr, want) {
		t.Errorf("exit code %d, %q, want %q", res.Code, res.Stderr, want)
	}
	r.Must("delete", "--force", id)
	integration.Eventually(t, "the directory is free", func() bool { return r.Do("-c", config, "--", "true").Code == 0 })
}

func TestWorkspaceFilesBelongToItsOwner(t *testing.T) {
	r := integration.New(t)
	for _, owner := range []int{0, 1234} {
		for _, uid := range []int{0, 33} {
			work := integration.PublicDir(t)
			tree(t, work, "old", "private")
			for _, name := range []string{"", "old", "private"} {
				if err := os.Chown(filepath.Join(work, name), owner, owner); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(filepath.Join(work, "private"), 0o600); err != nil {
				t.Fatal(err)
			}
			b := newBox(t, r).with("uid", uid).with("gid", uid).with("workspace", map[string]any{"source": work, "target": "/deep/work"})
			expect(t, r, b, "pwd; cat private; echo more >> old; mkdir -p new/dir; echo x > new/file; stat -c '%u %g' new/file", fmt.Sprintf("/deep/work\nprivate\n%d %d\n", uid, uid))
			for _, name := range []string{"old", "new", "new/dir", "new/file"} {
				info, err := os.Stat(filepath.Join(work, name))
				if err != nil {
					t.Fatal(err)
				}
				if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != owner || int(st.Gid) != owner {
					t.Errorf("%s belongs to %d:%d, want %d", name, st.Uid, st.Gid, owner)
				}
			}
		}
	}
}

func TestMountsAreReadonlyWithAllBelow(t *testing.T) {
	r := integration.New(t)
	dir := integration.PublicDir(t)
	tree(t, dir, "file", "sub/")
	sub := filepath.Join(dir, "sub")
	other := integration.PublicDir(t)
	tree(t, other, "sub/")
	if err := unix.Mount(other, sub, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(sub, 0); err != nil {
			t.Error(err)
		}
	})
	before := state(t, dir)
	mount := func(target string, readonly bool) map[string]any {
		return map[string]any{"source": dir, "target": target, "readonly": readonly}
	}
	b := newBox(t, r).with("mounts", []any{
		mount("/ro/sub", true), mount("/ro", true), map[string]any{"source": dir + "/file", "target": "/etc/passwd", "readonly": true}, mount("/tmp/x", true),
	})
	expect(t, r, b, "cat /ro/file /ro/sub/file /etc/passwd /tmp/x/file; for f in /ro/x /ro/sub/x /ro/sub/sub/x /ro/file /etc/passwd /tmp/x/x; do (echo > $f) 2>/dev/null && echo wrote $f; done; echo done",
		"file\nfile\nfile\nfile\ndone\n")
	if after := state(t, dir); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
	expect(t, r, newBox(t, r).with("mounts", []any{mount("/rw", false)}), "echo a > /rw/made; echo b > /rw/sub/made; cat /rw/made /rw/sub/made", "a\nb\n")
	if text, err := os.ReadFile(filepath.Join(sub, "made")); string(text) != "b\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWhatIsWrittenToTheRootIsLimited(t *testing.T) {
	r := integration.New(t)
	b := newBox(t, r).with("tmpfs_size_mb", 2)
	expect(t, r, b, "for d in / /tmp /dev/shm; do dd if=/dev/zero of=$d/f bs=1M count=9 2>/dev/null; stat -c %s $d/f; done", "2097152\n2097152\n2097152\n")
}

func TestDynamicProgramBringsItsLibraries(t *testing.T) {
	r := integration.New(t)
	res := r.Do("-c", newBox(t, r).with("binary", "/bin/bash").write(t), "--", "-c", "echo $BASH; [ -e /lib64 -o -e /lib ] && echo > /lib/made && cd /lib && echo *made*")
	if res.Code != 0 || res.Stdout != "/bin/bash\nmade\n" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
	// Which are the host's own, and read-only.
	script := `while read -r a b c d target options rest; do case $target in /bin/bash|*.so*) echo "${options%%,*}";; esac; done < /proc/self/mountinfo`
	res = r.Do("-c", newBox(t, r).with("binary", "/bin/bash").write(t), "--", "-c", script)
	if files := strings.Count(res.Stdout, "\n"); files < 3 || res.Stdout != strings.Repeat("ro\n", files) {
		t.Errorf("mounted %q, %q", res.Stdout, res.Stderr)
	}
}

func TestRootlessFileSystem(t *testing.T) {
	r := integration.New(t)
	integration.V1Only(t)
	dir := userDir(t)
	tree(t, dir, "base/etc/motd", "base/root/file", "work/old", "keep/")
	for _, name := range []string{"base", "base/etc", "base/etc/motd", "work", "work/old", "keep"} {
		if err := os.Lchown(filepath.Join(dir, name), caller, caller); err != nil {
			t.Fatal(err)
		}
	}
	b := newBox(t, r).with("strict", false).with("root", filepath.Join(dir, "base")).with("persist", filepath.Join(dir, "keep")).
		with("workspace", map[string]any{"source": filepath.Join(dir, "work")}).
		with("mounts", []any{map[string]any{"source": filepath.Join(dir, "work"), "target": "/root/not/there", "readonly": true}})
	const script = "cat /etc/motd /made 2>/dev/null; echo more >> /etc/motd; echo made > /made; cat old; echo x > new; cat /root/file /root/not/there/new; (echo > /root/not/there/new) 2>/dev/null || echo readonly"
	for _, want := range []string{"motd\nold\nfile\nx\nreadonly\n", "motd\nmore\nmade\nold\nfile\nx\nreadonly\n"} {
		if res := asUserIn(t, r, dir, b, "sh", "-c", script); res.Code != 0 || res.Stdout != want {
			t.Errorf("exit code %d, %q, %q, want %q", res.Code, res.Stdout, res.Stderr, want)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "work/new"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != caller {
		t.Errorf("%+v, %v", info, err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "base/etc/motd")); string(text) != "motd\n" {
		t.Errorf("root was changed: %q", text)
	}
}
