package sandbox

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// runFor runs a script and returns what it left, with its outcome.
func runFor(t *testing.T, r *integration.Runtime, b box, script string) (integration.Result, outcome) {
	t.Helper()
	result := filepath.Join(t.TempDir(), "result.json")
	res := r.Do("-c", b.write(t), "--result", result, "--", "sh", "-c", script)
	return res, readOutcome(t, result)
}

func TestTimeoutKillsTheWholeTree(t *testing.T) {
	r := integration.New(t)
	b := newBox(t, r)
	// Detached in every way: another session, an orphan, a process that ignores what can be ignored. CheckLeaks sees to their end.
	// The time is one in which all are there, also on a busy machine, and far below theirs.
	res, o := runFor(t, r, b.with("timeout_seconds", 5),
		`trap '' TERM HUP INT; setsid sleep 1000 & (sleep 1001 &) ; (trap '' TERM; exec sleep 1002) & echo started; sleep 1003`)
	if res.Code != 124 || res.Stdout != "started\n" {
		t.Errorf("exit code %d, output %q, want 124", res.Code, res.Stdout)
	}
	if want := "zbox: warning: " + o.ID + ": killed after 5 s (timeout_seconds)\n"; res.Stderr != want {
		t.Errorf("said %q, want %q", res.Stderr, want)
	}
	if o.Reason != "timeout" || o.ExitCode != 124 || o.Signal != "SIGKILL" || o.WallSeconds < 5 || o.WallSeconds > 500 {
		t.Errorf("outcome %+v", o)
	}
}

func TestTimeoutThatIsNotReachedChangesNothing(t *testing.T) {
	r := integration.New(t)
	res, o := runFor(t, r, newBox(t, r).with("timeout_seconds", 100), "exit 7")
	if res.Code != 7 || res.Stderr != "" || o.Reason != "exit" || o.ExitCode != 7 || o.Signal != "" {
		t.Errorf("exit code %d, %q, outcome %+v", res.Code, res.Stderr, o)
	}
}

func TestOutOfMemoryIsSaid(t *testing.T) {
	r := integration.New(t)
	res, o := runFor(t, r, newBox(t, r).with("memory_limit_mb", 16), "head -c 64m /dev/zero | tail -c 60m >/dev/null; exit 3")
	if !strings.Contains(res.Stderr, ": out of memory: the kernel killed ") || !strings.Contains(res.Stderr, "(memory_limit_mb is 16)") {
		t.Errorf("said %q", res.Stderr)
	}
	if o.Reason != "out_of_memory" || o.OOMKills == 0 || o.MemoryPeakBytes < 15<<20 || o.MemoryPeakBytes > 16<<20 || o.ExitCode != res.Code {
		t.Errorf("exit code %d, outcome %+v", res.Code, o)
	}
}

func TestPidsLimitIsAppliedAndSaid(t *testing.T) {
	r := integration.New(t)
	res, o := runFor(t, r, newBox(t, r).with("pids_limit", 5), "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo done")
	if !strings.Contains(res.Stderr, ": too many processes: the kernel refused 1 new one (pids_limit is 5)\n") || strings.Contains(res.Stdout, "done") {
		t.Errorf("said %q, output %q", res.Stderr, res.Stdout)
	}
	if o.Reason != "pids_limit" || o.PidsLimitHits != 1 {
		t.Errorf("outcome %+v", o)
	}
}

func TestOutcomeCountsTimeAndNamesTheSignal(t *testing.T) {
	r := integration.New(t)
	res, o := runFor(t, r, newBox(t, r), "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; kill -ABRT $$; sh -c 'kill -ABRT 1'; exit 5")
	// Process 1 is spared by signals of its own namespace that it does not catch.
	if res.Code != 5 || res.Stderr != "" || o.Reason != "exit" {
		t.Errorf("exit code %d, %q, outcome %+v", res.Code, res.Stderr, o)
	}
	if o.CPUSeconds <= 0 || o.CPUSeconds > o.WallSeconds*3 || o.MemoryPeakBytes == 0 {
		t.Errorf("outcome %+v", o)
	}
}

func TestLimitsAreThoseOfTheFile(t *testing.T) {
	r := integration.New(t)
	b := newBox(t, r).with("memory_limit_mb", 48).with("memory_swap_mb", 16).with("pids_limit", 77).with("cpu_limit_percent", 25)
	files, want := "memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us", fmt.Sprintf("%d\n%d\n77\n50000\n100000\n", 48<<20, 64<<20)
	if integration.CgroupV2() {
		files, want = "memory.max memory.swap.max memory.oom.group pids.max cpu.max", fmt.Sprintf("%d\n%d\n1\n77\n50000 100000\n", 48<<20, 16<<20)
	}
	if res := r.Do("-c", b.write(t), "--", "sh", "-c", "cd /sys/fs/cgroup; cat "+files); res.Stdout != want || res.Stderr != "" {
		t.Errorf("got %q, %q, want %q", res.Stdout, res.Stderr, want)
	}
}

func TestResultThatCannotBeWrittenIsFoundBeforeTheStart(t *testing.T) {
	r := integration.New(t)
	res := r.Do("-c", newBox(t, r).write(t), "--result", "/nonexistent/result.json", "--", "sh", "-c", "echo ran")
	if res.Code != 1 || res.Stdout != "" || res.Stderr != "zbox: opening --result: open /nonexistent/result.json: no such file or directory\n" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
}

func TestResultTellsWhyNothingRan(t *testing.T) {
	r := integration.New(t)
	result := filepath.Join(t.TempDir(), "result.json")
	res := r.Do("-c", newBox(t, r).with("binary", "/nonexistent/program").write(t), "--result", result)
	if o := readOutcome(t, result); o.Reason != "error" || o.ExitCode != 1 || !strings.Contains(o.Error, "binary: /nonexistent/program: no such file or directory") {
		t.Errorf("outcome %+v", o)
	}
	if res.Code != 1 {
		t.Errorf("exit code %d", res.Code)
	}
}
