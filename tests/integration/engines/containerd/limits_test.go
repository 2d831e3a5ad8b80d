//go:build engines

package containerd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// The reason of an exit is told before it, also where systemd makes the cgroups, and removes one as soon as it is empty, often before the shim has
// its turn: every second event of the stock shim is lost then. Without systemd it tells of them in any order.
func TestOutOfMemoryIsToldBeforeTheExit(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		run = with(run, "--rm", "--memory-limit", "16777216")
		const rounds = 10
		if told := outOfMemory(t, run, rounds); told != rounds {
			t.Errorf("%d of %d were told", told, rounds)
		}
		if engines.Managed() {
			if told := outOfMemory(t, with(configured(t, run, "SystemdCgroup = true"), "--cgroup", "engines.slice:zbox:oom"), rounds); told != rounds {
				t.Errorf("with systemd, %d of %d were told", told, rounds)
			}
		}
	})
}

// Each container ends while its shim is stopped, and systemd has removed the cgroup before the shim goes on.
func TestOutOfMemoryOfARemovedCgroup(t *testing.T) {
	if !engines.Managed() {
		t.Skip("needs systemd, as make vm-engines has it")
	}
	withOwnShim(t, func(t *testing.T, run []string) {
		seen := events(t)
		run = with(configured(t, run, "SystemdCgroup = true"), "-d", "--memory-limit", "16777216")
		start := func(id, script string, flags ...string) (signal func(sig unix.Signal)) {
			Must(t, with(with(run, flags...), "--cgroup", "engines.slice:zbox:"+id, Image, id, "sh", "-c", script)...)
			pid, err := strconv.Atoi(initOf(t, id))
			if err != nil {
				t.Fatal(err)
			}
			return func(sig unix.Signal) { _ = unix.Kill(pid, sig) } // it may have ended
		}
		// The signal is sent until the program listens to it.
		endUnseen := func(id string, signal func(unix.Signal), sig unix.Signal) {
			shims := Shims()
			if len(shims) == 0 {
				t.Fatal("there is no shim")
			}
			for _, pid := range shims {
				stop(t, pid)
			}
			engines.Eventually(t, "the cgroup of "+id+" is gone", func() bool {
				signal(sig)
				_, err := os.Stat("/sys/fs/cgroup/engines.slice/zbox-" + id + ".scope")
				return errors.Is(err, os.ErrNotExist)
			})
			for _, pid := range shims {
				if err := unix.Kill(pid, unix.SIGCONT); err != nil {
					t.Error(err)
				}
			}
			engines.Eventually(t, "the exit of "+id+" is told", func() bool { return about(seen(), "/tasks/exit", id) > 0 })
		}
		told := func(id string, want int, what string) {
			if n := about(seen(), "/tasks/oom", id); n != want {
				t.Errorf("%d OOM events of one %s, want %d", n, what, want)
			}
		}
		const eat = "dd if=/dev/zero of=/dev/null bs=64M"
		const forever = "while :; do sleep 0.1; done"

		signal := start("eater", "trap 'exec "+eat+"' USR1; "+forever)
		endUnseen("eater", signal, unix.SIGUSR1)
		told("eater", 1, "that ran out of memory")

		signal = start("neighbour", forever)
		endUnseen("neighbour", signal, unix.SIGKILL)
		told("neighbour", 0, "that somebody killed, in a slice where memory ran out before")

		signal = start("parent", eat+"; "+forever)
		engines.Eventually(t, "the child's end is told", func() bool { return about(seen(), "/tasks/oom", "parent") > 0 })
		endUnseen("parent", signal, unix.SIGKILL)
		told("parent", 1, "whose child ran out of memory, and that somebody killed")

		file := filepath.Join("/var/tmp", Namespace) // on a disk: what is read of it can be forgotten again
		t.Cleanup(func() { _ = os.Remove(file) })
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 40<<20)); err != nil {
			t.Fatal(err)
		}
		signal = start("toucher", "cat /file >/dev/null; : >/done; "+forever, "--mount", "type=bind,src="+file+",dst=/file,options=rbind:ro")
		engines.Eventually(t, "a file larger than the memory is read", func() bool {
			_, err := os.Stat(filepath.Join(Root(Namespace, "toucher"), "done"))
			return err == nil
		})
		if text, err := os.ReadFile("/sys/fs/cgroup/engines.slice/zbox-toucher.scope/memory.events"); err != nil || bytes.Contains(text, []byte("\nmax 0\n")) || !bytes.Contains(text, []byte("\noom_kill 0\n")) {
			t.Errorf("the limit was not touched, or not only: %q, %v", text, err)
		}
		endUnseen("toucher", signal, unix.SIGKILL)
		told("toucher", 0, "that only touched its limit")
	})
}

// stop stops a process, and waits until all its threads have.
func stop(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	engines.Eventually(t, "the shim is stopped", func() bool {
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // the only error is a bad pattern
		return !slices.ContainsFunc(stats, func(stat string) bool {
			text, err := os.ReadFile(stat)
			return err == nil && !bytes.Contains(text, []byte(") T "))
		})
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
