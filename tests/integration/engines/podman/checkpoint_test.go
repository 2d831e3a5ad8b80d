//go:build engines

package podman

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// counts is a program that prints how far it has counted and writes it to /tmp/n.
const counts = `i=0; while :; do i=$((i+1)); echo $i; echo $i >/tmp/new; mv /tmp/new /tmp/n; sleep 0.1; done`

// counted is the number that the container has come to.
func (e *engine) counted(name string) int {
	e.t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(engines.Run(e.t, e.podman("exec", name, "cat", "/tmp/n")).Stdout))
	if err != nil {
		return 0
	}
	return n
}

// goesOn waits until a container counts on from where it was, and returns a number behind that.
func (e *engine) goesOn(name string, from int) (now int) {
	e.t.Helper()
	engines.Eventually(e.t, name+" counts on", func() bool {
		now = e.counted(name)
		return now > from
	})
	return now
}

// loggedOnce wants all numbers from 1 on in the container's log: it was neither begun again nor did it lose a line.
func (e *engine) loggedOnce(name string) {
	e.t.Helper()
	for i, line := range strings.Fields(e.must("logs", name)) {
		if line != strconv.Itoa(i+1) {
			e.t.Errorf("%s: line %d of the log is %q", name, i+1, line)
			return
		}
	}
}

func (e *engine) states(name, want string) {
	e.t.Helper()
	e.check(engines.Case{Args: `inspect --format '{{.State.Status}} {{.State.Checkpointed}} {{.State.Restored}}' ` + name, Stdout: want})
}

// A web server, a connection inside of the container, a lock, volumes, file systems in memory and limits come back as they were.
func TestCheckpointKeepsWhatAContainerHas(t *testing.T) {
	needsSystemd(t)
	e := asRoot(t)
	dir := e.dir("x")
	for _, name := range []string{"rw", "ro", "nested"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	e.must("run", "-d", "--name", "ck", "--init", "-p", "18087:80", "--memory", "64m", "--tmpfs", "/scratch",
		"-v", dir+"/rw:/rw", "-v", dir+"/ro:/ro:ro", "-v", dir+"/nested:/rw/a/nested",
		"-v", "/usr/bin/flock:/bin/flock:ro", "-v", "/lib64:/lib64:ro", "-v", "/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu:ro",
		"img", "sh", "-c", `mkdir /tmp/w; echo content >/tmp/w/index.html; httpd -p 80 -h /tmp/w
			echo kept >/scratch/f; exec 9>/rw/lock; flock 9 || exit
			nc -l -p 99 -e sh -c 'while read n; do echo $n >/rw/got.new; mv /rw/got.new /rw/got; done' &
			(`+counts+`) | until nc 127.0.0.1 99; do :; done`)
	got := func() string { text, _ := os.ReadFile(dir + "/rw/got"); return string(text) }
	engines.Eventually(t, "the connection carries data", func() bool { return got() != "" })
	e.answers("18087")
	mounts := e.must("exec", "ck", "sh", "-c", "mount | sort")

	e.must("container", "checkpoint", "--tcp-established", "--file-locks", "ck")
	e.states("ck", "exited true false")
	last := got()
	e.must("container", "restore", "--tcp-established", "--file-locks", "ck")
	e.states("ck", "running false true")

	engines.Eventually(t, "the connection carries more data", func() bool { return got() != last })
	e.answers("18087")
	e.check(
		engines.Case{Args: `exec ck sh -c 'mount | sort'`, Stdout: mounts},
		engines.Case{Args: `exec ck sh -c 'cat /scratch/f; echo new >/rw/a/nested/f; touch /ro/f'`, Code: 1, Stdout: "kept", Stderr: "Read-only file system"},
		engines.Case{Args: `exec ck flock -n /rw/lock true`, Code: 1},
		engines.Case{Args: `exec ck cat /sys/fs/cgroup/memory.max`, Stdout: "67108864"},
		engines.Case{Args: `stop -t 0 ck`, Stdout: "ck"},
		engines.Case{Args: `inspect --format '{{.State.Status}} {{.State.ExitCode}}' ck`, Stdout: "exited 137"},
	)
	if text, err := os.ReadFile(dir + "/nested/f"); string(text) != "new\n" {
		t.Errorf("the nested volume has %q, %v", text, err)
	}
}

// Two containers go on where one was saved, with its files.
func TestCheckpointIsExported(t *testing.T) {
	needsSystemd(t)
	e := asRoot(t)
	file := e.dir("x") + "/image.tar"
	e.must("run", "-d", "--name", "first", "--network", "none", "img", "sh", "-c", "echo written >/etc/file; echo shared >/dev/shm/file; "+counts)
	before := e.goesOn("first", 0)
	e.must("container", "checkpoint", "--export", file, "--compress", "none", "first")
	e.must("rm", "first")
	e.must("container", "restore", "--import", file)
	e.must("container", "restore", "--import", file, "--name", "second")
	for _, name := range []string{"first", "second"} {
		e.states(name, "running false true")
		e.goesOn(name, before)
		e.check(engines.Case{Args: `exec ` + name + ` cat /etc/file /dev/shm/file`, Stdout: "written\nshared"})
	}
}

// A container with a terminal is saved in two steps and goes on in between; behind the restore it is saved again.
func TestCheckpointInStepsAndAgain(t *testing.T) {
	needsSystemd(t)
	e := asRoot(t)
	e.must("run", "-dt", "--name", "steps", "--network", "none", "img", "sh", "-c", counts)
	first := e.goesOn("steps", 0)
	e.must("container", "checkpoint", "--pre-checkpoint", "steps")
	e.states("steps", "running false false")
	second := e.goesOn("steps", first)
	e.must("container", "checkpoint", "--with-previous", "steps")
	e.must("container", "restore", "steps")
	third := e.goesOn("steps", second)
	e.loggedOnce("steps")

	stats := e.must("container", "checkpoint", "--leave-running", "--print-stats", "steps")
	if !strings.Contains(stats, `"pages_written"`) {
		t.Errorf("statistics of the checkpoint: %s", stats)
	}
	e.goesOn("steps", third)
	e.must("stop", "-t", "0", "steps")
	e.must("container", "restore", "--keep", "steps")
	e.states("steps", "running false true")
	e.goesOn("steps", third)
	e.check(engines.Case{Args: `exec steps sh -c 'readlink /proc/1/fd/0; ls /dev/pts'`, Stdout: "/dev/pts/0\n0\nptmx"})
	if _, err := os.Stat(e.must("inspect", "--format", "{{.State.RestoreLog}}", "steps")); err != nil {
		t.Errorf("--keep has not kept the log: %v", err)
	}
}

// A container of a pod comes back to the pod's namespaces.
func TestCheckpointInAPod(t *testing.T) {
	needsSystemd(t)
	e := asRoot(t)
	e.must("pod", "create", "--name", "pod", "-p", "18088:80")
	e.must("run", "-d", "--pod", "pod", "--name", "web", "img", "sh", "-c", serve)
	e.answers("18088")
	own := func() string {
		return e.must("exec", "web", "sh", "-c", "for n in net ipc uts; do readlink /proc/1/ns/$n; done; hostname")
	}
	before := own()
	e.must("container", "checkpoint", "web")
	e.must("container", "restore", "web")
	e.answers("18088")
	if now := own(); now != before {
		t.Errorf("the namespaces and the name are %q, were %q", now, before)
	}
}
