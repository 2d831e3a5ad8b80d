//go:build engines

package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

func TestLifeOfAContainer(t *testing.T) {
	begin(t)
	docker(t, "run", "-d", "--name", "life", "--network", "none", "--memory", "50m", "img", "sh", "-c",
		"trap 'echo term; exit 7' TERM; echo started; while :; do sleep 0.1; done")
	engines.Eventually(t, "the container has started", func() bool { return docker(t, "logs", "life") == "started" })
	if top := docker(t, "top", "life", "-eo", "pid,args"); !strings.Contains(top, "trap") {
		t.Errorf("top: %q", top)
	}
	stats := strings.Fields(docker(t, "stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}", "life"))
	if len(stats) < 5 || stats[0] != "life" || stats[1] == "0" || stats[2] == "0B" || stats[4] != "50MiB" {
		t.Errorf("stats: %q", stats)
	}
	check(
		t,
		engines.Case{Args: `inspect --format '{{.State.Status}} {{.HostConfig.Runtime}}' life`, Stdout: "running " + engines.Name()},
		engines.Case{Args: `exec life echo hello`, Stdout: "hello"},
		engines.Case{Args: `exec life sh -c 'exit 5'`, Code: 5},
		engines.Case{Args: `exec -u 1000 -w /etc -e A=b life sh -c 'id -u; pwd; echo $A'`, Stdout: "1000\n/etc\nb"},
		engines.Case{Args: `exec -t life tty`, Stdout: "/dev/pts/0"},
		engines.Case{Args: `pause life`, Stdout: "life"},
		engines.Case{Args: `inspect --format {{.State.Status}} life`, Stdout: "paused"},
		engines.Case{Args: `unpause life`, Stdout: "life"},
		engines.Case{Args: `update --memory 60m --memory-swap 70m --pids-limit 22 --cpus 0.7 life`, Stdout: "life"},
	)
	if res := engines.Run(t, client("exec", "life", "nosuch")); res.Code != 126 || !strings.Contains(res.Stdout, "executable file not found in $PATH") {
		t.Errorf("exec of what is not there: exit %d: %q %q", res.Code, res.Stdout, res.Stderr)
	}
	show, want := engines.Limits("22", "62914560", "70000")
	check(
		t,
		engines.Case{Args: `exec life sh -c '` + show + `'`, Stdout: want},
		engines.Case{Args: `stop -t 60 life`, Stdout: "life"},
		engines.Case{Args: `inspect --format '{{.State.Status}} {{.State.ExitCode}}' life`, Stdout: "exited 7"},
		engines.Case{Args: `logs life`, Stdout: "started\nterm"},
		engines.Case{Args: `start life`, Stdout: "life"},
		engines.Case{Args: `restart -t 1 life`, Stdout: "life"},
		engines.Case{Args: `kill life`, Stdout: "life"},
		engines.Case{Args: `wait life`, Stdout: "137"},
		engines.Case{Args: `rm life`, Stdout: "life"},
	)
}

func TestCopy(t *testing.T) {
	begin(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	docker(t, "run", "-d", "--name", "copy", "--network", "none", "img", "sleep", "1000")
	docker(t, "cp", dir+"/file", "copy:/tmp/file")
	check(t, engines.Case{Args: `exec copy cat /tmp/file`, Stdout: "content"})
	docker(t, "exec", "copy", "sh", "-c", "echo back >/tmp/file")
	docker(t, "cp", "copy:/tmp/file", dir+"/back")
	if text, err := os.ReadFile(dir + "/back"); string(text) != "back\n" {
		t.Errorf("copied back: %q, %v", text, err)
	}
	if diff := docker(t, "diff", "copy"); !strings.Contains(diff, "A /tmp/file") {
		t.Errorf("diff: %q", diff)
	}
}

func TestHealthcheck(t *testing.T) {
	begin(t)
	docker(t, "run", "-d", "--name", "ill", "--network", "none", "--health-cmd", "test -e /ok", "--health-interval", "100ms", "--health-retries", "1",
		"img", "sleep", "1000")
	health := func() string { return docker(t, "inspect", "--format", "{{.State.Health.Status}}", "ill") }
	engines.Eventually(t, "the container is unhealthy", func() bool { return health() == "unhealthy" })
	docker(t, "exec", "ill", "touch", "/ok")
	engines.Eventually(t, "the container is healthy", func() bool { return health() == "healthy" })
}

func TestRestartPolicy(t *testing.T) {
	begin(t)
	docker(t, "run", "-d", "--name", "fails", "--network", "none", "--restart", "on-failure:2", "img", "sh", "-c", "echo once; exit 4")
	docker(t, "run", "-d", "--name", "always", "--network", "none", "--restart", "always", "img", "sleep", "1000")
	engines.Eventually(t, "docker has given up", func() bool {
		return docker(t, "inspect", "--format", "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}", "fails") == "exited 2 4"
	})
	check(t, engines.Case{Args: `logs fails`, Stdout: "once\nonce\nonce"})
	pid := docker(t, "inspect", "--format", "{{.State.Pid}}", "always")
	number, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	engines.Kill(t, number)
	engines.Eventually(t, "the container has been started again", func() bool {
		return docker(t, "inspect", "--format", "{{.State.Running}} {{.RestartCount}}", "always") == "true 1"
	})
}

// With live-restore containers run on while docker does not, whether it was ended or has crashed, and can be used as before.
func TestContainersOutliveTheDaemon(t *testing.T) {
	begin(t)
	docker(t, "run", "-d", "--name", "lives", "--network", "none", "img", "sh", "-c", "trap 'echo term; exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i >/n; sleep 0.02; done")
	docker(t, "run", "-d", "--name", "ends", "--network", "none", "img", "sh", "-c", "until test -e /end; do sleep 0.02; done; exit 9")
	pid := docker(t, "inspect", "--format", "{{.State.Pid}}", "lives")
	for _, restart := range []func(t *testing.T){crash, again} {
		restart(t)
		if now := docker(t, "inspect", "--format", "{{.State.Pid}} {{.State.Running}}", "lives"); now != pid+" true" {
			t.Fatalf("behind docker's restart the container is %s, was %s", now, pid)
		}
		before := docker(t, "exec", "lives", "cat", "/n")
		engines.Eventually(t, "the container counts on", func() bool { return docker(t, "exec", "lives", "cat", "/n") != before })
	}
	engines.Run(t, client("exec", "ends", "touch", "/end")) // which may be killed with the container, whose end it brings about
	check(
		t,
		engines.Case{Args: `wait ends`, Stdout: "9"},
		engines.Case{Args: `pause lives`, Stdout: "lives"},
		engines.Case{Args: `unpause lives`, Stdout: "lives"},
		engines.Case{Args: `stop -t 60 lives`, Stdout: "lives"},
		engines.Case{Args: `inspect --format {{.State.ExitCode}} lives`, Stdout: "7"},
	)
}

// again ends dockerd properly and starts it again.
func again(t *testing.T) {
	t.Helper()
	stop()
	if err := start(); err != nil {
		t.Fatal(err)
	}
}

func TestManyContainersLeaveNothing(t *testing.T) {
	begin(t)
	engines.Parallel(engines.Containers(t), func(i int) {
		run(t, engines.Case{Args: fmt.Sprintf("img echo %d", i), Stdout: strconv.Itoa(i)})
	})
	nothingLeft(t)
}
