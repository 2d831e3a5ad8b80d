package crash

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// preparing are the system calls that make a sandbox's bundle and the root file system that is kept for the next ones.
var preparing = map[string]bool{"mkdirat": true, "symlinkat": true, "fchownat": true, "fchmodat": true, "renameat": true, "flock": true}

// What a zbox that was killed has half made goes with the next sandbox, which has all its files.
func TestKillWhileASandboxIsPrepared(t *testing.T) {
	integration.ZboxOnly(t, "a sandbox is described by zbox's own configuration")
	integration.NeedsControllers(t)
	config := filepath.Join(t.TempDir(), "sandbox.json")
	text, err := json.Marshal(map[string]any{
		"name": "crash", "binary": "/bin/busybox", "root": "/nonexistent", "cpu_cores": 1, "cpu_limit_percent": 100, "memory_limit_mb": 64,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	arguments := func(id string) []string {
		return []string{"run", "-c", config, id, "--", "sh", "-c", "busybox find /bin /etc -exec busybox stat -c '%N %A %u:%g %s' {} + | sort; cat /etc/*"}
	}
	var all trace
	var want string
	t.Run("undisturbed", func(t *testing.T) {
		r := integration.New(t)
		seen, res := kill(t, r, point{}, 0, arguments(r.ID("crash"))...)
		if all, want = seen, res.Stdout; seen.Code != 0 || want == "" {
			t.Fatalf("exit %d: %s", seen.Code, res.Stderr)
		}
	})
	points, killed, halves := 0, 0, 0
	for i, p := range all.Points {
		if p.Actor != zbox || !preparing[p.Call] || p.Call == "fchownat" && i%4 != 0 || p.Call == "symlinkat" && i%4 != 0 {
			continue
		}
		points++
		t.Run(p.String(), func(t *testing.T) {
			r := integration.New(t) // which looks for what is left behind in the end
			id := r.ID("crash")
			if seen, _ := kill(t, r, p, 0, arguments(id)...); seen.Killed {
				killed++
			}
			if left, err := filepath.Glob(filepath.Join(r.Root, ".roots/new-*")); err == nil && len(left) > 0 {
				halves++
			}
			r.Must("delete", "--force", id)
			if got := r.Must(arguments(r.ID("next"))...); got != want {
				t.Errorf("the next sandbox: %q, want %q", got, want)
			}
			if left, err := os.ReadDir(filepath.Join(r.Root, ".roots")); err != nil || len(left) != 1 {
				t.Errorf("%v, %v, want one that is finished", left, err)
			}
		})
	}
	if killed < 20 || killed < points*9/10 || halves < 5 {
		t.Errorf("killed at %d of %d points, %d times with a root half made", killed, points, halves)
	}
}
