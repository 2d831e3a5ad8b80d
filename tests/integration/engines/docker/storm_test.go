//go:build engines

package docker

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// containerd's shim is killed while the runtime makes the container, or starts it, while it runs, or ends; docker cleans up.
func TestKilledShimLeavesNothing(t *testing.T) {
	if !engines.IsZbox() {
		t.Skip("runc leaves its cgroups")
	}
	begin(t)
	for i := range engines.Kills(t) {
		name := fmt.Sprintf("k%d", i)
		cmd := client("run", "--network", "none", "--name", name, "img", "sleep", "0.1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		over := engines.Over(cmd) // docker says that the container has failed, or not if it was over
		engines.Eventually(t, name+" has a shim", func() bool { return len(processes("containerd-shim")) > 0 || over(0) })
		time.Sleep(time.Duration(rand.Intn(250)) * time.Millisecond) // the moment is what is random
		for _, pid := range processes("containerd-shim") {
			engines.Kill(t, pid)
		}
		if !over(time.Minute) {
			t.Errorf("docker run of %s does not end", name)
		}
		docker(t, "rm", "-f", name)
		nothingLeft(t)
	}
}
