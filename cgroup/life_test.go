package cgroup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

func TestCgroupHoldsItsProcessesFromCreateToDestroy(t *testing.T) {
	c := build(t, Config{})
	if c.Exists() {
		t.Fatal("exists before Create")
	}
	if err := c.Create(); err != nil {
		t.Fatal(err)
	}
	if !c.Exists() {
		t.Fatal("does not exist after Create")
	}
	cmd := sleeper(t, c)
	pids, err := c.Pids()
	if err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Fatalf("pids %v, %v; want %d", pids, err, cmd.Process.Pid)
	}
	checkMembership(t, c, cmd.Process.Pid)

	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); text(err) != "signal: killed" {
		t.Errorf("process ended with %v, want signal: killed", err)
	}
	for range 2 {
		if err := c.Destroy(); err != nil {
			t.Fatal(err)
		}
	}
	if c.Exists() {
		t.Error("exists after Destroy")
	}
	if pids, err := c.Pids(); err != nil || len(pids) != 0 {
		t.Errorf("pids after Destroy: %v, %v", pids, err)
	}
	if err := c.Kill(); err != nil {
		t.Error(err)
	}
}

// checkMembership compares /proc/PID/cgroup with the directories that the cgroup says it has.
func checkMembership(t *testing.T, c *Cgroup, pid int) {
	t.Helper()
	self, err := cgroups.ParseCgroupFile(filepath.Join("/proc", itoa(pid), "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	for name, dir := range c.Paths() {
		if !strings.HasSuffix(dir, self[name]) || self[name] == "/" {
			t.Errorf("controller %q: process is in %s, cgroup is %s", name, self[name], dir)
		}
	}
}

func TestLoadFindsWhatWasSavedBeforeCreate(t *testing.T) {
	c := build(t, Config{})
	saved, err := json.Marshal(c.Saved())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(); err != nil {
		t.Fatal(err)
	}
	cmd := sleeper(t, c)

	var s Saved
	if err := json.Unmarshal(saved, &s); err != nil {
		t.Fatal(err)
	}
	again, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := again.Pids(); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Errorf("pids %v, %v; want %d", pids, err, cmd.Process.Pid)
	}
	if again.Path() != c.Path() || c.Path() == "" {
		t.Errorf("path %q, want %q", again.Path(), c.Path())
	}
	if err := again.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := again.Destroy(); err != nil {
		t.Fatal(err)
	}
	if c.Exists() {
		t.Error("exists after Destroy")
	}
}

func TestRemoveEmptyRemovesOnlyWhatIsEmpty(t *testing.T) {
	c := create(t, Config{})
	cmd := sleeper(t, c)
	if c.RemoveEmpty() {
		t.Error("a cgroup with a process counts as removed")
	}
	if !c.Exists() {
		t.Fatal("a cgroup with a process is gone")
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if err := c.Create(); err != nil {
		t.Fatal(err)
	}
	if !c.RemoveEmpty() || c.Exists() {
		t.Error("an empty cgroup is not removed")
	}
	if !c.RemoveEmpty() {
		t.Error("a cgroup that is gone does not count as removed")
	}
}

func TestLoadedCgroupThatWasNeverCreatedIsDestroyed(t *testing.T) {
	c := build(t, Config{})
	again, err := Load(c.Saved())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Kill(); err != nil {
		t.Error(err)
	}
	if err := again.Destroy(); err != nil {
		t.Error(err)
	}
}

func TestFreezeStopsProcessesUntilThaw(t *testing.T) {
	c := create(t, Config{})
	cmd := sleeper(t, c)
	for _, want := range []bool{true, false, true} {
		set := c.Thaw
		if want {
			set = c.Freeze
		}
		if err := set(); err != nil {
			t.Fatal(err)
		}
		if frozen, err := c.Frozen(); err != nil || frozen != want {
			t.Errorf("frozen %v, %v; want %v", frozen, err, want)
		}
	}
	// A frozen process must die as well.
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); text(err) != "signal: killed" {
		t.Errorf("process ended with %v, want signal: killed", err)
	}
}

func TestKillReachesSubCgroups(t *testing.T) {
	c := create(t, Config{})
	cmd := sleeper(t, c)
	for _, dir := range c.dirs() {
		if strings.Contains(dir, "/cpuset/") { // would need cpus and mems first
			continue
		}
		sub := filepath.Join(dir, "sub")
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := cgroups.WriteCgroupProc(sub, cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
	}
	if pids, err := c.Pids(); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Errorf("pids %v, %v; want %d", pids, err, cmd.Process.Pid)
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Destroy(); err != nil {
		t.Fatal(err)
	}
}

func TestDestroyOfABusyCgroupNamesTheProcesses(t *testing.T) {
	c := create(t, Config{})
	cmd := sleeper(t, c)
	start := time.Now()
	err := c.Destroy()
	if err == nil {
		t.Fatal("a cgroup with a process was removed")
	}
	want := "it holds processes (" + itoa(cmd.Process.Pid) + "): "
	if !strings.HasPrefix(err.Error(), "removing cgroup "+mountpoint) || !strings.Contains(err.Error(), want) ||
		!strings.HasSuffix(err.Error(), "device or resource busy") {
		t.Errorf("error %q", err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
}

func TestParentsGoWithTheLastContainer(t *testing.T) {
	parent := "/" + testID(t)
	a := create(t, Config{ID: "a", Path: parent + "/deep/a"})
	b := create(t, Config{ID: "b", Path: parent + "/deep/b"})
	if err := b.Destroy(); err != nil {
		t.Fatal(err)
	}
	if !a.Exists() {
		t.Fatal("the other container's cgroup went too")
	}
	if err := a.Destroy(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range a.dirs() {
		if top := strings.TrimSuffix(dir, "/deep/a"); exists(top) {
			t.Errorf("%s is left", top)
		}
	}
}

func TestDisabledDriverHasNoCgroup(t *testing.T) {
	c, err := New(Config{ID: "x", Driver: Disabled})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(); err != nil {
		t.Error(err)
	}
	if err := c.Join(os.Getpid()); err != nil {
		t.Error(err)
	}
	if dir, err := c.Dir(); dir != nil || err != nil {
		t.Errorf("directory %v, %v", dir, err)
	}
	if _, err := c.Pids(); text(err) != "listing processes: container has no cgroup" {
		t.Errorf("pids: %v", err)
	}
	if err := c.Freeze(); text(err) != "freezing cgroup: container has no cgroup" {
		t.Errorf("freeze: %v", err)
	}
	if err := c.Kill(); err != nil {
		t.Error(err)
	}
	if err := c.Destroy(); err != nil {
		t.Error(err)
	}
}

func TestDelegatedCgroupBelongsToItsOwner(t *testing.T) {
	if !probe(t).Unified {
		t.Skip("cgroup v2 only")
	}
	owner := 4321
	c := create(t, Config{OwnerUID: &owner})
	dir := c.Paths()[""]
	for file, want := range map[string]uint32{
		"": 4321, "cgroup.procs": 4321, "cgroup.threads": 4321, "cgroup.subtree_control": 4321, "cgroup.freeze": 0, "cgroup.kill": 0,
	} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, file), &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != want {
			t.Errorf("%q belongs to %d, want %d", file, st.Uid, want)
		}
	}
}
