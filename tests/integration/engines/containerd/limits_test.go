//go:build engines

package containerd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// limits are files of a container's cgroup, below its hierarchy on cgroup v1 and below the cgroup on v2.
func limits(t *testing.T, v1, v2 map[string]string) {
	t.Helper()
	files := v1
	if unified() {
		files = v2
	}
	for file, want := range files {
		text, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", strings.ReplaceAll(file, "CGROUP", Namespace+"/limited")))
		if err != nil || strings.TrimSpace(string(text)) != want {
			t.Errorf("%s: %q (%v), want %s", file, text, err, want)
		}
	}
}

func TestLimitsAndMetrics(t *testing.T) {
	forEachShim(t, func(t *testing.T, run []string) {
		Must(t, with(run, "-d", "--memory-limit", "33554432", "--cpu-quota", "50000", "--cpu-period", "100000", "--cpu-shares", "512",
			Image, "limited", "sleep", "1000")...)
		limits(t, map[string]string{
			"memory/CGROUP/memory.limit_in_bytes": "33554432", "cpu/CGROUP/cpu.cfs_quota_us": "50000", "cpu/CGROUP/cpu.shares": "512",
		}, map[string]string{"CGROUP/memory.max": "33554432", "CGROUP/cpu.max": "50000 100000", "CGROUP/cpu.weight": "59"})
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(Must(t, "tasks", "metrics", "--format", "json", "limited"))); err != nil {
			t.Fatal(err)
		}
		text := compact.String()
		if !strings.Contains(text, `"usage_limit":33554432`) && !strings.Contains(text, `"limit":33554432`) {
			t.Errorf("metrics without the memory limit: %s", text)
		}
		if !strings.Contains(text, `"pids":{"current":1`) {
			t.Errorf("metrics without the one process: %s", text)
		}
	})
}

// events collects containerd's events from now on; the returned function gives those that have come, a line each.
func events(t *testing.T) func() []string {
	t.Helper()
	var out lockedBuffer
	cmd := Ctr("events")
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Its subscription is there when it shows an event.
	engines.Eventually(t, "ctr events shows events", func() bool {
		Must(t, "namespaces", "label", Namespace, "test=events")
		return out.String() != ""
	})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGKILL)
		_ = cmd.Wait()
	})
	return func() []string { return strings.Split(out.String(), "\n") }
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// about counts the events of a topic and container.
func about(events []string, topic, id string) int {
	n := 0
	for _, event := range events {
		if strings.Contains(event, topic+" {") && strings.Contains(event, `"container_id":"`+id+`"`) {
			n++
		}
	}
	return n
}

// unified reports whether there is cgroup v2 alone.
func unified() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// On cgroup v2 there is an event for each process that the kernel killed, and no other. (On v1 the kernel tells of memory that ran out, which it
// may do several times until it kills.) The stock shim begins to watch a container only after its start, and would not see it end at once.
func TestOutOfMemory(t *testing.T) {
	forEachWay(t, func(t *testing.T, w way) {
		seen := events(t)
		Must(t, with(w.run(), "-d", "--memory-limit", "16777216", Image, "oom", "sleep", "1000")...)
		for kills := 1; kills <= 2; kills++ {
			res := Run(t, "tasks", "exec", "--exec-id", fmt.Sprint("eater-", kills), "oom", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M")
			if res.Code != 137 {
				t.Errorf("exit %d, want 137: %s%s", res.Code, res.Stdout, res.Stderr)
			}
			engines.Eventually(t, "there is an OOM event", func() bool { return about(seen(), "/tasks/oom", "oom") >= kills })
		}
		Must(t, "tasks", "rm", "-f", "oom")
		Must(t, "containers", "rm", "oom")
		if !w.losesEvents {
			engines.Eventually(t, "the task's end is told", func() bool { return about(seen(), "/tasks/delete", "oom") > 0 })
		}
		if n := about(seen(), "/tasks/oom", "oom"); unified() && n != 2 {
			t.Errorf("%d OOM events, want 2", n)
		}
	})
}

// The reason of an exit is told before it. Where systemd makes the cgroups, it removes one as soon as it is empty, and with it now and then the
// reason. The stock shim tells of them in any order.
func TestOutOfMemoryIsToldBeforeTheExit(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		run = with(run, "--rm", "--memory-limit", "16777216")
		const rounds = 10
		if told := outOfMemory(t, run, rounds); told != rounds {
			t.Errorf("%d of %d were told", told, rounds)
		}
		if engines.Managed() {
			told := outOfMemory(t, with(configured(t, run, "SystemdCgroup = true"), "--cgroup", "engines.slice:zbox:oom"), rounds)
			t.Logf("with systemd, %d of %d were told", told, rounds)
		}
	})
}

// outOfMemory runs containers whose only process is killed for lack of memory, and counts of how many it was told, and before the exit.
func outOfMemory(t *testing.T, run []string, rounds int) (told int) {
	t.Helper()
	for range rounds {
		seen := events(t)
		if res := Run(t, with(run, Image, "oom", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M")...); res.Code != 137 {
			t.Errorf("exit %d, want 137: %s%s", res.Code, res.Stdout, res.Stderr)
		}
		engines.Eventually(t, "the task's end is told", func() bool { return about(seen(), "/tasks/delete", "oom") > 0 })
		lines := seen()
		place := func(topic string) int {
			return slices.IndexFunc(lines, func(line string) bool { return about([]string{line}, topic, "oom") > 0 })
		}
		oom, exit := place("/tasks/oom"), place("/tasks/exit")
		if oom > exit {
			t.Errorf("of the events, the OOM is number %d, the exit %d: %q", oom, exit, lines)
		}
		if oom >= 0 {
			told++
		}
	}
	return told
}

func TestEventsOfALife(t *testing.T) {
	forEachWay(t, func(t *testing.T, w way) {
		all := events(t)
		Must(t, with(w.run(), "-d", Image, "life", "sleep", "1000")...)
		Must(t, "tasks", "exec", "--exec-id", "e", "life", "true")
		Must(t, "tasks", "pause", "life")
		Must(t, "tasks", "resume", "life")
		Must(t, "tasks", "rm", "-f", "life")
		wants := map[string]int{
			"/tasks/create": 1, "/tasks/start": 1, "/tasks/exec-added": 1, "/tasks/exec-started": 1, "/tasks/paused": 1, "/tasks/resumed": 1,
			"/tasks/exit":   2, // of the container and of the exec
			"/tasks/delete": 1,
		}
		last := "/tasks/delete"
		if w.losesEvents {
			delete(wants, last)
			last = "/tasks/exit"
		}
		engines.Eventually(t, "the task's end is told", func() bool { return about(all(), last, "life") >= wants[last] })
		seen := all()
		for topic, want := range wants {
			if n := about(seen, topic, "life"); n != want {
				t.Errorf("%d events %s, want %d, among %q", n, topic, want, seen)
			}
		}
	})
}
