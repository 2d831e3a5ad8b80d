package security

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/tests/integration"
)

// abstractSockets are the abstract unix sockets of a network namespace's /proc/net/unix; their names begin with @.
func abstractSockets(table string) []string {
	var names []string
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) == 8 && strings.HasPrefix(fields[7], "@") {
			names = append(names, fields[7])
		}
	}
	return names
}

// containerd's shim listened on an abstract socket, which every container in the host's network namespace could reach.
func TestNoAbstractSocketIsOffered_CVE_2020_15257(t *testing.T) {
	r := integration.New(t)
	before := abstractSockets(readFile(t, "/proc/net/unix"))
	b := integration.NewBundle(t, integration.Sleep, integration.WithoutNamespace(specs.NetworkNamespace), func(s *specs.Spec) {
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Type == "sysfs" }) // needs a network namespace
	})
	c := r.Create(b)
	for _, stage := range []string{"created", "running"} {
		if stage == "running" {
			r.Must("start", c.ID)
		}
		table := readFile(t, "/proc/net/unix")
		if !strings.Contains(table, "Inode Path") {
			t.Fatalf("%s: /proc/net/unix is %q", stage, table)
		}
		for _, name := range abstractSockets(table) {
			if !slices.Contains(before, name) && (strings.Contains(name, r.Marker) || strings.Contains(name, "zbox")) {
				t.Errorf("%s: the abstract socket %s is new", stage, name)
			}
		}
	}
	res := c.Exec(c.ID, "/bin/cat", "/proc/net/unix")
	if res.Code != 0 || !strings.Contains(res.Stdout, "Inode Path") {
		t.Errorf("the container sees no socket table: exit %d, %s%s", res.Code, res.Stdout, res.Stderr)
	}
	for _, name := range abstractSockets(res.Stdout) {
		if strings.Contains(name, r.Marker) || strings.Contains(name, "zbox") {
			t.Errorf("the container sees the abstract socket %s", name)
		}
	}
}

// containerd's state was readable, and traversable to setuid programs in bundles, for every user.
func TestStateIsPrivateWhateverTheUmask_CVE_2021_41103(t *testing.T) {
	for _, umask := range []string{"000", "022", "077"} {
		t.Run("umask "+umask, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t, integration.Sleep)
			id := r.ID("private")
			b.PlaceCgroup(id)
			for _, args := range [][]string{{"create", "--bundle", b.Dir, id}, {"start", id}, {"exec", id, "/bin/true"}} {
				if res := r.DoCommand(withUmask(r.Command(args...), umask)); res.Code != 0 {
					t.Fatalf("%q: exit %d: %s", args, res.Code, res.Stderr)
				}
			}
			if !strings.Contains(r.Must("state", id), `"running"`) {
				t.Error("the container does not run")
			}
			onlyForOwner(t, r.Root)
			if integration.IsZbox() { // below a private root this is more than is needed
				onlyForOwner(t, filepath.Join(r.Root, id))
			}
			err := filepath.WalkDir(r.Root, func(path string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := d.Info()
				if err == nil && d.Type() != fs.ModeSymlink && info.Mode().Perm()&0o022 != 0 {
					t.Errorf("%s: others may write: %v", path, info.Mode())
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func onlyForOwner(t *testing.T, dir string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%s: others may enter: %v", dir, info.Mode())
	}
}

// containerd's CVE-2022-23471 and CVE-2022-31030: every exec left a little behind until the host was full.
func TestExecsLeaveNothingBehind_CVE_2022_23471(t *testing.T) {
	r := integration.New(t)
	c := r.Start(integration.NewBundle(t, integration.Sleep))
	for range 5 {
		c.Must("exec", c.ID, "/bin/true")
	}
	state := describeTree(t, r.Root)
	own := cgroupOf(t, c.Pid)
	cgroups := cgroupDirs(t, own.dir)
	for range 100 {
		c.Must("exec", c.ID, "/bin/true")
	}
	for path := range describeTree(t, r.Root) {
		if _, old := state[path]; !old {
			t.Errorf("an exec left %s", path)
		}
	}
	if now := cgroupDirs(t, own.dir); now != cgroups {
		t.Errorf("%d cgroups, %d before the execs", now, cgroups)
	}
	if procs := readFile(t, filepath.Join(own.dir, "cgroup.procs")); procs != fmt.Sprintf("%d\n", c.Pid) {
		t.Errorf("processes in the container's cgroup: %q, want %d alone", procs, c.Pid)
	}
}

func cgroupDirs(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	dirs := 0
	for _, e := range entries {
		if e.IsDir() {
			dirs++
		}
	}
	return dirs
}

// bubblewrap's CVE-2017-5226: a process without a terminal of its own could type into that of its caller (TIOCSTI).
func TestProcessHasNoTerminalOfItsCaller_CVE_2017_5226(t *testing.T) {
	r := integration.New(t)
	seen := r.RunProbe(integration.NewBundle(t))
	if seen.Sid != seen.Pid || seen.TTY != "0" {
		t.Errorf("session %d of process %d, terminal %s; want a session of its own without a terminal", seen.Sid, seen.Pid, seen.TTY)
	}
	c := r.Start(integration.NewBundle(t, integration.Sleep))
	if seen := c.Probe(); seen.Sid != seen.Pid || seen.TTY != "0" {
		t.Errorf("exec: session %d of process %d, terminal %s; want a session of its own without a terminal", seen.Sid, seen.Pid, seen.TTY)
	}
}
