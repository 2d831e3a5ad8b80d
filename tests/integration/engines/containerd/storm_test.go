//go:build engines

package containerd

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// It fails with runc, which leaves cgroups when it is killed with the shim. containerd has nothing deleted of a shim that it could not start: what
// such a one of zbox leaves, the next one removes.
func TestKilledShimsLeaveNothing(t *testing.T) {
	forEachWay(t, func(t *testing.T, w way) {
		run, rounds, forgotten := with([]string{"run"}, w.flags...), 0, 0
		engines.Storm{
			Start: func(name string) *exec.Cmd {
				return Ctr(append(with(run), "--rm", Image, name, "sleep", "0.05")...)
			},
			Victims: func(string) []int { return Shims() },
			CleanUp: func(string) {
				rounds++
				if w.leavesSocket {
					forgotten += RemoveSockets(t)
				} else if Sockets(t) > 0 {
					forgotten++
					Must(t, append(with(run), "--rm", Image, "next", "true")...)
				}
				removeAll(t)
				NothingLeft(t, Namespace, Namespace+"/*")
			},
		}.Run(t, engines.Kills(t))
		t.Logf("in %d rounds, %d killed shims were forgotten", rounds, forgotten)
	})
}

// With the shim of zbox, containerd is killed at any moment. While it creates or deletes a task, a containerd 1.6 forgets the stock shim,
// whatever the runtime: with that it is killed between.
func TestKilledContainerdLeavesNothing(t *testing.T) {
	forEachWay(t, func(t *testing.T, w way) {
		for i := range engines.Kills(t) {
			over := engines.Over(started(t, Ctr(with(w.run(), "--rm", Image, fmt.Sprintf("storm-%d", i), "sleep", "0.1")...)))
			moment := rand.N(250 * time.Millisecond) // a run takes about as long
			if w.leavesSocket {
				engines.Eventually(t, "the container has a task", func() bool { return Run(t, "tasks", "ls", "-q").Stdout != "" })
				moment = rand.N(60 * time.Millisecond)
			}
			time.Sleep(moment)
			if err := errors.Join(daemon.Kill(), daemon.Restart()); err != nil {
				t.Fatal(err)
			}
			removeAll(t)
			if !over(engines.Patience) { // ctr has lost its containerd
				t.Error("the call that runs the container does not end")
			}
			removeAll(t)
			NothingLeft(t, Namespace, Namespace+"/*")
			if t.Failed() {
				t.Fatalf("in round %d, killed after %v", i, moment)
			}
		}
	})
}

func started(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
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
