//go:build engines

package podman

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// conmon is killed while the runtime makes the container, or starts it, while it runs, or ends. Where it had not told podman of the
// container yet, or podman ends a container whose conmon is gone, podman 4.3 has no runtime delete it, with runc neither: what
// may be left is a container that the runtime knows of and removes.
func TestKilledConmonLeavesWhatDeleteRemoves(t *testing.T) {
	if engines.Name() == "runc" {
		t.Skip("runc leaves its cgroups")
	}
	forEachUser(t, func(e *engine) {
		kept := 0
		engines.Storm{
			Start: func(name string) *exec.Cmd {
				return e.podman("run", "-d", "--network", "none", "--name", name, "img", "sleep", "0.2")
			},
			Victims: conmons,
			CleanUp: func(name string) {
				// The first rm of a container that ended meanwhile finds that it is not running, says so and fails.
				engines.Eventually(e.t, "podman removes "+name, func() bool {
					return engines.Run(e.t, e.podman("rm", "-f", "-i", "-t", "0", name)).Code == 0
				})
				kept += e.deleteForgotten()
				e.stopScopes()
				e.nothingLeft()
			},
		}.Run(e.t, engines.Kills(t))
		e.t.Logf("podman left %d of %d containers to the runtime", kept, engines.Kills(t))
	})
}

// stopScopes ends the units of the killed conmons: systemd never finds one empty whose process died while it was moved there.
func (e *engine) stopScopes() {
	e.t.Helper()
	if !engines.Managed() {
		return
	}
	const units = "libpod-conmon-*.scope"
	cmd := exec.Command("systemctl", "stop", units)
	if e.user != nil {
		cmd = exec.Command("systemctl", "--user", "stop", units)
		e.user.Dress(cmd)
	}
	if res := engines.Run(e.t, cmd); res.Code != 0 {
		e.t.Errorf("stopping %s: %s", units, res.Stderr)
	}
}

// deleteForgotten deletes the containers that podman does not know any more but the runtime does.
func (e *engine) deleteForgotten() int {
	e.t.Helper()
	ids := strings.Fields(engines.Run(e.t, e.runtime("list", "-q")).Stdout)
	for _, id := range ids {
		if res := engines.Run(e.t, e.runtime("delete", "--force", id)); res.Code != 0 {
			e.t.Errorf("delete --force: %s", res.Stderr)
		}
	}
	return len(ids)
}

// conmons are the processes of conmon for the container name.
func conmons(name string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		args := strings.Split(string(text), "\x00")
		for i := range args[:len(args)-1] {
			if filepath.Base(args[0]) == "conmon" && args[i] == "-n" && args[i+1] == name {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
