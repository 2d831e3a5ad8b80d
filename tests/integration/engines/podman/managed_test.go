//go:build engines

package podman

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// needsSystemd is for tests of what only a machine with systemd and cgroup v2 has.
func needsSystemd(t *testing.T) {
	t.Helper()
	if !engines.Managed() {
		t.Skip("needs systemd and cgroup v2; runs in tests/vm")
	}
}

func TestLimitsWithBothCgroupManagers(t *testing.T) {
	needsSystemd(t)
	forEachUser(t, func(e *engine) {
		show, want := engines.Limits("33", "31457280", "50000")
		for _, manager := range []string{"systemd", "cgroupfs"} {
			e.check(engines.Case{
				Args:   `--cgroup-manager ` + manager + ` run --rm --network none --pids-limit 33 --memory 30m --cpus 0.5 img sh -c '` + show + `'`,
				Stdout: want,
			})
			id := e.must("--cgroup-manager", manager, "run", "-d", "--network", "none", "img", "sleep", "1000")
			path := e.must("inspect", "--format", "{{.State.CgroupPath}}", id)
			if scope := strings.HasSuffix(path, "libpod-"+id+".scope") || strings.HasSuffix(path, "libpod-"+id+".scope/container"); scope != (manager == "systemd") {
				e.t.Errorf("with %s the cgroup is %s", manager, path)
			}
		}
	})
}

// --cgroups=split puts the container below the caller's own unit.
func TestCgroupsSplit(t *testing.T) {
	needsSystemd(t)
	forEachUser(t, func(e *engine) {
		cmd := e.podman("run", "-d", "--cgroups", "split", "--network", "none", "img", "sleep", "1000")
		scope := []string{"systemd-run", "--quiet", "--scope", "--property", "Delegate=yes", "--unit", "engines-split"}
		if e.user != nil {
			scope = append(scope, "--user")
		}
		split := exec.Command(scope[0], append(scope[1:], cmd.Args...)...)
		split.Env, split.SysProcAttr, split.Dir = cmd.Env, cmd.SysProcAttr, cmd.Dir
		res := engines.Run(e.t, split)
		if res.Code != 0 {
			e.t.Fatalf("exit %d: %s", res.Code, res.Stderr)
		}
		id := strings.TrimSpace(res.Stdout)
		path := e.must("inspect", "--format", "{{.State.CgroupPath}}", id)
		if !strings.Contains(path, "/engines-split.scope/libpod-payload-"+id) {
			e.t.Errorf("the cgroup is %s", path)
		}
	})
}

func TestAppArmor(t *testing.T) {
	needsSystemd(t)
	e := asRoot(t)
	e.run(engines.Case{Args: `--security-opt apparmor=unconfined img cat /proc/self/attr/current`, Stdout: "unconfined"})
	if profile := e.must("run", "--rm", "--network", "none", "img", "cat", "/proc/self/attr/current"); !strings.HasPrefix(profile, "containers-default") ||
		!strings.HasSuffix(profile, "(enforce)") {
		t.Errorf("the profile is %q", profile)
	}
}
