//go:build engines

package containerd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bxrne/zbox/tests/integration"
	"github.com/bxrne/zbox/tests/integration/engines"
)

// removeAll ends and removes all containers. What containerd removes at the same time is no error: that nothing is left is.
func removeAll(t *testing.T) {
	t.Helper()
	engines.Eventually(t, "all containers are removed", func() bool {
		for id := range strings.FieldsSeq(Must(t, "tasks", "ls", "-q")) {
			Run(t, "tasks", "rm", "-f", id)
		}
		ids := Must(t, "containers", "ls", "-q")
		for id := range strings.FieldsSeq(ids) {
			Run(t, "containers", "rm", id)
		}
		return ids == ""
	})
}

// with is a command line without changing the one that it begins with.
func with(begin []string, more ...string) []string {
	return append(append([]string{}, begin...), more...)
}

// client is what runs a command line of ctr.
func client(args ...string) []string { return Ctr(args...).Args }

func TestRunGivesWhatIsAskedFor(t *testing.T) {
	forEachWay(t, func(t *testing.T, w way) {
		run := append([]string{"run"}, w.flags...)
		for i, c := range []engines.Case{
			{Args: `IMG sh -c 'echo out; echo err >&2; exit 3'`, Code: 3, Stdout: "out", Stderr: "err"},
			{Args: `IMG nosuch`, Code: 1, Stderr: "executable file not found in $PATH"},
			{Args: `IMG /nosuch/x`, Code: 1, Stderr: "no such file or directory"},
			{Args: `IMG /etc/passwd`, Code: 1, Stderr: "permission denied"},
			{Args: `--cwd /etc --env A=b IMG sh -c 'pwd; echo $A'`, Stdout: "/etc\nb"},
			{Args: `IMG grep NoNewPrivs /proc/self/status`, Stdout: "NoNewPrivs:\t1"},
			{Args: `--allow-new-privs IMG grep NoNewPrivs /proc/self/status`, Stdout: "NoNewPrivs:\t0"},
			{Args: `IMG grep CapBnd /proc/self/status`, Stdout: "CapBnd:\t00000000a80425fb"},
			{Args: `--cap-drop CAP_MKNOD --cap-add CAP_SYS_TIME IMG grep CapBnd /proc/self/status`, Stdout: "CapBnd:\t00000000a20425fb"},
			{Args: `IMG grep Seccomp: /proc/self/status`, Stdout: "Seccomp:\t0"},
			{Args: `--seccomp IMG sh -c 'grep Seccomp: /proc/self/status; unshare -m true'`, Code: 1, Stdout: "Seccomp:\t2", Stderr: "Operation not permitted"},
			{Args: `IMG sh -c 'ls /sys/class/net; echo x >/proc/sys/kernel/hostname || echo shut; ls -A /sys/firmware'`, Stdout: "lo\nshut", Stderr: "Read-only file system"},
			{Args: `--read-only IMG sh -c 'touch /x || touch /dev/shm/x && echo written'`, Stdout: "written", Stderr: "/x: Read-only file system"},
			{Args: `--mount type=bind,src=/etc/hostname,dst=/h,options=rbind:ro IMG sh -c 'test -s /h && echo there; echo x >/h'`, Code: 1, Stdout: "there", Stderr: "Read-only file system"},
			{Args: `--mount type=tmpfs,dst=/t,options=size=1m IMG grep -o size=1024k /proc/mounts`, Stdout: "size=1024k"},
			{Args: `--device /dev/fuse IMG stat -c %t:%T /dev/fuse`, Stdout: "a:e5"},
			{Args: `--privileged IMG sh -c 'test -w /proc/sys/kernel/hostname && test -b /dev/vda -o -e /dev/kmsg && echo all'`, Stdout: "all"},
			{Args: `--uidmap 0:100000:5000 --gidmap 0:200000:5000 --snapshotter native --mount type=tmpfs,dst=/t IMG sh -c 'cd /proc/self; cat uid_map gid_map | tr -s \ '`, Stdout: "0 100000 5000\n 0 200000 5000"},
			{Args: `--with-ns uts:/proc/self/ns/uts IMG hostname`, Stdout: hostname(t)},
			{Args: `--cgroup NAMESPACE/own IMG grep -c NAMESPACE/own /proc/self/cgroup`, Stdout: strconv.Itoa(hierarchies(t))},
			{Args: `--null-io IMG echo lost`},
		} {
			args := strings.NewReplacer("IMG", fmt.Sprintf("%s given-%d", Image, i), "NAMESPACE", "/"+Namespace).Replace(c.Args)
			c.Args = strings.Join(with(run, "--rm", args), " ")
			w.check(t, c)
		}
	})
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// hierarchies is in how many hierarchies of cgroups a process of this machine is.
func hierarchies(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

func TestLifeOfAContainer(t *testing.T) {
	forEachWay(t, func(t *testing.T, w way) {
		run := append([]string{"run"}, w.flags...)
		log := filepath.Join(t.TempDir(), "log")
		Must(t, with(run, "-d", "--log-uri", "file://"+log, Image, "life", "sh", "-c",
			"trap 'echo term; exit 7' TERM; echo started; while :; do sleep 0.1; done")...)
		logged := func(want string) func() bool {
			return func() bool {
				text, _ := os.ReadFile(log) // the shim makes it
				return string(text) == want
			}
		}
		engines.Eventually(t, "the log has what the container printed", logged("started\n"))
		for _, c := range []engines.Case{
			{Args: `tasks exec --exec-id e1 life echo hello`, Stdout: "hello"},
			{Args: `tasks exec --exec-id e2 life sh -c 'echo err >&2; exit 5'`, Code: 5, Stderr: "err"},
			{Args: `tasks exec --exec-id e3 life nosuch`, Code: 1, Stderr: "executable file not found in $PATH"},
			{Args: `tasks exec --exec-id e4 --user 1000:1001 --cwd /etc life sh -c 'id -u; id -g; pwd'`, Stdout: "1000\n1001\n/etc"},
			{Args: `tasks exec --exec-id e5 life sh -c 'kill -9 $$'`, Code: 137},
			{Args: `tasks exec --exec-id e6 nosuch true`, Code: 1, Stderr: "not found"},
			{Args: `tasks pause life`},
			{Args: `tasks exec --exec-id e7 life true`, Code: 1, Stderr: "paused"},
			{Args: `tasks resume life`},
			{Args: `tasks rm life`, Code: 1, Stderr: "running: failed precondition"},
			{Args: `tasks kill -s 15 life`},
		} {
			if c.Args == "tasks resume life" {
				if list := status(t, "life"); list != "PAUSED" {
					t.Errorf("paused, the task is %s", list)
				}
			}
			w.check(t, c)
		}
		engines.Eventually(t, "the task has stopped", func() bool { return status(t, "life") == "STOPPED" })
		engines.Eventually(t, "the log has the end", logged("started\nterm\n"))
		engines.Case{Args: "tasks rm life", Stderr: "exit code 7"}.Check(t, client()...)
	})
}

// status is what "ctr tasks ls" says of a task.
func status(t *testing.T, id string) string {
	t.Helper()
	for line := range strings.Lines(Must(t, "tasks", "ls")) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == id {
			return fields[2]
		}
	}
	return ""
}

func TestProcessesAreThoseOfTheContainer(t *testing.T) {
	forEachShim(t, func(t *testing.T, run []string) {
		pidFile := filepath.Join(t.TempDir(), "pid")
		Must(t, with(run, "-d", "--pid-file", pidFile, Image, "pids", "sleep", "1000")...)
		Must(t, "tasks", "exec", "--exec-id", "e", "-d", "pids", "sleep", "1001")
		text, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatal(err)
		}
		commands := map[string]bool{}
		ps := strings.Split(Must(t, "tasks", "ps", "pids"), "\n")
		for _, line := range ps[1:] {
			cmdline, _ := os.ReadFile("/proc/" + strings.Fields(line)[0] + "/cmdline")
			commands[strings.Trim(strings.ReplaceAll(string(cmdline), "\x00", " "), " ")] = true
		}
		if len(ps) != 3 || !commands["sleep 1000"] || !commands["sleep 1001"] {
			t.Errorf("ps shows %q, which are %v", ps, commands)
		}
		if !strings.Contains(strings.Join(ps, "\n"), string(text)) {
			t.Errorf("ps shows %q without the first process, %s", ps, text)
		}
		Must(t, "tasks", "kill", "-s", "9", "--exec-id", "e", "pids")
		engines.Eventually(t, "one process is left", func() bool {
			return len(strings.Split(Must(t, "tasks", "ps", "pids"), "\n")) == 2
		})
		Must(t, "tasks", "kill", "-s", "9", "-a", "pids")
		engines.Eventually(t, "the task has stopped", func() bool { return status(t, "pids") == "STOPPED" })
		engines.Case{Args: "tasks rm pids", Stderr: "exit code 137"}.Check(t, client()...)
	})
}

// onTerminal starts the command with a terminal of its own, as a login shell would.
func onTerminal(t *testing.T, cmd *exec.Cmd) *integration.Terminal {
	t.Helper()
	term, peer := integration.NewTerminal(t)
	term.Resize(90, 33)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = peer, peer, peer
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = peer.Close()
	return term
}

func TestTerminal(t *testing.T) {
	forEachShim(t, func(t *testing.T, run []string) {
		Must(t, with(run, "-d", Image, "life", "sleep", "1000")...)
		for _, args := range [][]string{with(run, "--rm", "-t", Image, "term", "sh"), {"tasks", "exec", "--exec-id", "e", "-t", "life", "sh"}} {
			cmd := Ctr(args...)
			term := onTerminal(t, cmd)
			term.Expect("# ")
			term.Send("tty; test -t 0 && test -t 1 && test -t 2 && echo all-$((40+2))\n")
			term.Expect("/dev/pts/0")
			term.Expect("all-42")
			term.Send("until stty size | grep '33 90'; do :; done\n") // the size comes a moment after the start
			term.Expect("33 90\r")
			term.Resize(101, 44)
			term.Send("until stty size | grep '44 101'; do :; done; sh -c 'echo asleep-$((40+4)); exec sleep 1000'\n")
			term.Expect("44 101\r")
			term.Expect("asleep-44") // by what ctrl-c is to end
			term.Send("\x03")        // ctrl-c ends sleep, and not the shell
			term.Send("echo still-$((40+3))\n")
			term.Expect("still-43")
			term.Send("exit 6\n")
			_ = cmd.Wait() // the exit status is what is looked at
			if code := cmd.ProcessState.ExitCode(); code != 6 {
				t.Errorf("ctr %q: exit %d, want 6; the terminal shows %q", args, code, term.Text())
			}
		}
	})
}

func TestInputReachesTheContainer(t *testing.T) {
	forEachShim(t, func(t *testing.T, run []string) {
		cmd := Ctr(with(run, "--rm", Image, "input", "sh", "-c", "read line; echo got $line")...)
		cmd.Stdin = strings.NewReader("words\n")
		if out, err := cmd.Output(); err != nil || string(out) != "got words\n" {
			t.Errorf("%v: %q", err, out)
		}
	})
}

func TestLoggerGetsTheOutput(t *testing.T) {
	forEachShim(t, func(t *testing.T, run []string) {
		// A logger: https://github.com/containerd/containerd/blob/main/core/runtime/v2/README.md#logging
		out := filepath.Join(t.TempDir(), "out")
		logger := filepath.Join(t.TempDir(), "logger")
		script := fmt.Sprintf("#!/bin/sh\nexec 5>&-\necho $CONTAINER_NAMESPACE $CONTAINER_ID >%s\ncat <&3 >>%s\n", out, out)
		if err := os.WriteFile(logger, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		Must(t, with(run, "-d", "--log-uri", "binary://"+logger, Image, "logged", "echo", "line")...)
		want := Namespace + " logged\nline\n"
		engines.Eventually(t, "the logger has the output", func() bool {
			text, _ := os.ReadFile(out) // the logger makes it
			return string(text) == want
		})
	})
}

func TestManyContainersLeaveNothing(t *testing.T) {
	forEachWay(t, func(t *testing.T, w way) {
		begin := time.Now()
		n := engines.Containers(t)
		logs := t.TempDir()
		engines.Parallel(n, func(i int) {
			run := with([]string{"run", "--rm"}, w.flags...)
			log := filepath.Join(logs, strconv.Itoa(i))
			if w.losesOutput {
				run = with(run, "--log-uri", "file://"+log)
			}
			args := with(run, Image, fmt.Sprintf("many-%d", i), "echo", strconv.Itoa(i))
			want := strconv.Itoa(i)
			if !w.losesOutput {
				engines.Case{Args: strings.Join(args, " "), Stdout: want}.Check(t, client()...)
				return
			}
			Must(t, args...)
			if text, err := os.ReadFile(log); string(text) != want+"\n" {
				t.Errorf("the log of container %d has %q (%v)", i, text, err)
			}
		})
		t.Logf("%d containers in %v", n, time.Since(begin))
	})
}
