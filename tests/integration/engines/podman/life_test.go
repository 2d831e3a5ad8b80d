//go:build engines

package podman

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bxrne/zbox/tests/integration/engines"
)

func TestLifeOfAContainer(t *testing.T) {
	forEachUser(t, func(e *engine) {
		e.must("run", "-d", "--name", "life", "--network", "none", "img", "sh", "-c", "trap 'echo term; exit 7' TERM; echo started; while :; do sleep 0.1; done")
		engines.Eventually(e.t, "the container has started", func() bool { return e.must("logs", "life") == "started" })
		e.check(
			engines.Case{Args: `exec life echo hello`, Stdout: "hello"},
			engines.Case{Args: `exec life sh -c 'exit 5'`, Code: 5},
			engines.Case{Args: `exec life nosuch`, Code: 127, Stderr: "executable file not found in $PATH"},
			engines.Case{Args: `exec life /etc/passwd`, Code: 126, Stderr: "permission denied"},
			engines.Case{Args: `exec -u 1000 -w /etc -e A=b life sh -c 'id -u; pwd; echo $A'`, Stdout: "1000\n/etc\nb"},
			engines.Case{Args: `inspect --format '{{.State.Status}} {{.OCIRuntime}}' life`, Stdout: "running " + engines.Name()},
		)
		e.must("exec", "-d", "life", "touch", "/detached")
		engines.Eventually(e.t, "the detached exec has run", func() bool {
			return engines.Run(e.t, e.podman("exec", "life", "test", "-e", "/detached")).Code == 0
		})
		if top := e.must("top", "life", "args"); !strings.Contains(top, "trap") {
			e.t.Errorf("top: %q", top)
		}
		e.check(
			engines.Case{Args: `stop -t 60 life`, Stdout: "life"},
			engines.Case{Args: `inspect --format '{{.State.Status}} {{.State.ExitCode}}' life`, Stdout: "exited 7"},
			engines.Case{Args: `logs life`, Stdout: "started\nterm"},
			engines.Case{Args: `start life`, Stdout: "life"},
			engines.Case{Args: `kill life`, Stdout: "life"},
			engines.Case{Args: `wait life`, Stdout: "137"},
		)
		before := e.must("logs", "life")
		e.check(engines.Case{Args: `restart life`, Stdout: "life"})
		// Before it has set its trap, the first process of a container is spared by signals.
		engines.Eventually(e.t, "the container has started again", func() bool { return e.must("logs", "life") != before })
		e.check(
			engines.Case{Args: `kill -s TERM life`, Stdout: "life"},
			engines.Case{Args: `wait life`, Stdout: "7"},
			engines.Case{Args: `rm life`, Stdout: "life"},
		)
	})
}

// Without cgroups of their own containers cannot be frozen or counted: on v1, rootless, podman does not even ask the runtime.
func TestPauseUpdateAndStats(t *testing.T) {
	forEachUser(t, func(e *engine) {
		if !e.limited() {
			e.t.Skip("podman has no cgroups for rootless containers on v1")
		}
		e.must("run", "-d", "--name", "life", "--network", "none", "img", "sh", "-c", "while :; do date >/now; sleep 0.01; done")
		e.check(
			engines.Case{Args: `pause life`, Stdout: "life"},
			engines.Case{Args: `inspect --format {{.State.Status}} life`, Stdout: "paused"},
			engines.Case{Args: `exec life true`, Code: 255, Stderr: "container state improper"},
			engines.Case{Args: `unpause life`, Stdout: "life"},
			engines.Case{Args: `inspect --format {{.State.Status}} life`, Stdout: "running"},
		)
		e.must("update", "--memory", "50m", "--cpus", "0.7", "--cpu-shares", "512", "life")
		show, want := engines.Limits("", "52428800", "70000")
		show = strings.Replace(strings.Replace(show, "pids.max ", "", 1), "pids/", "", 1)
		e.check(engines.Case{Args: `exec life sh -c '` + show + `'`, Stdout: strings.TrimSpace(want)})
		stats := strings.Fields(e.must("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}", "life"))
		if len(stats) < 5 || stats[0] != "life" || stats[1] == "0" || stats[2] == "0B" {
			e.t.Errorf("stats: %q", stats)
		}
	})
}

func TestHealthcheck(t *testing.T) {
	forEachUser(t, func(e *engine) {
		// Without systemd podman has nobody to run it at intervals, and says so.
		e.must("run", "-d", "--name", "ill", "--network", "none", "--health-cmd", "test -e /ok", "--health-interval", "disable", "img", "sleep", "1000")
		e.check(
			engines.Case{Args: `healthcheck run ill`, Code: 1, Stdout: "unhealthy"},
			engines.Case{Args: `exec ill touch /ok`},
			engines.Case{Args: `healthcheck run ill`},
			engines.Case{Args: `inspect --format {{.State.Health.Status}} ill`, Stdout: "healthy"},
		)
	})
}

func TestCopyAndDiff(t *testing.T) {
	forEachUser(t, func(e *engine) {
		dir := e.dir("content")
		e.must("run", "-d", "--name", "copy", "--network", "none", "img", "sleep", "1000")
		e.must("cp", dir+"/file", "copy:/tmp/file")
		e.check(engines.Case{Args: `exec copy cat /tmp/file`, Stdout: "content"})
		e.must("exec", "copy", "sh", "-c", "echo back >/tmp/file")
		e.must("cp", "copy:/tmp/file", dir+"/back")
		if out := engines.Call(e.t, "cat", dir+"/back"); out.Stdout != "back\n" {
			e.t.Errorf("copied back: %q%s", out.Stdout, out.Stderr)
		}
		if diff := e.must("diff", "copy"); !strings.Contains(diff, "A /tmp/file") {
			e.t.Errorf("diff: %q", diff)
		}
	})
}

func TestManyContainersLeaveNothing(t *testing.T) {
	forEachUser(t, func(e *engine) {
		n := engines.Containers(t)
		if e.user != nil && n < 100 {
			n /= 2 // the short form
		}
		engines.Parallel(n, func(i int) {
			e.run(engines.Case{Args: fmt.Sprintf("img echo %d", i), Stdout: strconv.Itoa(i)})
		})
		e.nothingLeft()
	})
}

// Side by side, so that the machine's noise is in all. The target is 0.85; the test fails where zbox would be slower than runc.
func TestRunTakesLessTimeThanWithRunc(t *testing.T) {
	if !engines.IsZbox() {
		t.Skip("compares zbox")
	}
	e := asRoot(t)
	runtimes := []string{"zbox", "control"}
	if engines.Managed() {
		runtimes = append(runtimes, "crun") // needs CAP_SYS_RESOURCE, which root need not have elsewhere
	}
	took := map[string][]time.Duration{}
	slower := func() bool { return median(took["zbox"]) > median(took["control"]) }
	for batch := 0; batch == 0 || slower() && batch < 4; batch++ { // few runs say little on a busy machine: more of them then
		for range engines.Containers(t) {
			for _, runtime := range runtimes {
				began := time.Now()
				e.must("--runtime", runtime, "run", "--rm", "--network", "none", "img", "true")
				took[runtime] = append(took[runtime], time.Since(began))
			}
		}
	}
	zbox := median(took["zbox"])
	for _, other := range runtimes[1:] {
		t.Logf("podman run --rm: %.3f of the time with %s (%v, the median of %d)", float64(zbox)/float64(median(took[other])), other, zbox, len(took[other]))
	}
	if slower() {
		t.Errorf("podman with zbox takes %v, with runc %v", zbox, median(took["control"]))
	}
}

// median leaves out what was disturbed.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
