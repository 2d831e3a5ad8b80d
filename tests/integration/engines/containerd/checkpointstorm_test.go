//go:build engines

package containerd

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"

	"github.com/bxrne/zbox/tests/integration"
	"github.com/bxrne/zbox/tests/integration/engines"
)

// criuProcesses counts those of CRIU, wherever they are.
func criuProcesses() (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/comm") // the only error is a bad pattern
	for _, file := range files {
		if name, _ := os.ReadFile(file); string(name) == "criu\n" {
			n++
		}
	}
	return n
}

// killMeanwhile kills the shims at a random moment of what CRIU does, which takes no longer than that, and looks for what is left.
func (w way) killMeanwhile(t *testing.T, trace string, longest time.Duration, do func()) {
	t.Helper()
	before := traceOf(trace)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	engines.Eventually(t, "CRIU has begun", func() bool { return traceOf(trace) != before })
	time.Sleep(rand.N(longest)) // the moment is what is random
	for _, pid := range Shims() {
		engines.Kill(t, pid)
	}
	<-done
	engines.Eventually(t, "containerd has cleaned up", func() bool { return Must(t, "tasks", "ls", "-q") == "" })
	removeAll(t)
	if w.leavesSocket {
		RemoveSockets(t)
	}
	NothingLeft(t, Namespace, Namespace+"/*")
	engines.Eventually(t, "CRIU has ended", func() bool { return criuProcesses() == 0 })
}

func TestShimsKilledDuringCheckpointsLeaveNothing(t *testing.T) {
	integration.NeedsCriu(t)
	forEachWay(t, func(t *testing.T, w way) {
		w.needsCriuPath(t)
		api := dial(t)
		program, trace := wrapper(t)
		calm := fresh("calm")
		startCounting(t, w, calm, program)
		began := time.Now()
		if _, err := api.checkpoint(calm, nil); err != nil {
			t.Fatal(err)
		}
		longest := time.Since(began)
		removeAll(t)
		for i := range engines.Kills(t) {
			id := fresh("storm")
			startCounting(t, w, id, program)
			w.killMeanwhile(t, trace, longest, func() {
				_, _ = api.checkpoint(id, &options.CheckpointOptions{Exit: i%2 == 0}) // which may have come before
			})
		}
		t.Logf("within %v", longest)
	})
}

func TestShimsKilledDuringRestoresLeaveNothing(t *testing.T) {
	integration.NeedsCriu(t)
	forEachWay(t, func(t *testing.T, w way) {
		w.needsCriuPath(t)
		api, dir := dial(t), t.TempDir()
		program, trace := wrapper(t)
		calm := fresh("calm")
		startCounting(t, w, calm, program)
		o := w.options(program)
		o.CriuImagePath = imageByHand(t, calm)
		Must(t, "tasks", "rm", "-f", calm)
		api.createTask(calm, filepath.Join(dir, calm), nil, o)
		began := time.Now()
		if _, err := api.start(calm); err != nil {
			t.Fatal(err)
		}
		longest := time.Since(began)
		removeAll(t)
		for range engines.Kills(t) {
			id := fresh("storm")
			w.create(t, id, "sh", "-c", counting)
			api.createTask(id, filepath.Join(dir, id), nil, o)
			w.killMeanwhile(t, trace, longest, func() {
				_, _ = api.start(id) // which may have come before
			})
		}
		t.Logf("within %v", longest)
	})
}
