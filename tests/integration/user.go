package integration

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// User is an ordinary user with a systemd session, in whose name a runtime runs.
type User struct {
	Name     string
	UID, GID int
	// Runtime is the user's XDG_RUNTIME_DIR.
	Runtime string
	Groups  []uint32 // supplementary
	cgroup  *os.File // that the runtime is born in; nil for the test's own
}

// NeedsUser is for tests without root: tests/vm makes the users tester, whose session has five controllers delegated, and plain,
// whose session has what the distribution delegates.
func NeedsUser(t *testing.T, name string) *User {
	t.Helper()
	found, err := user.Lookup(name)
	if err != nil {
		need(t, false, "the user "+name)
	}
	u := &User{Name: name, Runtime: "/run/user/" + found.Uid}
	u.UID, _ = strconv.Atoi(found.Uid)
	u.GID, _ = strconv.Atoi(found.Gid)
	_, err = os.Stat(u.Runtime + "/bus")
	need(t, err == nil, "a session of "+name)
	return u
}

// EnterSession gives the user a cgroup in the session, which the runtimes of the test are born in, as they would be from a shell
// there.
func (u *User) EnterSession(t *testing.T, marker string) {
	t.Helper()
	unit := "zbt-session-" + marker + ".service"
	run := u.command("systemd-run", "--user", "--quiet", "--collect", "--unit", unit, "sleep", "infinity")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("starting a unit in the session of %s: %v\n%s", u.Name, err, out)
	}
	t.Cleanup(func() {
		u.cgroup = nil
		if out, err := u.command("systemctl", "--user", "stop", unit).CombinedOutput(); err != nil {
			t.Errorf("stopping %s: %v\n%s", unit, err, out)
		}
	})
	pid, err := strconv.Atoi(u.systemctl(t, "show", "--property", "MainPID", "--value", unit))
	if err != nil {
		t.Fatal(err)
	}
	if u.cgroup, err = os.Open(cgroupOf(t, pid)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.cgroup.Close() })
}

// systemctl asks the user's own systemd.
func (u *User) systemctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := u.command("systemctl", append([]string{"--user"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl --user %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// command prepares a command of the user's.
func (u *User) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	u.Dress(cmd)
	return cmd
}

// Dress makes a command the user's.
func (u *User) Dress(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID), Groups: u.Groups}}
	if u.cgroup != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(u.cgroup.Fd())
	}
	cmd.Dir = "/"
	cmd.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/" + u.Name, "USER=" + u.Name, "XDG_RUNTIME_DIR=" + u.Runtime,
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + u.Runtime + "/bus",
	}
}

// NewAs is New with a runtime that the user runs from a session, with a state root of the user's.
func NewAs(t *testing.T, u *User) *Runtime {
	t.Helper()
	r := NewOutside(t, u)
	u.EnterSession(t, r.Marker)
	return r
}

// NewOutside is NewAs from the cgroup of the test, where the user may make none.
func NewOutside(t *testing.T, u *User) *Runtime {
	t.Helper()
	r := New(t)
	// The user's files go, and are checked, after the containers.
	t.Cleanup(func() {
		r.removeAll()
		for _, leak := range leftState(r.Root) {
			t.Errorf("left behind: %s", leak)
		}
		if err := os.RemoveAll(r.Root); err != nil {
			t.Error(err)
		}
	})
	r.User, r.Root = u, filepath.Join(u.Runtime, r.Marker)
	for dir, mode := range map[string]os.FileMode{r.dir: 0o777, filepath.Dir(r.dir): 0o755} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// SpecBundle makes a bundle of the test's root filesystem, owned by the runtime's user, whose configuration is what
// `spec --rootless` writes but for the terminal and the process.
func (r *Runtime) SpecBundle(t *testing.T) *Bundle {
	t.Helper()
	b := NewBundle(t)
	if err := os.Remove(filepath.Join(b.Dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "-R", fmt.Sprintf("%d:%d", r.User.UID, r.User.GID), b.Dir).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	r.Must("spec", "--rootless", "--bundle", b.Dir)
	b.load()
	b.Spec.Process.Terminal = false
	b.Spec.Root.Readonly = false
	b.Change(Args("/bin/probe"))
	return b
}
