//go:build engines

package containerd

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

var daemon *Daemon

func TestMain(m *testing.M) {
	engines.Enter(m, func() (func(), error) {
		d, err := Start("")
		daemon = d
		return func() {
			if err := errors.Join(d.Stop(), RemoveCgroups(Namespace)); err != nil {
				fmt.Fprintf(os.Stderr, "ending containerd: %v\n", err)
			}
		}, err
	})
}

// ways are the shims that containerd runs containers with, as flags of "ctr run".
var ways = []way{
	{shim: "stock", flags: []string{"--runc-binary", engines.Zbox()}, leavesSocket: true, losesOutput: true, losesEvents: os.Getenv("CONTAINERD") != ""},
	{shim: "own", flags: []string{"--runtime", "io.containerd.zbox.v2"}},
}

type way struct {
	shim         string
	flags        []string
	leavesSocket bool // when it is killed, whatever the runtime
	// losesOutput: ctr gives up a FIFO that it has not opened yet when a short container has ended, on a busy machine, whatever the runtime.
	losesOutput bool
	// losesEvents: containerd 2.2's shim may end before it has told of the deletion, on a busy machine.
	losesEvents bool
}

// run is "run" with the shim's flags.
func (w way) run() []string { return append([]string{"run"}, w.flags...) }

// check checks a command line of ctr.
func (w way) check(t *testing.T, c engines.Case) {
	t.Helper()
	if w.losesOutput {
		c.CheckLossy(t, Ctr)
		return
	}
	c.CheckAs(t, Ctr)
}

// forEachShim runs the test with every shim, and fails it if anything of its containers stays. run is "run" with the shim's flags.
func forEachShim(t *testing.T, test func(t *testing.T, run []string)) {
	t.Helper()
	forEachWay(t, func(t *testing.T, w way) { test(t, w.run()) })
}

func forEachWay(t *testing.T, test func(t *testing.T, w way)) {
	t.Helper()
	for _, w := range ways {
		t.Run(w.shim, func(t *testing.T) {
			before := len(daemon.Log())
			t.Cleanup(func() {
				removeAll(t)
				NothingLeft(t, Namespace, Namespace+"/*")
				if t.Failed() {
					t.Logf("containerd: %s", Complaints(daemon.Log()[before:]))
				}
			})
			test(t, w)
		})
	}
}
