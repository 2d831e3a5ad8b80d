package security

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
	"github.com/bxrne/zbox/tests/integration/report"
)

// withoutDev keeps procfs as the only mount: the runtime has to make the devices in the image's own /dev.
func withoutDev(s *specs.Spec) { s.Mounts = s.Mounts[:1] }

// usesDev fails unless the default devices work.
const usesDev = `echo x >/dev/null && test "$(head -c 2 /dev/zero | wc -c)" = 2 && test -c /dev/urandom && test -L /dev/ptmx && echo devices work`

func mustUseDev(t *testing.T, res integration.Result) {
	t.Helper()
	if res.Code != 0 || strings.TrimSpace(res.Stdout) != "devices work" {
		t.Errorf("exit %d, stdout %q, stderr %q: the devices do not work", res.Code, res.Stdout, res.Stderr)
	}
}

// linkedDev runs containers whose /dev is a link to a directory of the host, which has to stay as it is.
func linkedDev(t *testing.T, mutations ...func(*specs.Spec)) {
	t.Helper()
	for _, kind := range []string{"absolute", "relative"} {
		t.Run(kind, func(t *testing.T) {
			r := integration.New(t)
			v := newVictim(t)
			b := integration.NewBundle(t, append([]func(*specs.Spec){withoutDev, integration.Shell(usesDev)}, mutations...)...)
			target := v.path
			if kind == "relative" {
				target = filepath.Join("../../../../../../../../..", v.path)
			}
			symlink(t, target, b.Rootfs("dev"))
			mkdir(t, b.Rootfs(v.path)) // the link's target inside of the root
			mustUseDev(t, r.Run(b))
			v.unchanged()
		})
	}
	t.Run("control without a link", func(t *testing.T) {
		r := integration.New(t)
		mustUseDev(t, r.Run(integration.NewBundle(t, append([]func(*specs.Spec){withoutDev, integration.Shell(usesDev)}, mutations...)...)))
	})
}

func TestLinkedDevLeavesTheHostsPtmxAlone_CVE_2026_41579(t *testing.T) { linkedDev(t) }

func TestConfiguredDevicesAreNeverMadeOnTheHost_CVE_2026_47766(t *testing.T) {
	mode := os.FileMode(0o666)
	linkedDev(t, func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{
			{Path: "/dev/made", Type: "c", Major: 1, Minor: 3, FileMode: &mode},
			{Path: "/dev/deep/made", Type: "c", Major: 1, Minor: 5, FileMode: &mode},
			{Path: "/dev/fifo", Type: "p", FileMode: &mode},
		}
		integration.Shell("test -c /dev/made && test -c /dev/deep/made && test -p /dev/fifo && " + usesDev)(s)
	})
}

// youki removed and linked dev/ptmx, and opened dev/console, by path before pivot_root: every default name is a link here.
func TestNoDefaultDeviceFollowsALink_youkiDevicePaths(t *testing.T) {
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "fd", "stdin", "stdout", "stderr", "core", "pts", "shm"} {
		for _, to := range []string{"file", "missing"} {
			t.Run(name+" to a "+to, func(t *testing.T) {
				r := integration.New(t)
				v := newVictim(t)
				b := integration.NewBundle(t, withoutDev, integration.Args("/bin/true"))
				symlink(t, filepath.Join(v.path, to), b.Rootfs("dev", name))
				res := r.Run(b)
				if res.Code != 0 && !strings.Contains(res.Stderr, "/dev/"+name) && !strings.Contains(res.Stderr, "another kind of file") {
					t.Errorf("exit %d: %s", res.Code, res.Stderr)
				}
				v.unchanged()
			})
		}
	}
	t.Run("control without links", func(t *testing.T) {
		r := integration.New(t)
		mustUseDev(t, r.Run(integration.NewBundle(t, withoutDev, integration.Shell(usesDev))))
	})
}

func TestConsoleIsNeverMadeThroughALink_CVE_2026_88264(t *testing.T) {
	terminal := func(s *specs.Spec) {
		devpts := s.Mounts[2]
		withoutDev(s)
		s.Mounts = append(s.Mounts, devpts) // the pty needs it; /dev itself is the image's
		onTerminal("tty; stat -c %t:%T /dev/console")(s)
	}
	for _, to := range []string{"file", "missing"} {
		t.Run("link to a "+to, func(t *testing.T) {
			r := integration.New(t)
			v := newVictim(t)
			b := integration.NewBundle(t, terminal)
			symlink(t, filepath.Join(v.path, to), b.Rootfs("dev/console"))
			res, _ := withTerminal(t, r, b)
			if res.Code != 0 && !strings.Contains(res.Stderr, "/dev/console") {
				t.Errorf("exit %d: %s", res.Code, res.Stderr)
			}
			v.unchanged()
		})
	}
	t.Run("control without a link", func(t *testing.T) {
		r := integration.New(t)
		res, said := withTerminal(t, r, integration.NewBundle(t, terminal))
		if res.Code != 0 || !strings.Contains(said, "/dev/") || !strings.Contains(said, "88:") {
			t.Errorf("exit %d, the terminal printed %q, stderr %s; want a pty (major 88 hexadecimal)", res.Code, said, res.Stderr)
		}
	})
}

// The image's /dev/null is a link to a file of the host that a volume brought in.
func TestStdioIsNeverTheImagesNull_CVE_2026_88265(t *testing.T) {
	r := integration.New(t)
	v := newVictim(t)
	attack := func(s *specs.Spec) {
		withoutDev(s)
		integration.Mount(bindAt(filepath.Join(v.path, "file"), "/mnt/f"))(s)
		s.Process.User = specs.User{UID: 1000, GID: 1000}
		integration.Args("/bin/ls", "/")(s)
	}
	b := integration.NewBundle(t, attack)
	symlink(t, "/mnt/f", b.Rootfs("dev/null"))
	res := r.Run(b) // stdin is /dev/null, stdout a regular file
	if res.Code == 0 && !strings.Contains(res.Stdout, "proc") {
		t.Errorf("the output went elsewhere: %q", res.Stdout)
	}
	if res.Code != 0 && !strings.Contains(res.Stderr, "/dev/null") {
		t.Errorf("exit %d: %s", res.Code, res.Stderr)
	}
	v.unchanged()

	if out := r.MustRun(integration.NewBundle(t, attack)); !strings.Contains(out, "proc") {
		t.Errorf("control: the output is %q", out)
	}
}

// The other half of it: standard streams that are not the container's own are not given to its user.
func TestStdioOfTheCallerKeepsItsOwner_CVE_2026_88265(t *testing.T) {
	r := integration.New(t)
	v := newVictim(t)
	log, err := os.OpenFile(filepath.Join(v.path, "log"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	null := ownerOf(t, "/dev/null")
	cmd := r.RunCommand(integration.NewBundle(t, integration.Args("/bin/ls", "/"), func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1000}
	}))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		t.Errorf("run: %v: %s", err, readFile(t, log.Name()))
	}
	if said := readFile(t, log.Name()); !strings.Contains(said, "proc\n") {
		t.Errorf("the log holds %q", said)
	}
	if owner := ownerOf(t, log.Name()); owner != "0:0" {
		t.Errorf("the log was given to %s", owner)
	}
	if owner := ownerOf(t, "/dev/null"); owner != null {
		t.Errorf("the host's /dev/null was given to %s", owner)
	}
}

// Root in a container has the host's null device as a standard stream and as the mask of files: it may write to it, but neither change its
// times nor, what would break the host, its mode or owner.
func TestHostsNullDeviceIsOutOfReach(t *testing.T) {
	r := integration.New(t)
	const try = `for f in $STREAMS /proc/keys; do touch -d "2001-01-01 00:00" $f; echo x >$f || echo "$f: no write"; done; true`
	root := func(s *specs.Spec) {
		caps := []string{"CAP_FOWNER", "CAP_DAC_OVERRIDE"}
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	}
	masked := func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/proc/keys"} }
	before, err := os.Stat("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		after, err := os.Stat("/dev/null")
		if err != nil || !after.ModTime().Equal(before.ModTime()) {
			t.Errorf("the time of the host's null device was changed to %v (%v)", after.ModTime(), err)
			_ = os.Chtimes("/dev/null", before.ModTime(), before.ModTime())
		}
	})
	inNull := func(cmd *exec.Cmd) integration.Result { // descriptor 0 is /dev/null, too
		null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		cmd.Stdin = null
		return r.DoCommand(cmd)
	}
	streams := strings.ReplaceAll(try, "$STREAMS", "/proc/self/fd/0")
	res := inNull(r.RunCommand(integration.NewBundle(t, root, masked, integration.Shell(streams))))
	if res.Code != 0 || strings.Contains(res.Stdout, "no write") || !strings.Contains(res.Stderr, "Read-only file system") {
		t.Errorf("run: exit %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
	c := r.Start(integration.NewBundle(t, root, masked, integration.Sleep))
	res = inNull(r.Command("exec", c.ID, "/bin/sh", "-c", streams))
	if res.Code != 0 || strings.Contains(res.Stdout, "no write") || !strings.Contains(res.Stderr, "Read-only file system") {
		t.Errorf("exec: exit %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
}

func ownerOf(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

// The device rules of a container deny by default, also after an update wrote them again.
func TestDevicesAreDeniedByDefault_GHSA_g54h_m393_cpwq(t *testing.T) {
	const try = `mknod /tmp/disk b 8 0 && mknod /tmp/mem c 1 1 && mknod /tmp/nul c 1 3 && mknod /tmp/kmsg c 1 11 || exit 9
for n in disk mem kmsg; do (: </tmp/$n) 2>&1; (: >/tmp/$n) 2>&1; done; echo x >/tmp/nul && echo null works; rm /tmp/disk /tmp/mem /tmp/nul /tmp/kmsg`
	for _, test := range []struct {
		name      string
		resources *specs.LinuxResources
	}{
		{"no rules", &specs.LinuxResources{}},
		{"no resources", nil},
		{"an allow rule only", &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: ptr(10), Minor: ptr(200), Access: "rwm"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t, integration.Sleep, func(s *specs.Spec) {
				s.Linux.Resources = test.resources
				caps := []string{"CAP_MKNOD", "CAP_DAC_OVERRIDE"}
				s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
			})
			c := r.Start(b)
			denied := func(when string) {
				res := c.Exec(c.ID, "/bin/sh", "-c", try)
				if res.Code != 0 || strings.Count(res.Stdout, "Operation not permitted") != 6 || !strings.Contains(res.Stdout, "null works") {
					t.Errorf("%s: exit %d, %s%s; want six refusals and a null device that works", when, res.Code, res.Stdout, res.Stderr)
				}
			}
			denied("at first")
			resources := `{"pids":{"limit":100}}`
			if integration.CgroupV2() {
				resources = `{}` // the view has no controllers
			}
			file := filepath.Join(t.TempDir(), "resources")
			if err := os.WriteFile(file, []byte(resources), 0o600); err != nil {
				t.Fatal(err)
			}
			r.Must("update", "--resources", file, c.ID)
			denied("after update")
		})
	}
}

func ptr(n int64) *int64 { return &n }

// volumeDev is a volume for /dev in which null can be swapped for a link to a file that nobody may write.
func volumeDev(t *testing.T) string {
	t.Helper()
	dir := mkdir(t, filepath.Join(t.TempDir(), "dev"))
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		if err := unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	mkdir(t, filepath.Join(dir, "pts"))
	mkdir(t, filepath.Join(dir, "shm"))
	mkdir(t, filepath.Join(dir, "mqueue"))
	symlink(t, "/proc/sys/kernel/core_pattern", filepath.Join(dir, "link"))
	return dir
}

func onVolumeDev(dir string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Mounts[1] = bindAt(dir, "/dev")
		s.Linux.MaskedPaths = []string{"/proc/timer_list", "/masked"}
		integration.Args("/bin/cat", "/proc/self/mountinfo", "/masked")(s)
	}
}

// masksAreEmpty fails the test when a masked path shows anything but a null device or an empty file of the runtime.
func masksAreEmpty(t *testing.T, out string) {
	t.Helper()
	seen := map[string]report.MountLine{}
	for line := range strings.Lines(out) {
		if !strings.Contains(line, " - ") {
			t.Errorf("the masked file shows %q", line)
			continue
		}
		m := report.ParseMount(line)
		seen[m.Point] = m
	}
	for _, path := range []string{"/proc/timer_list", "/masked"} {
		m, masked := seen[path]
		if !masked || m.Type == "proc" || !isEmptyMask(m.Root) {
			t.Errorf("%s is masked by %+v", path, m)
		}
	}
}

// isEmptyMask tells a mask from what it hides by the mount's root: the null device, which the swap may have renamed, or the
// root of a file system of the runtime's own.
func isEmptyMask(root string) bool {
	return root == "/" || strings.HasSuffix(root, "/null") || strings.HasSuffix(root, "/dev/link")
}

func TestMaskNeverUsesTheContainersNull_CVE_2025_31133(t *testing.T) {
	keeps(t, "/proc/sys/kernel/core_pattern")
	t.Run("link", func(t *testing.T) {
		r := integration.New(t)
		dir := volumeDev(t)
		symlink(t, "/proc/sys/kernel/core_pattern", filepath.Join(dir, "null"))
		b := integration.NewBundle(t, onVolumeDev(dir))
		b.WriteFile("masked", "what the mask hides\n", 0o644)
		cmd := r.RunCommand(b)
		stdin, w, err := os.Pipe() // a runtime that reopens a null stdin would stop before the masks
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		defer w.Close()
		cmd.Stdin = stdin
		if res := r.DoCommand(cmd); res.Code == 0 {
			masksAreEmpty(t, res.Stdout)
		} else if !strings.Contains(res.Stderr, "/dev/null") && !strings.Contains(res.Stderr, "not a character device") {
			t.Errorf("exit %d: %s", res.Code, res.Stderr)
		}
	})
	t.Run("swap", func(t *testing.T) {
		r := integration.New(t)
		dir := volumeDev(t)
		b := integration.NewBundle(t, onVolumeDev(dir))
		b.WriteFile("masked", "what the mask hides\n", 0o644)
		race(t, r, b, filepath.Join(dir, "null"), filepath.Join(dir, "link"), func(res integration.Result) { masksAreEmpty(t, res.Stdout) })
	})
	t.Run("control", func(t *testing.T) {
		r := integration.New(t)
		b := integration.NewBundle(t, onVolumeDev(volumeDev(t)))
		b.WriteFile("masked", "what the mask hides\n", 0o644)
		masksAreEmpty(t, r.MustRun(b))
	})
}

// The volume on /dev/pts has a multiplexer that works and, as the peer's name, a link to a file that only the host may write.
func TestConsoleIsTheRealPeer_CVE_2025_52565(t *testing.T) {
	setup := onTerminal("tty; stat -c %t:%T /dev/console; grep ' /dev/console ' /proc/self/mountinfo")
	t.Run("link", func(t *testing.T) {
		r := integration.New(t)
		v := newVictim(t)
		volume := mkdir(t, filepath.Join(t.TempDir(), "pts"))
		mkdir(t, filepath.Join(volume, "pts"))
		if err := unix.Mknod(filepath.Join(volume, "ptmx"), unix.S_IFCHR|0o666, int(unix.Mkdev(5, 2))); err != nil {
			t.Fatal(err)
		}
		for n := range 10 {
			symlink(t, "/mnt/f", filepath.Join(volume, fmt.Sprint(n)))
		}
		b := integration.NewBundle(t, setup, func(s *specs.Spec) {
			devpts := s.Mounts[2]
			devpts.Destination = "/dev/pts/pts"
			s.Mounts = append([]specs.Mount{s.Mounts[0], s.Mounts[1], bindAt(volume, "/dev/pts"), devpts, bindAt(filepath.Join(v.path, "file"), "/mnt/f")}, s.Mounts[3:]...)
		})
		res, said := withTerminal(t, r, b)
		if strings.Contains(said, "victim") || strings.Contains(said, "data of the host") {
			t.Errorf("the console is a file of the host: %s", said)
		}
		if res.Code != 0 && !strings.Contains(res.Stderr, "/dev/pts") && !strings.Contains(res.Stderr, "/dev/console") {
			t.Errorf("exit %d: %s", res.Code, res.Stderr)
		}
		v.unchanged()
	})
	t.Run("control", func(t *testing.T) {
		r := integration.New(t)
		res, said := withTerminal(t, r, integration.NewBundle(t, setup))
		if res.Code != 0 || !strings.Contains(said, "88:0") || !strings.Contains(said, " - devpts ") {
			t.Errorf("exit %d, the terminal printed %q, stderr %s; want a pty of a devpts on /dev/console", res.Code, said, res.Stderr)
		}
	})
}
