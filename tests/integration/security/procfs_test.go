package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/tests/integration"
	"github.com/bxrne/zbox/tests/integration/report"
)

const ordinary = "must be mounted on ordinary directory"

// isMounted is a script that fails unless procfs and sysfs are at their places with the masks on them.
const isMounted = `
grep -q ' /proc .* - proc ' /proc/self/mountinfo || { echo no procfs; exit 9; }
grep -q ' /sys .* - sysfs ' /proc/self/mountinfo || { echo no sysfs; exit 9; }
grep -q ' /proc/sys ro' /proc/self/mountinfo || { echo sysctls are writable; exit 9; }
test -z "$(head -c 1 /proc/timer_list)" || { echo timer_list is not masked; exit 9; }
echo all there`

func protected(s *specs.Spec) { integration.Shell(isMounted)(s) }

func mustBeProtected(t *testing.T, r *integration.Runtime, b *integration.Bundle) {
	t.Helper()
	if out := r.MustRun(b); strings.TrimSpace(out) != "all there" {
		t.Errorf("the container saw: %s", out)
	}
}

// refusesLink runs containers whose image has a link at name, and the same container without it.
func refusesLink(t *testing.T, name string) {
	t.Helper()
	v := newVictim(t)
	for _, link := range []struct{ kind, target string }{
		{"absolute", v.path},
		{"relative", "../../victim"},
		{"inside of the root", "tmp"},
		{"dangling", "/nowhere"},
		{"to the root", "/"},
	} {
		t.Run(link.kind, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t, protected)
			symlink(t, link.target, b.Rootfs(name))
			r.RefuseRun(b, ordinary)
			v.unchanged()
		})
	}
	t.Run("control without a link", func(t *testing.T) {
		mustBeProtected(t, integration.New(t), integration.NewBundle(t, protected))
	})
}

func TestProcfsIsOnlyMountedOnARealDirectory_CVE_2019_19921(t *testing.T) { refusesLink(t, "proc") }

func TestSysfsIsOnlyMountedOnARealDirectory_CVE_2023_28642(t *testing.T) { refusesLink(t, "sys") }

// Unlike rows 6 and 13 the links lead to directories that look like what is expected, and both are there at once.
func TestLinksThatLookLikeProcfsAndSysfsAreRefused_CVE_2025_54867(t *testing.T) {
	for _, name := range []string{"proc", "sys"} {
		t.Run(name, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t, protected)
			b.WriteFile("fake/"+name+"/self/attr/exec", "", 0o644)
			b.WriteFile("fake/"+name+"/sysrq-trigger", "", 0o644)
			symlink(t, "fake/"+name, b.Rootfs(name))
			before := describeTree(t, b.Rootfs("fake"))
			r.RefuseRun(b, ordinary)
			sameTree(t, before, describeTree(t, b.Rootfs("fake")))
		})
	}
	t.Run("through a parent", func(t *testing.T) {
		r := integration.New(t)
		b := integration.NewBundle(t, integration.Mount(specs.Mount{Destination: "/link/proc", Type: "proc", Source: "proc"}))
		mkdir(t, b.Rootfs("fake/proc"))
		symlink(t, "fake", b.Rootfs("link"))
		// Inside of the root this is harmless: it may land where the link leads, or be refused.
		res := r.Run(b)
		if res.Code == 0 && !strings.Contains(res.Stdout, " /fake/proc ") {
			t.Errorf("no mount at /fake/proc: %s", res.Stdout)
		}
		if res.Code != 0 && !strings.Contains(res.Stderr, ordinary) {
			t.Errorf("exit %d: %s", res.Code, res.Stderr)
		}
	})
	t.Run("control without a link", func(t *testing.T) {
		mustBeProtected(t, integration.New(t), integration.NewBundle(t, protected))
	})
}

// A second container that shares the root file system swaps /proc for a link during creates. The swap goes on while the
// container looks at itself, so its procfs is now at one name and now at the other.
func TestProcfsTargetSurvivesASwap_CVE_2023_27561(t *testing.T) {
	r := integration.New(t)
	v := newVictim(t)
	b := integration.NewBundle(t, integration.Shell(patientMountinfo))
	r.Start(shareRootfs(b, integration.NewBundle(t, integration.Sleep)))
	mkdir(t, filepath.Join(v.path, "proc"))
	v.before = describeTree(t, v.path)
	link := b.Rootfs("proc.link")
	symlink(t, filepath.Join(v.path, "proc"), link)
	race(t, r, b, b.Rootfs("proc"), link, func(res integration.Result) {
		at := map[string]string{}
		for line := range strings.Lines(res.Stdout) {
			m := report.ParseMount(line)
			at[strings.Replace(m.Point, "/proc.link", "/proc", 1)] = m.Type + " " + m.Options
		}
		if !strings.HasPrefix(at["/proc"], "proc ") || !strings.HasPrefix(at["/proc/sys"], "proc ro") || at["/proc/timer_list"] == "" {
			t.Errorf("procfs or its masks are missing: %s", res.Stdout)
		}
	})
	v.unchanged()
}

// patientMountinfo prints the mount table as soon as /proc is not the link.
const patientMountinfo = `i=0; until cat /proc/self/mountinfo 2>/dev/null; do i=$((i+1)); test $i -lt 10000 || exit 9; done`

// shareRootfs lets other run in the root file system of b.
func shareRootfs(b, other *integration.Bundle) *integration.Bundle {
	other.Change(func(s *specs.Spec) { s.Root.Path = b.Rootfs() })
	return other
}

// fakeProcfs makes a directory that looks like a procfs to whoever does not check.
func fakeProcfs(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fake")
	for _, path := range []string{
		"self/attr/exec", "self/attr/current", "self/attr/apparmor/exec", "thread-self/attr/exec", "thread-self/attr/apparmor/exec",
		"1/attr/exec", "self/oom_score_adj", "sys/net/ipv4/ip_forward", "sys/kernel/domainname",
	} {
		full := filepath.Join(dir, path)
		mkdir(t, filepath.Dir(full))
		if err := os.WriteFile(full, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLabelIsNeverWrittenToAFakeProcfs_CVE_2019_16884(t *testing.T) {
	for _, test := range []struct {
		name  string
		label func(*specs.Spec)
	}{
		{"AppArmor", func(s *specs.Spec) { s.Process.ApparmorProfile = "docker-default" }},
		{"SELinux", func(s *specs.Spec) { s.Process.SelinuxLabel = "system_u:system_r:container_t:s0" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := integration.New(t)
			fake := fakeProcfs(t)
			before := describeTree(t, fake)
			b := integration.NewBundle(t, test.label, func(s *specs.Spec) {
				s.Mounts[0] = specs.Mount{Destination: "/proc", Type: "bind", Source: fake, Options: []string{"bind"}}
			})
			// Whether the volume or the missing security module is refused first is the same: it does not run unlabelled.
			r.RefuseRun(b)
			sameTree(t, before, describeTree(t, fake))
		})
	}
	t.Run("control without a label", func(t *testing.T) {
		r := integration.New(t)
		if seen := r.RunProbe(integration.NewBundle(t)); seen.Pid != 1 {
			t.Errorf("pid %d, want 1", seen.Pid)
		}
	})
}

const forward = "net.ipv4.ip_forward"

// The sysctl has to reach the kernel (which a second procfs in the container shows), or the container must not run.
func TestSysctlIsNeverWrittenToAFakeProcfs_CVE_2025_52881(t *testing.T) {
	setup := func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{forward: "1"}
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		integration.Mount(specs.Mount{Destination: "/mnt/proc", Type: "proc", Source: "proc"})(s)
		integration.Shell("cat /mnt/proc/sys/net/ipv4/ip_forward")(s)
	}
	for _, test := range []struct {
		name   string
		attack func(b *integration.Bundle, s *specs.Spec, fake string)
	}{
		{"control", func(*integration.Bundle, *specs.Spec, string) {}},
		{"volume on /proc", func(_ *integration.Bundle, s *specs.Spec, fake string) {
			s.Mounts[0] = specs.Mount{Destination: "/proc", Type: "bind", Source: fake, Options: []string{"bind"}}
		}},
		{"tmpfs on /proc", func(_ *integration.Bundle, s *specs.Spec, _ string) {
			s.Mounts[0] = specs.Mount{Destination: "/proc", Type: "tmpfs", Source: "tmpfs"}
		}},
		{"image's own /proc", func(b *integration.Bundle, s *specs.Spec, fake string) {
			s.Mounts = s.Mounts[1:]
			symlink(t, "fake", b.Rootfs("proc"))
			if err := os.CopyFS(b.Rootfs("fake"), os.DirFS(fake)); err != nil {
				t.Fatal(err)
			}
		}},
		{"file mounted on the sysctl", func(b *integration.Bundle, s *specs.Spec, fake string) {
			over := b.Rootfs("proc/sys/net/ipv4/ip_forward")
			s.Hooks = hostShell("mount --bind " + filepath.Join(fake, "sys/net/ipv4/ip_forward") + " " + over)
		}},
		{"another sysctl mounted on the sysctl", func(b *integration.Bundle, s *specs.Spec, _ string) {
			over := b.Rootfs("proc/sys/net/ipv4/ip_forward")
			s.Hooks = hostShell("mount --bind " + b.Rootfs("proc/sys/kernel/shm_next_id") + " " + over)
			integration.Shell("cat /mnt/proc/sys/net/ipv4/ip_forward; cat /mnt/proc/sys/kernel/shm_next_id >&2")(s)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := integration.New(t)
			fake := fakeProcfs(t)
			before := describeTree(t, fake)
			b := integration.NewBundle(t, setup)
			b.Change(func(s *specs.Spec) { test.attack(b, s, fake) })
			res := r.Run(b)
			if res.Code == 0 && strings.TrimSpace(res.Stdout) != "1" {
				t.Errorf("the sysctl is %q and the runtime did not say so; stderr %s", res.Stdout, res.Stderr)
			}
			if res.Code == 0 && strings.TrimSpace(res.Stderr) == "1" {
				t.Errorf("the write went to kernel.shm_next_id")
			}
			if res.Code != 0 {
				t.Logf("refused: %s", res.Stderr)
			}
			if test.name == "control" && res.Code != 0 {
				t.Errorf("the control did not run: %s", res.Stderr)
			}
			sameTree(t, before, describeTree(t, fake))
		})
	}
}

// hostShell is a createContainer hook: it runs in the container's namespaces while the host's files are still there.
func hostShell(script string) *specs.Hooks {
	return &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}}}
}

// CRI-O's CVE-2022-0811: a value smuggled a second sysctl.
func TestOneSysctlIsOneWrite_CVE_2022_0811(t *testing.T) {
	keeps(t, "/proc/sys/kernel/core_pattern")
	for name, sysctl := range map[string]map[string]string{
		"plus in the value":      {"kernel.shm_rmid_forced": "1+kernel.core_pattern=|/bin/evil"},
		"plus in the key":        {"net.ipv4.ip_forward+kernel.core_pattern": "1"},
		"parent in the key":      {"net/../kernel/core_pattern": "|/bin/evil"},
		"dots in the key":        {"net...kernel.core_pattern": "|/bin/evil"},
		"slash up in the key":    {"net.ipv4/../../kernel/core_pattern": "|/bin/evil"},
		"mixed separators":       {"net/./../kernel.core_pattern": "|/bin/evil"},
		"not namespaced":         {"kernel.core_pattern": "|/bin/evil"},
		"not namespaced, slash":  {"kernel/core_pattern": "|/bin/evil"},
		"prefix of a namespaced": {"kernel.msgmaxx": "1"},
		"empty key":              {"": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := integration.New(t)
			r.RefuseRun(integration.NewBundle(t, func(s *specs.Spec) { s.Linux.Sysctl = sysctl }))
		})
	}
	t.Run("newline in the value", func(t *testing.T) {
		// The kernel takes the first line of one write; what matters is that it was one write, and to this key.
		integration.New(t).Run(integration.NewBundle(t, func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"kernel.shm_rmid_forced": "1\nkernel.core_pattern=|/bin/evil"}
		}))
	})
	r := integration.New(t)
	out := r.MustRun(integration.NewBundle(t, integration.Shell("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_forward"), func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{"kernel.shm_rmid_forced": "1", forward: "1"}
	}))
	if out != "1\n1\n" {
		t.Errorf("the sysctls are %q, want both 1", out)
	}
}
