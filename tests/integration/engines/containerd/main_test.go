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
var ways = []struct {
	shim  string
	flags []string
}{
	{"stock", []string{"--runc-binary", engines.Zbox()}},
	{"own", []string{"--runtime", "io.containerd.zbox.v2"}},
}

// forEachShim runs the test with every shim, and fails it if anything of its containers stays. run is "run" with the shim's flags.
func forEachShim(t *testing.T, test func(t *testing.T, run []string)) {
	t.Helper()
	for _, way := range ways {
		t.Run(way.shim, func(t *testing.T) {
			before := len(daemon.Log())
			t.Cleanup(func() {
				removeAll(t)
				NothingLeft(t, Namespace, Namespace+"/*")
				if t.Failed() {
					t.Logf("containerd: %s", Complaints(daemon.Log()[before:]))
				}
			})
			test(t, append([]string{"run"}, way.flags...))
		})
	}
}
