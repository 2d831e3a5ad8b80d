package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// loadProfile loads an AppArmor profile that lets everything but writing to /etc/denied, and unloads it at the end.
func loadProfile(t *testing.T, name string) {
	t.Helper()
	parse := func(flag string) {
		t.Helper()
		cmd := exec.Command("apparmor_parser", flag)
		cmd.Stdin = strings.NewReader("profile " + name + " flags=(attach_disconnected,mediate_deleted) {\n" +
			"  file,\n  capability,\n  signal,\n  network,\n  deny /etc/denied w,\n}\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("apparmor_parser %s: %v\n%s", flag, err, out)
		}
	}
	parse("-rK")
	t.Cleanup(func() { parse("-R") })
}

const confined = `cat /proc/self/attr/current; for f in denied allowed; do (echo x >/etc/$f) 2>/dev/null && echo wrote $f; done; true`

func TestAppArmorProfileConfinesCreateAndExec(t *testing.T) {
	NeedsAppArmor(t)
	r := New(t)
	loadProfile(t, r.Marker)
	want := r.Marker + " (enforce)\nwrote allowed\n"
	b := NewBundle(t, Shell(confined+"; sleep 1000"), func(s *specs.Spec) { s.Process.ApparmorProfile = r.Marker })
	c := r.Start(b)
	Eventually(t, "it has tried to write", func() bool { return strings.Count(c.Output(), "\n") == 2 })
	if got := c.Output(); got != want {
		t.Errorf("init: %q, want %q", got, want)
	}
	if got := c.Must("exec", c.ID, "/bin/sh", "-c", confined); got != want {
		t.Errorf("exec: %q, want the container's profile: %q", got, want)
	}
}

func TestExecAppArmorFlag(t *testing.T) {
	NeedsAppArmor(t)
	r := New(t)
	loadProfile(t, r.Marker)
	c := running(t, r)
	if got := c.Must("exec", "--apparmor", r.Marker, c.ID, "/bin/sh", "-c", confined); got != r.Marker+" (enforce)\nwrote allowed\n" {
		t.Errorf("exec --apparmor: %q", got)
	}
	if got := c.Must("exec", c.ID, "/bin/sh", "-c", confined); got != "unconfined\nwrote denied\nwrote allowed\n" {
		t.Errorf("exec without it: %q", got)
	}
}

func TestMissingAppArmorProfileIsRefused(t *testing.T) {
	NeedsAppArmor(t)
	r := New(t)
	r.RefuseRun(NewBundle(t, func(s *specs.Spec) { s.Process.ApparmorProfile = "zbt-not-loaded" }), "process.apparmorProfile", "zbt-not-loaded")
}

// A volume over /proc that holds plain files where labels are written (CVE-2019-16884): the profile reaches the kernel all the same, or
// the container is refused.
func TestAppArmorProfileIsNeverWrittenToAFakeProcfs_CVE_2019_16884(t *testing.T) {
	NeedsAppArmor(t)
	r := New(t)
	loadProfile(t, r.Marker)
	fake := t.TempDir()
	var labels []string
	for _, self := range []string{"self", "thread-self", "1"} {
		for _, attr := range []string{"exec", "current", "apparmor/exec", "apparmor/current"} {
			path := filepath.Join(fake, self, "attr", attr)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o666); err != nil {
				t.Fatal(err)
			}
			labels = append(labels, path)
		}
	}
	real := specs.Mount{Destination: "/real", Type: "proc", Source: "proc"}
	res := r.Run(NewBundle(t, Shell("cat /real/self/attr/current"), func(s *specs.Spec) {
		s.Process.ApparmorProfile = r.Marker
		s.Mounts[0] = specs.Mount{Destination: "/proc", Type: "bind", Source: fake, Options: []string{"bind"}}
		s.Mounts = append(s.Mounts, real)
	}))
	if res.Code != 1 && res.Stdout != r.Marker+" (enforce)\n" {
		t.Errorf("exit %d, label %q, want %q or a refusal; stderr: %s", res.Code, res.Stdout, r.Marker+" (enforce)\n", res.Stderr)
	}
	for _, path := range labels {
		if written, err := os.ReadFile(path); err != nil || len(written) > 0 {
			t.Errorf("%s holds %q: %v", path, written, err)
		}
	}
}
