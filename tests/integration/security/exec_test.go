package security

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

// attackerReport is what the attacker prints.
type attackerReport struct {
	Met, Attached, Opened, Written, WriteError []string
}

// attacker is an attacker that runs in a container.
type attacker struct {
	cmd *exec.Cmd
	out string
	t   *testing.T
}

// addAttacker puts the attacker into the bundle's image.
func addAttacker(t *testing.T, b *integration.Bundle) {
	t.Helper()
	if err := integration.BuildProgram("security/attacker", b.Rootfs("bin/attacker")); err != nil {
		t.Fatal(err)
	}
}

// attack runs the attacker in the container until Report.
func attack(t *testing.T, c *integration.Container, how string, flags ...string) *attacker {
	t.Helper()
	dir := t.TempDir()
	a := &attacker{out: filepath.Join(dir, "report"), t: t}
	out, err := os.Create(a.out)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	errOut, err := os.Create(filepath.Join(dir, "errors"))
	if err != nil {
		t.Fatal(err)
	}
	defer errOut.Close()
	a.cmd = c.Command(append(append([]string{"exec"}, flags...), c.ID, "/bin/attacker", how)...)
	a.cmd.Stdout, a.cmd.Stderr = out, errOut
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	integration.Eventually(t, "the attacker runs", func() bool {
		return strings.Contains(readFile(t, errOut.Name()), "attacking")
	})
	return a
}

// Report ends the attack.
func (a *attacker) Report(c *integration.Container) attackerReport {
	a.t.Helper()
	if res := c.Exec(c.ID, "/bin/sh", "-c", `for p in /proc/[0-9]*; do test "$(readlink $p/exe)" = /bin/attacker && kill -TERM ${p#/proc/}; done; true`); res.Code != 0 {
		a.t.Errorf("ending the attack: exit %d: %s", res.Code, res.Stderr)
	}
	if err := a.cmd.Wait(); err != nil {
		a.t.Errorf("the attacker: %v", err)
	}
	var report attackerReport
	if err := json.NewDecoder(bytes.NewReader([]byte(readFile(a.t, a.out)))).Decode(&report); err != nil {
		a.t.Fatalf("the attacker's report: %v", err)
	}
	return report
}

// A process of the container may look at and trace what runs the container's own programs, and nothing of the runtime.
func TestExecIsOutOfReachWhileItEnters_CVE_2016_9962(t *testing.T) {
	ptrace := func(s *specs.Spec) {
		caps := []string{"CAP_SYS_PTRACE", "CAP_KILL"}
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	}
	for _, test := range []struct {
		name   string
		mutate func(*specs.Spec)
	}{
		{"same user", func(*specs.Spec) {}},
		{"user namespace with CAP_SYS_PTRACE", func(s *specs.Spec) { integration.WithUserNamespace(s); ptrace(s) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t, test.mutate, integration.Sleep)
			addAttacker(t, b)
			c := r.Start(b)
			a := attack(t, c, "ptrace")
			for range 40 {
				if res := c.Exec(c.ID, "/bin/sh", "-c", "i=0; while test $i -lt 300; do i=$((i+1)); done"); res.Code != 0 {
					t.Errorf("exec under attack: exit %d: %s", res.Code, res.Stderr)
				}
			}
			seen := a.Report(c)
			if !slices.Contains(seen.Attached, "/bin/busybox") {
				t.Errorf("attached to %q only: the attack does not work", seen.Attached)
			}
			for _, exe := range seen.Attached {
				if !strings.HasPrefix(exe, "/bin/") {
					t.Errorf("the attacker traced %q", exe)
				}
			}
			for _, fd := range seen.Opened {
				if !strings.HasSuffix(fd, " of /bin/busybox") {
					t.Errorf("the attacker saw a descriptor: %s", fd)
				}
			}
		})
	}
}

func hashOf(t *testing.T, path string) string {
	t.Helper()
	return fmt.Sprintf("%x", sha256.Sum256([]byte(readFile(t, path))))
}

// copyOfRuntime lets the runtime be attacked without harm: a copy stands in for it.
func copyOfRuntime(t *testing.T, r *integration.Runtime) {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(r.Path))
	if err := os.WriteFile(path, []byte(readFile(t, r.Path)), 0o755); err != nil {
		t.Fatal(err)
	}
	r.Path = path
}

func TestRuntimesBinaryCannotBeOverwritten_CVE_2019_5736(t *testing.T) {
	r := integration.New(t)
	copyOfRuntime(t, r)
	before := hashOf(t, r.Path)
	b := integration.NewBundle(t, integration.Sleep, func(s *specs.Spec) {
		caps := []string{"CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SYS_PTRACE"}
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	})
	addAttacker(t, b)
	b.WriteFile("bin/evil", "#!/proc/self/exe\n", 0o755)
	symlink(t, "/proc/self/exe", b.Rootfs("bin/link"))
	c := r.Start(b)
	a := attack(t, c, "overwrite")
	for range 25 {
		for _, entry := range []string{"/bin/evil", "/bin/link", "/proc/self/exe"} {
			c.Exec(c.ID, entry) // whatever it does, it is the runtime that runs
		}
		c.Exec(c.ID, "/bin/true")
	}
	seen := a.Report(c)
	if len(seen.Met) == 0 {
		t.Error("the attacker never met the runtime: the attack was not played")
	}
	t.Logf("met %q, errors %q", seen.Met, seen.WriteError)
	if len(seen.Written) > 0 {
		t.Errorf("the attacker wrote to %q", seen.Written)
	}
	if after := hashOf(t, r.Path); after != before {
		t.Errorf("the runtime's binary was changed")
	}
	if res := c.Exec(c.ID, "/bin/echo", "alive"); res.Stdout != "alive\n" {
		t.Errorf("exec afterwards: exit %d, %q, %s", res.Code, res.Stdout, res.Stderr)
	}

	// The same as the entry point of a container.
	for _, entry := range []string{"/bin/evil", "/proc/self/exe"} {
		b := integration.NewBundle(t, integration.Args(entry))
		b.WriteFile("bin/evil", "#!/proc/self/exe\n", 0o755)
		r.Run(b)
		if after := hashOf(t, r.Path); after != before {
			t.Errorf("%s as the entry point changed the runtime's binary", entry)
		}
	}
	if out := r.MustRun(integration.NewBundle(t, integration.Args("/bin/echo", "alive"))); out != "alive\n" {
		t.Errorf("control: %q", out)
	}
}

// leakDirectory gives the runtime an open directory of the host on descriptors 3 to 9, as a careless caller or runtime would.
func leakDirectory(t *testing.T, cmd *exec.Cmd, path string) {
	t.Helper()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	for range 7 {
		cmd.ExtraFiles = append(cmd.ExtraFiles, dir)
	}
}

const lookAround = `/bin/pwd; ls; for fd in /proc/self/fd/*; do readlink $fd; done; true`

// staysInside fails the test when a result of lookAround, or a refusal, shows the host.
func staysInside(t *testing.T, what string, res integration.Result, v *victim) {
	t.Helper()
	if strings.Contains(res.Stdout, secret) || strings.Contains(res.Stdout, v.path) || strings.Contains(res.Stdout, "unreachable") {
		t.Errorf("%s sees the host: exit %d, %s", what, res.Code, res.Stdout)
	}
	if res.Code != 0 && !strings.Contains(res.Stderr, "cwd") && !strings.Contains(res.Stderr, "chdir") && !strings.Contains(res.Stderr, "/proc/self/fd") {
		t.Errorf("%s: exit %d: %s", what, res.Code, res.Stderr)
	}
}

func TestCwdIsNeverADescriptorOfTheHost_CVE_2024_21626(t *testing.T) {
	r := integration.New(t)
	v := newVictim(t)
	c := r.Start(integration.NewBundle(t, integration.Sleep))
	b := integration.NewBundle(t, integration.Shell(lookAround))
	id := r.ID("cwd")
	b.PlaceCgroup(id)
	for n := 3; n <= 40; n++ {
		for _, tail := range []string{"", "/../../.."} {
			cwd := fmt.Sprintf("/proc/self/fd/%d%s", n, tail)
			cmd := r.Command("exec", "--cwd", cwd, c.ID, "/bin/sh", "-c", lookAround)
			leakDirectory(t, cmd, v.path)
			staysInside(t, "exec --cwd "+cwd, r.DoCommand(cmd), v)
			if n > 12 && tail != "" {
				continue
			}
			b.Change(func(s *specs.Spec) { s.Process.Cwd = cwd; s.Linux.CgroupsPath = "/" + id })
			cmd = r.Command("run", "--bundle", b.Dir, id)
			leakDirectory(t, cmd, v.path)
			res := r.DoCommand(cmd)
			staysInside(t, "run with cwd "+cwd, res, v)
			if res.Code != 0 {
				r.Do("delete", "--force", id)
			}
		}
	}
	// Handed over on purpose, a directory of the host is still not a working directory.
	cmd := r.Command("exec", "--preserve-fds", "1", "--cwd", "/proc/self/fd/3", c.ID, "/bin/sh", "-c", "/bin/pwd; ls")
	leakDirectory(t, cmd, v.path)
	if res := r.DoCommand(cmd); res.Code == 0 {
		t.Errorf("a preserved descriptor as the cwd: %s", res.Stdout)
	}
	if seen := c.Probe("--cwd", "/tmp"); seen.Cwd != "/tmp" || len(seen.FDs) != 3 {
		t.Errorf("control: cwd %q with descriptors %v, want /tmp with three", seen.Cwd, seen.FDs)
	}
	b.Change(func(s *specs.Spec) { s.Process.Cwd = "/tmp"; s.Process.Args = []string{"/bin/probe"} })
	cmd = r.Command("run", "--bundle", b.Dir, id)
	leakDirectory(t, cmd, v.path)
	if res := r.DoCommand(cmd); res.Code != 0 || strings.Contains(res.Stdout, v.path) {
		t.Errorf("control with leaked descriptors: exit %d, %s%s", res.Code, res.Stdout, res.Stderr)
	}
}

// The first fix of crun for row 14 refused directories that are fine.
func TestHonestCwdStillWorks_crun_1_14_1(t *testing.T) {
	for _, test := range []struct {
		name, cwd, want string
		prepare         func(*testing.T, *integration.Bundle)
	}{
		{"root", "/", "/", nil},
		{"link in the image", "/link", "/home/user", func(t *testing.T, b *integration.Bundle) { symlink(t, "/home/user", b.Rootfs("link")) }},
		{"relative link", "/home/link", "/home/user", func(t *testing.T, b *integration.Bundle) { symlink(t, "user", b.Rootfs("home/link")) }},
		{"mount", "/dev/shm", "/dev/shm", nil},
		{"own process", "/proc/self", "/proc/1", nil},
		{"name with spaces and dots", "/tmp/..a b (unreachable)", "/tmp/..a b (unreachable)", func(t *testing.T, b *integration.Bundle) { mkdir(t, b.Rootfs("tmp/..a b (unreachable)")) }},
		{"private to the user", "/home/private", "/home/private", func(t *testing.T, b *integration.Bundle) {
			mkdir(t, b.Rootfs("home/private"))
			if err := os.Chown(b.Rootfs("home/private"), 1000, 1000); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(b.Rootfs("home/private"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"deep", "/tmp" + strings.Repeat("/d", 1000), "/tmp" + strings.Repeat("/d", 1000), func(t *testing.T, b *integration.Bundle) {
			mkdir(t, b.Rootfs("tmp"+strings.Repeat("/d", 1000)))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t, func(s *specs.Spec) {
				s.Process.Cwd = test.cwd
				s.Process.User = specs.User{UID: 1000, GID: 1000}
			})
			if test.prepare != nil {
				test.prepare(t, b)
			}
			if seen := r.RunProbe(b); seen.Cwd != test.want {
				t.Errorf("cwd %q, want %q", seen.Cwd, test.want)
			}
			b.Change(integration.Sleep)
			c := r.Start(b)
			if seen := c.Probe(); test.cwd != "/proc/self" && seen.Cwd != test.want {
				t.Errorf("exec: cwd %q, want %q", seen.Cwd, test.want)
			}
		})
	}
}

func TestExecCgroupStaysBelowTheContainers_crun_1_29(t *testing.T) {
	r := integration.New(t)
	b := integration.NewBundle(t, integration.Sleep)
	c := r.Start(b)
	own := cgroupOf(t, c.Pid)
	made := filepath.Join(own.dir, "below")
	if err := os.Mkdir(made, 0o755); err != nil {
		t.Fatal(err)
	}
	removed := false
	t.Cleanup(func() {
		if !removed {
			_ = unix.Rmdir(made)
		}
	})
	for _, path := range []string{"../x", "..", "../../x", "below/../..", "below/../../..", "/../..", "below/../" + "../" + filepath.Base(own.dir) + "x", "missing", "."} {
		t.Run(path, func(t *testing.T) {
			for _, arg := range []string{path, own.controller + path} {
				res := c.Exec("--cgroup", arg, c.ID, "/bin/cat", "/proc/self/cgroup")
				if res.Code == 0 && !strings.Contains(res.Stdout, own.path) {
					t.Errorf("--cgroup %s left the container's cgroup %s: %s", arg, own.path, res.Stdout)
				}
				if res.Code == 0 && path != "." && path != "/../.." {
					t.Errorf("--cgroup %s was accepted: %s", arg, res.Stdout)
				}
			}
		})
	}
	res := c.Exec("--cgroup", own.controller+"below", c.ID, "/bin/cat", "/proc/self/cgroup")
	if res.Code != 0 || !strings.Contains(res.Stdout, own.path+"/below\n") {
		t.Errorf("control: exit %d, %s%s, want %s/below", res.Code, res.Stdout, res.Stderr, own.path)
	}
	integration.Eventually(t, "the cgroup below can be removed", func() bool { return unix.Rmdir(made) == nil })
	removed = true
}

// cgroup is one cgroup of a process: on the unified hierarchy, or of the pids controller on version 1.
type cgroup struct {
	controller string // as exec --cgroup takes it, with the colon; none on the unified hierarchy
	path, dir  string
}

func cgroupOf(t *testing.T, pid int) cgroup {
	t.Helper()
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/cgroup", pid))) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if integration.CgroupV2() && fields[0] == "0" {
			return cgroup{"", fields[2], "/sys/fs/cgroup" + fields[2]}
		}
		if !integration.CgroupV2() && fields[1] == "pids" {
			return cgroup{"pids:", fields[2], "/sys/fs/cgroup/pids" + fields[2]}
		}
	}
	t.Fatalf("no cgroup of process %d", pid)
	return cgroup{}
}
