//go:build engines

package docker

import (
	"os/exec"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// containerd's shim is killed while the runtime makes the container, or starts it, while it runs, or ends; docker cleans up.
func TestKilledShimLeavesNothing(t *testing.T) {
	if !engines.IsZbox() {
		t.Skip("runc leaves its cgroups")
	}
	begin(t)
	engines.Storm{
		Start: func(name string) *exec.Cmd {
			return client("run", "--network", "none", "--name", name, "img", "sleep", "0.1")
		},
		Victims: func(string) []int { return processes("containerd-shim") },
		CleanUp: removeContainer(t),
	}.Run(t, engines.Kills(t))
}

func removeContainer(t *testing.T) func(name string) {
	return func(name string) {
		t.Helper()
		docker(t, "rm", "-f", name)
		nothingLeft(t)
	}
}
