package cgroup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestOOMIsReportedAndCounted(t *testing.T) {
	unified := probe(t).Unified
	if unified && !hasController(mountpoint, "cgroup.controllers", "memory") {
		c := create(t, Config{})
		if _, err := c.OOMEvents(t.Context()); text(err) != "watching for OOM: the cgroup has no memory controller" {
			t.Errorf("error %v", err)
		}
		return
	}
	limit := ptr(int64(48 << 20))
	c := create(t, Config{Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: limit, Swap: limit}}})
	cmd, stdin := inhabitant(t, c, "eat", nil)
	events, err := c.OOMEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if !receive(t, events) {
		t.Error("the channel was closed before an event")
	}
	if err := cmd.Wait(); text(err) != "signal: killed" {
		t.Errorf("process ended with %v, want signal: killed", err)
	}
	if n, err := c.OOMKills(); n != 1 || err != nil {
		t.Errorf("%d OOM kills, %v; want 1", n, err)
	}
	if err := c.Destroy(); err != nil {
		t.Fatal(err)
	}
	for receive(t, events) { // ends with the cgroup
	}
	if n, err := c.OOMKills(); n != 0 || err != nil {
		t.Errorf("%d OOM kills of a cgroup that is gone, %v; want 0", n, err)
	}
}

// What a cgroup counted that systemd has removed is told from the parent's count, and never twice.
func TestOOMOfARemovedCgroup(t *testing.T) {
	const removed = -1
	type counts struct{ own, parent, want int }
	for _, tt := range []struct {
		name     string
		looks    []counts // what is counted, in turn
		possible bool     // in the last one
	}{
		{"it was killed", []counts{{0, 0, 0}, {removed, 1, 0}}, true},
		{"it was killed twice, and once was seen", []counts{{0, 0, 0}, {1, 1, 1}, {removed, 2, 1}}, true},
		{"what was seen is not told again", []counts{{0, 0, 0}, {1, 1, 1}, {removed, 1, 1}}, false},
		{"seen before the parent counted it", []counts{{0, 5, 0}, {1, 5, 1}, {1, 5, 1}, {removed, 6, 1}}, false},
		{"others were killed before", []counts{{0, 7, 0}, {removed, 7, 0}}, false},
		{"others were killed meanwhile", []counts{{0, 7, 0}, {0, 8, 0}, {1, 9, 1}, {1, 11, 1}, {removed, 11, 1}}, false},
		{"others and it", []counts{{2, 7, 2}, {2, 8, 2}, {removed, 9, 2}}, true},
		{"the parent is gone, too", []counts{{0, 7, 0}, {removed, removed, 0}}, false},
		{"a parent that counts its own only", []counts{{0, 0, 0}, {1, 0, 1}, {removed, 0, 1}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := unifiedCounts{
				memory: countFile(t, "oom_kill", tt.looks[0].own), parent: countFile(t, "oom_kill", tt.looks[0].parent),
				life: countFile(t, "populated", 1), own: uint64(tt.looks[0].own),
			}
			for i, counts := range tt.looks {
				setCount(t, u.memory, "oom_kill", counts.own)
				setCount(t, u.parent, "oom_kill", counts.parent)
				last := counts.own == removed
				want := look{count: uint64(counts.want), possible: last && tt.possible, last: last}
				if got := u.look(); got != want {
					t.Errorf("look %d: %+v, want %+v", i, got, want)
				}
			}
		})
	}
}

// countFile makes a file like those of cgroups.
func countFile(t *testing.T, key string, count int) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "counts"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	setCount(t, f, key, count)
	return f
}

// setCount changes the file, or has it fail, as with a removed cgroup, when the count is below 0.
func setCount(t *testing.T, f *os.File, key string, count int) {
	t.Helper()
	if count < 0 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(f.Name(), []byte(fmt.Sprintf("max 3\n%s %d\n", key, count)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOOMWatchEndsWithItsContext(t *testing.T) {
	needControllers(t, []string{"memory"})
	c := create(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	events, err := c.OOMEvents(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for receive(t, events) {
	}
}

// receive reports whether there was an event; false when the channel is closed.
func receive(t *testing.T, events <-chan OOMEvent) bool {
	t.Helper()
	select {
	case _, ok := <-events:
		return ok
	case <-time.After(time.Minute):
		t.Fatal("timeout waiting for an OOM event")
		return false
	}
}
