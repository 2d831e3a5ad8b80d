package cgroup

import (
	"context"
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
func receive(t *testing.T, events <-chan struct{}) bool {
	t.Helper()
	select {
	case _, ok := <-events:
		return ok
	case <-time.After(time.Minute):
		t.Fatal("timeout waiting for an OOM event")
		return false
	}
}
