//go:build engines

package docker

import (
	"strconv"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// docker saves containers only as an experiment. 20.10 now and then fails to start one from there before it calls the runtime, because its containerd
// has not yet forgotten the same checkpoint (moby/moby#42900).
func TestCheckpoint(t *testing.T) {
	if !engines.Managed() {
		t.Skip("needs CRIU, and a kernel that Debian's can work with; runs in tests/vm")
	}
	begin(t)
	stop()
	if err := startWith("--config-file", configFile, "--experimental"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again(t) })
	docker(t, "run", "-d", "--name", "saved", "--network", "none", "img", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done")
	lines := func() int { return len(strings.Fields(docker(t, "logs", "saved"))) }
	engines.Eventually(t, "it has counted", func() bool { return lines() > 2 })
	docker(t, "checkpoint", "create", "--leave-running", "saved", "one")
	before := lines()
	engines.Eventually(t, "it counts on behind the checkpoint", func() bool { return lines() > before })
	docker(t, "checkpoint", "create", "saved", "two")
	check(t, engines.Case{Args: `wait saved`, Stdout: "137"})
	saved := lines()
	engines.Eventually(t, "docker starts it from the checkpoint", func() bool {
		res := engines.Run(t, client("start", "--checkpoint", "two", "saved"))
		if res.Code != 0 && !strings.Contains(res.Stderr, "already exists") {
			t.Errorf("start: exit %d: %s", res.Code, res.Stderr)
			return true
		}
		return res.Code == 0
	})
	engines.Eventually(t, "it counts on", func() bool { return lines() > saved })
	for i, line := range strings.Fields(docker(t, "logs", "saved")) {
		if line != strconv.Itoa(i+1) {
			t.Errorf("line %d of the log is %q", i+1, line)
			break
		}
	}
	check(t, engines.Case{Args: `exec saved echo inside`, Stdout: "inside"})
	if list := docker(t, "checkpoint", "ls", "saved"); !strings.Contains(list, "one") || !strings.Contains(list, "two") {
		t.Errorf("checkpoints: %q", list)
	}
}
