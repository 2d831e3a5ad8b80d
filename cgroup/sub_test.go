package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
)

// TestSubCgroupCannotEscape is row 30 of the table of past attacks: exec --cgroup ../../x.
func TestSubCgroupCannotEscape(t *testing.T) {
	c := create(t, Config{})
	for _, dir := range c.dirs() {
		if err := os.Mkdir(dir+"/inner", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ name, spec, err string }{
		{"parent", "..", `opening sub-cgroup "..": it must not contain ".."`},
		{"far away", "../../x", `opening sub-cgroup "../../x": it must not contain ".."`},
		{"down and up", "inner/..", `opening sub-cgroup "inner/..": it must not contain ".."`},
		{"absolute stays below", "/system.slice", `opening sub-cgroup "/system.slice": no such file or directory`},
		{"file", "cgroup.procs", `opening sub-cgroup "cgroup.procs": not a directory`},
		{"missing", "other", `opening sub-cgroup "other": no such file or directory`},
		{"itself", "/", ""},
		{"itself, as nothing", "", ""},
		{"child", "inner", ""},
		{"child, absolute and untidy", "//inner/./", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := openBeneath(c.anchor(), tt.spec)
			if text(err) != tt.err {
				t.Errorf("error %q, want %q", text(err), tt.err)
			}
			if err == nil {
				if !strings.HasPrefix(f.Name(), c.anchor()) {
					t.Errorf("opened %s", f.Name())
				}
				_ = f.Close()
			}
		})
	}
}

// TestSubCgroupIsNotASymlink uses a plain directory, as cgroup file systems have no symbolic links.
func TestSubCgroupIsNotASymlink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for sub, reason := range map[string]string{"link": "not a directory", "link/etc": "too many levels of symbolic links"} {
		want := `opening sub-cgroup "` + sub + `": ` + reason
		if _, err := openBeneath(dir, sub); text(err) != want {
			t.Errorf("error %q, want %q", text(err), want)
		}
	}
}

func TestJoinSub(t *testing.T) {
	unified := probe(t).Unified
	tests := []struct {
		name   string
		specs  []string
		v1, v2 string
		inner  []string // controllers whose sub-cgroup is entered; nil for all
	}{
		{name: "own cgroup", inner: []string{}},
		{name: "all controllers", specs: []string{"inner"}},
		{
			name: "two controllers", specs: []string{"pids,memory:inner", "freezer:/"}, inner: []string{"pids", "memory"},
			v2: `parsing cgroup "pids,memory:inner": cgroup v2 has one path for all controllers`,
		},
		{
			name: "unknown controller", specs: []string{"magic:inner"}, v1: "finding cgroup: the container has no magic controller",
			v2: `parsing cgroup "magic:inner": cgroup v2 has one path for all controllers`,
		},
		{
			name: "twice", specs: []string{"pids:inner", "pids:inner"},
			v1: `parsing cgroup "pids:inner": controller "pids" is empty or named twice`,
			v2: `parsing cgroup "pids:inner": controller "pids" is empty or named twice`,
		},
		{
			name: "two without controllers", specs: []string{"inner", "inner"},
			v1: `parsing cgroup "inner": with more than one, each needs CONTROLLER: in front`,
			v2: `parsing cgroup "inner": with more than one, each needs CONTROLLER: in front`,
		},
		{
			name: "escape", specs: []string{"../x"},
			v1: `joining cgroup: opening sub-cgroup "../x": it must not contain ".."`,
			v2: `joining cgroup: opening sub-cgroup "../x": it must not contain ".."`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := create(t, Config{})
			for name, dir := range c.Paths() {
				if name == "cpuset" { // takes no process before cpus and mems are set
					continue
				}
				if err := os.Mkdir(dir+"/inner", 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if dir := c.Paths()["cpuset"]; dir != "" {
				makeCpuset(t, dir)
			}
			cmd := sleeper(t, c)
			want := tt.v1
			if unified {
				want = tt.v2
			}
			err := c.JoinSub(cmd.Process.Pid, tt.specs)
			if text(err) != want {
				t.Fatalf("error %q, want %q", text(err), want)
			}
			if err == nil {
				checkInner(t, c, cmd.Process.Pid, tt.inner)
			}
		})
	}
}

func makeCpuset(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir+"/inner", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := cgroups.ReadFile(dir, file)
		if err != nil {
			t.Fatal(err)
		}
		if err := cgroups.WriteFile(dir+"/inner", file, value); err != nil {
			t.Fatal(err)
		}
	}
}

func checkInner(t *testing.T, c *Cgroup, pid int, inner []string) {
	t.Helper()
	self, err := cgroups.ParseCgroupFile(filepath.Join("/proc", itoa(pid), "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range c.Paths() {
		want := inner == nil
		for _, i := range inner {
			want = want || i == name
		}
		if got := strings.HasSuffix(self[name], "/inner"); got != want {
			t.Errorf("controller %q: process is in %s", name, self[name])
		}
	}
}

func TestOpenSubFindsWhereAProcessMayBeBorn(t *testing.T) {
	c := create(t, Config{})
	if !probe(t).Unified {
		if f, err := c.OpenSub(1, nil); f != nil || err != nil {
			t.Errorf("%v, %v; want nothing on v1", f, err)
		}
		return
	}
	dir := c.Paths()[""]
	open := func(init int, specs ...string) string {
		t.Helper()
		f, err := c.OpenSub(init, specs)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return f.Name()
	}
	cmd := sleeper(t, c)
	if got := open(cmd.Process.Pid); got != dir {
		t.Errorf("opened %s, want %s", got, dir)
	}
	// An init such as systemd moves itself down and hands the controllers down.
	if err := os.Mkdir(dir+"/init", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := cgroups.WriteCgroupProc(dir+"/init", cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := cgroups.WriteFile(dir, "cgroup.subtree_control", "+hugetlb"); err != nil {
		t.Fatal(err)
	}
	if got := open(cmd.Process.Pid); got != dir+"/init" {
		t.Errorf("opened %s, want %s/init", got, dir)
	}
	if got := open(cmd.Process.Pid, "/init"); got != dir+"/init" {
		t.Errorf("opened %s, want %s/init", got, dir)
	}
	want := "finding cgroup of process " + itoa(os.Getpid()) + ": " + probe(t).Self[""] + " is not below the container's cgroup " + c.Path()
	if _, err := c.OpenSub(os.Getpid(), nil); text(err) != want {
		t.Errorf("error %q, want %q", text(err), want)
	}
}
