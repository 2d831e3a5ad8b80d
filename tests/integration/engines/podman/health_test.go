//go:build engines

package podman

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// fromTheTest is a systemd-run that puts words before the podman that a unit is to run.
const fromTheTest = `#!/bin/bash
for word; do
	shift
	[ "$word" != /usr/bin/podman ] || set -- "$@" %s
	set -- "$@" "$word"
done
exec /usr/bin/systemd-run "$@"
`

// withUnits prepares a call of podman whose units, which systemd starts in the machine's mount namespace, find the test's files: root's enter the
// test's namespace, and the user's have their configuration where both namespaces have it and find all else by podman's pause process.
func (e *engine) withUnits(args ...string) *exec.Cmd {
	e.t.Helper()
	const bin = engines.Dir + "/units"
	cmd := e.podman(args...)
	before := fmt.Sprintf("nsenter --mount=/proc/%d/ns/mnt -- env CONTAINERS_CONF=%[2]s/root.conf CONTAINERS_STORAGE_CONF=%[2]s/storage.conf", os.Getpid(), engines.Dir)
	if e.user != nil {
		conf := e.user.Runtime + "/engines.conf"
		text, err := os.ReadFile(engines.Dir + "/rootless.conf")
		if err == nil {
			err = os.WriteFile(conf, text, 0o644)
		}
		if err != nil {
			e.t.Fatal(err)
		}
		e.t.Cleanup(func() { _ = os.Remove(conf) })
		before = "env CONTAINERS_CONF=" + conf
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		e.t.Fatal(err)
	}
	if err := os.WriteFile(bin+"/systemd-run", fmt.Appendf(nil, fromTheTest, before), 0o755); err != nil {
		e.t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "PATH="+bin+":/usr/sbin:/usr/bin:/sbin:/bin")
	return cmd
}

// Nothing here calls `podman healthcheck run` but the timer that podman has systemd make.
func TestHealthcheckByTimer(t *testing.T) {
	needsSystemd(t)
	forEachUser(t, func(e *engine) {
		run := `run -d --network none --health-cmd 'test -e /ok' --health-interval 2s --health-retries 1 img sh -c 'touch /ok; exec sleep 1000'`
		res := engines.Run(e.t, e.withUnits(engines.Words(run)...))
		if res.Code != 0 {
			e.t.Fatalf("exit %d: %s", res.Code, res.Stderr)
		}
		id := strings.TrimSpace(res.Stdout)
		if units := e.healthUnits(id); !strings.Contains(units, id+".timer") {
			e.t.Errorf("the container has the units %q, and no timer", units)
		}
		e.becomes(id, "healthy")
		e.must("exec", id, "rm", "/ok")
		e.becomes(id, "unhealthy")
		e.must("exec", id, "touch", "/ok")
		e.becomes(id, "healthy")
		e.must("rm", "-f", "-t", "0", id)
		engines.Eventually(e.t, "podman's units are gone", func() bool { return e.healthUnits(id) == "" })
		if units := e.healthUnits(id); units != "" {
			e.t.Errorf("left behind: %s", units)
		}
	})
}

func (e *engine) becomes(id, status string) {
	e.t.Helper()
	engines.Eventually(e.t, "the container is "+status, func() bool {
		return e.must("inspect", "--format", "{{.State.Health.Status}}", id) == status
	})
}

// healthUnits are the timer of a container's health checks and what it starts, as systemd lists them.
func (e *engine) healthUnits(id string) string {
	e.t.Helper()
	cmd := exec.Command("systemctl", "list-units", "--all", "--plain", "--no-legend", id+".timer", id+".service")
	if e.user != nil {
		cmd.Args = append(cmd.Args, "--user")
		e.user.Dress(cmd)
	}
	res := engines.Run(e.t, cmd)
	if res.Code != 0 {
		e.t.Errorf("systemctl: exit %d: %s", res.Code, res.Stderr)
	}
	return res.Stdout
}
