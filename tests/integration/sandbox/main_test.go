package sandbox

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

func TestMain(m *testing.M) { integration.Main(m) }

// box is a configuration that a test changes.
type box map[string]any

// newBox is a sandbox of busybox that is large enough for any test.
func newBox(t *testing.T, r *integration.Runtime) box {
	t.Helper()
	integration.ZboxOnly(t, "a sandbox is described by zbox's own configuration")
	integration.NeedsControllers(t)
	return box{
		"name": r.Marker, "binary": "/bin/busybox", "root": filepath.Join(t.TempDir(), "none"),
		"cpu_cores": 2, "cpu_limit_percent": 100, "memory_limit_mb": 64,
	}
}

// with is b with one more or another value.
func (b box) with(field string, value any) box {
	b = maps.Clone(b)
	b[field] = value
	return b
}

// write makes the file.
func (b box) write(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sandbox.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// outcome is what --result writes.
type outcome struct {
	ID              string  `json:"id"`
	ExitCode        int     `json:"exit_code"`
	Signal          string  `json:"signal"`
	Reason          string  `json:"reason"`
	Error           string  `json:"error"`
	WallSeconds     float64 `json:"wall_seconds"`
	CPUSeconds      float64 `json:"cpu_seconds"`
	MemoryPeakBytes uint64  `json:"memory_peak_bytes"`
	OOMKills        uint64  `json:"oom_kills"`
	PidsLimitHits   uint64  `json:"pids_limit_hits"`
}

func readOutcome(t *testing.T, path string) outcome {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var o outcome
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return o
}
