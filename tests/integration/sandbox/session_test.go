package sandbox

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// readable lets everybody read what was written for root alone.
func readable(t *testing.T, file string) string {
	t.Helper()
	for path := file; path != os.TempDir(); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// A user with a session gets every limit without asking for anything: zbox finds the systemd of the session.
func TestSandboxOfAUserIsLimitedByTheirSession(t *testing.T) {
	integration.NeedsSystemd(t)
	r := integration.NewAs(t, integration.NeedsUser(t, "tester"))
	config := readable(t, newBox(t, r).write(t))
	script := "cd /sys/fs/cgroup && cat memory.max memory.swap.max pids.max cpu.max memory.oom.group"
	if got, want := r.Must("-c", config, "--", "sh", "-c", script), "67108864\n0\n512\n200000 100000\n1\n"; got != want {
		t.Errorf("limits inside are %q, want %q", got, want)
	}
	if res := r.Do("-c", config, "--", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M count=1"); res.Code != 137 {
		t.Errorf("using 200 MiB under a limit of 64 MiB ended with %d: %s, want 137", res.Code, res.Stderr)
	}
}
