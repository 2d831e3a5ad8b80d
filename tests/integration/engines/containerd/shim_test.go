//go:build engines

package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// The tests of what only containerd-shim-zbox-v2 does.

// withOwnShim runs the test with it; run is "run" with its flags.
func withOwnShim(t *testing.T, test func(t *testing.T, run []string)) {
	t.Helper()
	t.Cleanup(func() {
		removeAll(t)
		NothingLeft(t, Namespace, Namespace+"/*")
	})
	test(t, []string{"run", "--runtime", "io.containerd.zbox.v2"})
}

// socketOf is the path of the socket on which a container's shim listens.
func socketOf(t *testing.T, id string) string {
	t.Helper()
	address, err := os.ReadFile(filepath.Join(dir, "state/io.containerd.runtime.v2.task", Namespace, id, "address"))
	if err != nil {
		t.Fatal(err)
	}
	path, found := strings.CutPrefix(string(address), "unix://")
	if !found {
		t.Fatalf("the shim listens on %q, which is no path", address)
	}
	return path
}

// task is a client of the shim itself, as containerd is one.
func task(t *testing.T, id string) taskapi.TaskService {
	t.Helper()
	conn, err := net.Dial("unix", socketOf(t, id))
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	t.Cleanup(func() { _ = client.Close() })
	return taskapi.NewTaskClient(client)
}

// straced runs what is to be done while strace follows a process, and returns the system calls of a kind that were made in it and below it.
func straced(t *testing.T, pid int, call string, do func()) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command("strace", "-f", "-qq", "-e", "trace="+call, "-e", "signal=none", "-o", log, "-p", fmt.Sprint(pid))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	engines.Eventually(t, "strace follows all threads of the shim", func() bool {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid)) // the only error is a bad pattern
		return !slices.ContainsFunc(files, func(file string) bool {
			status, err := os.ReadFile(file)
			return err == nil && !strings.Contains(string(status), fmt.Sprintf("TracerPid:\t%d\n", cmd.Process.Pid))
		})
	})
	do()
	_ = cmd.Process.Signal(unix.SIGINT)
	_ = cmd.Wait() // it ends by the signal
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// traced are the programs that were executed below a process meanwhile.
func traced(t *testing.T, pid int, do func()) []string {
	t.Helper()
	var programs []string
	for _, call := range regexp.MustCompile(`execve\("([^"]*)", \["([^"]*)"`).FindAllStringSubmatch(straced(t, pid, "execve", do), -1) {
		programs = append(programs, call[2])
	}
	return programs
}

func TestLifeExecutesNoRuntime(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		run = with(run, "-d", "--annotation", "io.containerd.runc.v2.group=pod")
		Must(t, with(run, Image, "first", "sleep", "1000")...)
		shims := Shims()
		if len(shims) != 1 {
			t.Fatalf("shims: %v, want one", shims)
		}
		programs := traced(t, shims[0], func() {
			Must(t, with(run, Image, "second", "sleep", "1001")...)
			Must(t, "tasks", "exec", "--exec-id", "e", "second", "true")
			Must(t, "tasks", "pause", "second")
			Must(t, "tasks", "resume", "second")
			Must(t, "tasks", "metrics", "second")
			Must(t, "tasks", "kill", "-s", "9", "second")
			engines.Eventually(t, "the task has stopped", func() bool { return status(t, "second") == "STOPPED" })
			engines.Case{Args: "tasks rm second", Stderr: "exit code 137"}.Check(t, client()...)
		})
		// The stage comes before each.
		if got := strings.Join(programs, " "); got != "zbox-nsexec sleep zbox-nsexec true" {
			t.Errorf("executed: %s", got)
		}
	})
}

func TestContainersOfAGroupShareAShim(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		grouped := func(annotation, id string) {
			Must(t, with(run, "-d", "--annotation", annotation, Image, id, "sleep", "1000")...)
		}
		grouped("io.kubernetes.cri.sandbox-id=pod", "sandbox")
		grouped("io.kubernetes.cri.sandbox-id=pod", "member")
		if shims := Shims(); len(shims) != 1 {
			t.Errorf("shims of one group: %v", shims)
		}
		grouped("io.kubernetes.cri.sandbox-id=other", "stranger")
		if shims := Shims(); len(shims) != 2 {
			t.Errorf("shims of two groups: %v", shims)
		}
		Must(t, "tasks", "rm", "-f", "sandbox") // for which the shim was started
		if got := status(t, "member"); got != "RUNNING" {
			t.Errorf("behind the end of the first of its group, the second is %q", got)
		}
		engines.Case{Args: "tasks exec --exec-id e member echo alive", Stdout: "alive"}.Check(t, client()...)
	})
}

func TestKilledShimTakesItsGroupAlong(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		for _, id := range []string{"one", "two"} {
			Must(t, with(run, "-d", "--annotation", "io.containerd.runc.v2.group=pod", Image, id, "sleep", "1000")...)
		}
		for _, pid := range Shims() {
			engines.Kill(t, pid)
		}
		engines.Eventually(t, "no task is left", func() bool { return Must(t, "tasks", "ls", "-q") == "" })
	})
}

func TestSocketIsForItsOwnUserOnly(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		Must(t, with(run, "-d", Image, "life", "sleep", "1000")...)
		path := socketOf(t, "life")
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil || st.Mode&0o7777 != 0o600 || st.Uid != 0 {
			t.Errorf("%s: %v, mode %04o, uid %d", path, err, st.Mode&0o7777, st.Uid)
		}
		// CVE-2020-15257: containers in the host's network namespace reach abstract sockets.
		list, err := os.ReadFile("/proc/net/unix")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(list)) {
			if fields := strings.Fields(line); strings.HasPrefix(fields[len(fields)-1], "@") {
				t.Errorf("an abstract socket: %s", line)
			}
		}
		// As if the modes were wrong.
		sockets := filepath.Dir(path)
		if err := errors.Join(os.Chmod(path, 0o666), os.Chmod(sockets, 0o755), os.Chmod(filepath.Dir(sockets), 0o755)); err != nil {
			t.Fatal(err)
		}
		for uid, refused := range map[int]bool{0: false, 65534: true} {
			limit := time.Second // in which a shim that has nothing against it says nothing
			if refused {
				limit = engines.Patience
			}
			if got := closedUnasked(t, uid, path, limit); got != refused {
				t.Errorf("the shim closes a connection of uid %d: %v, want %v", uid, got, refused)
			}
		}
	})
}

// closedUnasked connects as a user and reports whether the other side hangs up within the limit, without having been asked anything.
func closedUnasked(t *testing.T, uid int, path string, limit time.Duration) bool {
	t.Helper()
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its uid
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			result <- errno
			return
		}
		conn, err := net.Dial("unix", path)
		if err == nil {
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(limit))
			_, err = conn.Read(make([]byte, 1))
		}
		result <- err
	}()
	err := <-result
	if errors.Is(err, os.ErrPermission) {
		t.Fatal(err)
	}
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestTaskAPI(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		Must(t, with(run, "-d", Image, "life", "sleep", "1000")...)
		ctx, api := context.Background(), task(t, "life")

		connected, err := api.Connect(ctx, &taskapi.ConnectRequest{ID: "life"})
		if err != nil || int(connected.ShimPid) != Shims()[0] {
			t.Errorf("connect: %v, %v; the shim is %v", connected, err, Shims())
		}
		state, err := api.State(ctx, &taskapi.StateRequest{ID: "life"})
		if err != nil || state.Pid != connected.TaskPid || state.Status.String() != "RUNNING" || filepath.Base(state.Bundle) != "life" {
			t.Errorf("state: %v, %v", state, err)
		}

		limit := int64(77)
		resources, err := json.Marshal(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := api.Update(ctx, &taskapi.UpdateTaskRequest{ID: "life", Resources: &anypb.Any{Value: resources}}); err != nil {
			t.Errorf("update: %v", err)
		}
		if metrics := Must(t, "tasks", "metrics", "life"); !regexp.MustCompile(`pids.limit +77`).MatchString(metrics) {
			t.Errorf("the limit is not among the metrics:\n%s", metrics)
		}

		for want, call := range map[string]func() error{
			"container nosuch": func() error { _, err := api.State(ctx, &taskapi.StateRequest{ID: "nosuch"}); return err },
			"exec nosuch of container life": func() error {
				_, err := api.Kill(ctx, &taskapi.KillRequest{ID: "life", ExecID: "nosuch", Signal: 9})
				return err
			},
			"container life cannot be started: it is RUNNING": func() error {
				_, err := api.Start(ctx, &taskapi.StartRequest{ID: "life"})
				return err
			},
			"container life: already exists": func() error { _, err := api.Create(ctx, &taskapi.CreateTaskRequest{ID: "life"}); return err },
			"container life still runs":      func() error { _, err := api.Delete(ctx, &taskapi.DeleteRequest{ID: "life"}); return err },
			"container not paused":           func() error { _, err := api.Resume(ctx, &taskapi.ResumeRequest{ID: "life"}); return err },
			"updating container life: decoding the resources": func() error {
				_, err := api.Update(ctx, &taskapi.UpdateTaskRequest{ID: "life", Resources: &anypb.Any{Value: []byte("{")}})
				return err
			},
			"checkpointing container life: the request has no path": func() error {
				_, err := api.Checkpoint(ctx, &taskapi.CheckpointTaskRequest{ID: "life"})
				return err
			},
		} {
			if err := call(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q in it", err, want)
			}
		}

		// With a container left, it does not end.
		if _, err := api.Shutdown(ctx, &taskapi.ShutdownRequest{ID: "life"}); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if got := status(t, "life"); got != "RUNNING" {
			t.Errorf("behind a shutdown that has to wait, the task is %q", got)
		}
	})
}

func TestContainersOfTheShimAreThoseOfZbox(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		Must(t, with(run, "-d", Image, "life", "sleep", "1000")...)
		engines.Case{Args: "--root /run/containerd/zbox/" + Namespace + " list -q", Stdout: "life"}.Check(t, engines.Zbox())
	})
}

// told is how many events of a topic containerd has got from shims, by its log from a place on.
func told(topic string, from int) int {
	return len(regexp.MustCompile(`msg="event forwarded" ns=`+Namespace+` topic=`+topic+` `).FindAllString(daemon.Log()[from:], -1))
}

func TestExitWhileContainerdIsDownIsToldOnce(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		pidFile := filepath.Join(t.TempDir(), "pid")
		Must(t, with(run, "-d", "--pid-file", pidFile, Image, "life", "sleep", "1000")...)
		pid, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatal(err)
		}
		before := len(daemon.Log())
		if err := daemon.Kill(); err != nil {
			t.Fatal(err)
		}
		engines.Call(t, "kill", "-9", string(pid))
		engines.Eventually(t, "the process has ended", func() bool {
			_, err := os.Stat("/proc/" + string(pid))
			return errors.Is(err, os.ErrNotExist)
		})
		if err := daemon.Restart(); err != nil {
			t.Fatal(err)
		}
		engines.Eventually(t, "the exit is told", func() bool { return told("/tasks/exit", before) > 0 })
		// containerd 2.x deletes a task that it finds without processes.
		if got := status(t, "life"); got != "" {
			if got != "STOPPED" {
				t.Errorf("the task is %s", got)
			}
			engines.Case{Args: "tasks rm life", Stderr: "exit code 137"}.Check(t, client()...)
		}
		// Behind the exit comes the deletion: no second exit can follow.
		engines.Eventually(t, "the deletion is told", func() bool { return told("/tasks/delete", before) > 0 })
		if exits, deletions := told("/tasks/exit", before), told("/tasks/delete", before); exits != 1 || deletions != 1 {
			t.Errorf("%d exits and %d deletions are told", exits, deletions)
		}
	})
}
