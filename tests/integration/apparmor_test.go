package integration

import (
	"os/exec"
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
