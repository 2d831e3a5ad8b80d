//go:build engines

package containerd

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// storm runs a container, and kills something at a random moment after begun, again and again.
func storm(t *testing.T, run []string, seconds string, begun func() bool, kill func(t *testing.T)) {
	t.Helper()
	for i := range engines.Kills(t) {
		ran := make(chan engines.Result, 1)
		go func() { ran <- Run(t, with(run, "--rm", Image, fmt.Sprintf("storm-%d", i), "sleep", seconds)...) }()
		for deadline := time.Now().Add(patience); !begun() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		delay := rand.N(150 * time.Millisecond) // such a container lives that long
		time.Sleep(delay)
		kill(t)
		<-ran // whatever became of it
		removeAll(t)
		NothingLeft(t, Namespace, Namespace+"/*")
		if t.Failed() {
			t.Fatalf("in round %d, after %v", i, delay)
		}
	}
}

// It fails with runc, which leaves cgroups when it is killed with the shim.
func TestKilledShimsLeaveNothing(t *testing.T) {
	forEachWay(t, func(t *testing.T, w way) {
		killed := 0
		atOnce := func() bool { return true }
		storm(t, with([]string{"run"}, w.flags...), "0.05", atOnce, func(t *testing.T) {
			for _, pid := range Shims() {
				engines.Kill(t, pid)
				killed++
			}
			if w.leavesSocket {
				removeSockets(t)
			}
		})
		t.Logf("%d shims were there to be killed", killed)
	})
}

// removeSockets removes what killed shims leave, whose sockets are the only ones: the storm runs one container at a time.
func removeSockets(t *testing.T) {
	t.Helper()
	engines.Eventually(t, "the killed shims are gone", func() bool { return len(Shims()) == 0 })
	sockets, _ := filepath.Glob(shims + "/*") // the only error is a bad pattern
	for _, socket := range sockets {
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
}

// A containerd 1.6 that is killed while it creates or deletes the task forgets the shim, whatever the runtime: it is killed between.
func TestKilledContainerdLeavesNothing(t *testing.T) {
	forEachShim(t, func(t *testing.T, run []string) {
		hasTask := func() bool {
			return Run(t, "tasks", "ls", "-q").Stdout != ""
		}
		storm(t, run, "1000", hasTask, func(t *testing.T) {
			if err := daemon.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := daemon.Restart(); err != nil {
				t.Fatal(err)
			}
			engines.Eventually(t, "every shim shows its task", func() bool {
				return len(strings.Fields(Must(t, "tasks", "ls", "-q"))) == len(Shims())
			})
		})
	})
}

func TestContainersSurviveContainerd(t *testing.T) {
	forEachShim(t, func(t *testing.T, run []string) {
		Must(t, with(run, "-d", Image, "life", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")...)
		if err := daemon.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := daemon.Restart(); err != nil {
			t.Fatal(err)
		}
		engines.Case{Args: "tasks exec --exec-id e life echo here", Stdout: "here"}.Check(t, client()...)
		Must(t, "tasks", "kill", "-s", "15", "life")
		engines.Eventually(t, "the task has stopped", func() bool { return status(t, "life") == "STOPPED" })
		engines.Case{Args: "tasks rm life", Stderr: "exit code 7"}.Check(t, client()...)
	})
}
