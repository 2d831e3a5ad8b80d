//go:build engines

package containerd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/runc/options"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/bxrne/zbox/tests/integration"
	"github.com/bxrne/zbox/tests/integration/engines"
)

// fresh is an id that no container had: containerd 1.6 stores no second checkpoint with the same configuration.
func fresh(name string) string { return fmt.Sprintf("%s-%d", name, ids.Add(1)) }

var ids atomic.Int32

// counting keeps a word and a number in memory, and the number in a tmpfs, too. It prints both, over and over.
const counting = `trap 'exit 7' TERM; read word </proc/sys/kernel/random/uuid; n=0
while :; do n=$((n+1)); echo $n >/dev/shm/n; echo $word $n; sleep 0.1; done`

// counted are the word and the first and the last number of what counting has printed to a log; empty and 0 when that is nothing yet.
func counted(t *testing.T, log string) (word string, first, last int) {
	t.Helper()
	text, _ := os.ReadFile(log) // the shim makes it
	whole := strings.LastIndex(string(text), "\n") + 1
	for line := range strings.Lines(string(text[:whole])) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(number)
		if err != nil || word != "" && (name != word || n != last+1) {
			t.Fatalf("behind %q %d, %s has %q", word, last, log, line)
		}
		if word == "" {
			first = n
		}
		word, last = name, n
	}
	return word, first, last
}

// countsOn waits until a container that counts has gone on for some steps, in its memory and in its tmpfs.
func countsOn(t *testing.T, id, log string) {
	t.Helper()
	_, _, before := counted(t, log)
	engines.Eventually(t, id+" counts", func() bool {
		_, _, now := counted(t, log)
		return now > before+3
	})
	engines.Eventually(t, id+" counts in its tmpfs", func() bool { return inTmpfs(t, id) > before })
}

// runCounting starts a container that counts, and waits until it does.
func runCounting(t *testing.T, run []string, id string) (log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), id)
	Must(t, with(run, "-d", "--log-uri", "file://"+log, Image, id, "sh", "-c", counting)...)
	countsOn(t, id, log)
	return log
}

// exits are those of a container, without its processes of exec.
func (e *eventLog) exits(id string) []*eventsapi.TaskExit {
	return slices.DeleteFunc(of[*eventsapi.TaskExit](e, id), func(exit *eventsapi.TaskExit) bool { return exit.ID != id })
}

// ends ends a container that counts, and checks what is told of that.
func ends(t *testing.T, told *eventLog, id string, pid uint32) {
	t.Helper()
	Must(t, "tasks", "kill", "-s", "15", id)
	engines.Eventually(t, "the task has stopped", func() bool { return status(t, id) == "STOPPED" })
	engines.Case{Args: "tasks rm " + id, Stderr: "exit code 7"}.Check(t, client()...)
	// Behind the exit comes the deletion: no second exit can follow.
	engines.Eventually(t, "the deletion is told", func() bool { return len(of[*eventsapi.TaskDelete](told, id)) > 0 })
	exits := told.exits(id)
	if len(exits) != 1 || exits[0].Pid != pid || exits[0].ExitStatus != 7 {
		t.Errorf("the exits are %v, want one of process %d with 7", exits, pid)
	}
}

func TestCheckpointAndRestore(t *testing.T) {
	integration.NeedsCriu(t)
	for name, exit := range map[string]bool{"and exit": true, "and go on": false} {
		t.Run(name, func(t *testing.T) {
			forEachWay(t, func(t *testing.T, w way) {
				api := dial(t)
				told := api.events()
				life, renewed := fresh("life"), fresh("again")
				before := runCounting(t, w.run(), life)
				word, _, begun := counted(t, before)
				image, err := api.checkpoint(life, &options.CheckpointOptions{Exit: exit, FileLocks: true})
				if err != nil {
					t.Fatal(err)
				}
				if w.shim == "own" { // the stock shim does not tell
					engines.Eventually(t, "the checkpoint is told", func() bool { return len(of[*eventsapi.TaskCheckpointed](told, life)) == 1 })
				}
				if exit {
					engines.Eventually(t, "the task has stopped", func() bool { return status(t, life) == "STOPPED" })
				} else {
					countsOn(t, life, before)
					Must(t, "tasks", "kill", "-s", "9", life)
					engines.Eventually(t, "the task has stopped", func() bool { return status(t, life) == "STOPPED" })
				}
				engines.Case{Args: "tasks rm " + life, Stderr: "exit code 137"}.Check(t, client()...)
				engines.Eventually(t, "the deletion is told", func() bool { return len(of[*eventsapi.TaskDelete](told, life)) == 1 })
				if exits := told.exits(life); len(exits) != 1 || exits[0].ExitStatus != 137 {
					t.Errorf("the exits are %v", exits)
				}
				_, _, ended := counted(t, before)

				api.copyContainer(life, renewed, w.options(""))
				after := filepath.Join(t.TempDir(), renewed)
				api.createTask(renewed, after, image, nil)
				if got := status(t, renewed); got != "CREATED" {
					t.Errorf("before its start, the task is %s", got)
				}
				pid, err := api.start(renewed)
				if err != nil {
					t.Fatal(err)
				}
				countsOn(t, renewed, after)
				again, first, _ := counted(t, after)
				if again != word || first <= begun || first > ended+1 || exit && first != ended+1 {
					t.Errorf("%s has counted to %d, and before the checkpoint to %d; restored, %s begins with %d", word, ended, begun, again, first)
				}
				engines.Case{Args: "tasks exec --exec-id e " + renewed + " echo hello", Stdout: "hello"}.Check(t, client()...)
				engines.Eventually(t, "the start is told", func() bool { return len(of[*eventsapi.TaskStart](told, renewed)) > 0 })
				created, starts := of[*eventsapi.TaskCreate](told, renewed), of[*eventsapi.TaskStart](told, renewed)
				if len(created) != 1 || created[0].Checkpoint == "" || len(starts) != 1 || starts[0].Pid != pid || fmt.Sprint(pid) != initOf(t, renewed) {
					t.Errorf("the creation is %v, the start %v; process %d, by the bundle %s", created, starts, pid, initOf(t, renewed))
				}
				namespacesOfShims(t)
				ends(t, told, renewed, pid)
			})
		})
	}
}

// options are those of the way's runtime, with the path of CRIU as containerd 1.6 sends it; "" is none.
func (w way) options(criu string) *options.Options {
	o := &options.Options{}
	if w.shim == "stock" {
		o.BinaryName = engines.Zbox()
	}
	if criu != "" {
		o.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 8, protowire.BytesType), criu))
	}
	return o
}

func TestTerminalIsRestored(t *testing.T) {
	integration.NeedsCriu(t)
	forEachWay(t, func(t *testing.T, w way) {
		api, id, dir := dial(t), fresh("life"), t.TempDir()
		cmd := Ctr(with(w.run(), "-t", Image, id, "sh")...)
		term := onTerminal(t, cmd)
		term.Expect("# ")
		term.Send("word=mem; echo set-$word\n")
		term.Expect("set-mem")
		image, err := api.checkpoint(id, &options.CheckpointOptions{Exit: true})
		if err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the exit status is that of the kill
		Run(t, "tasks", "rm", id)

		in, out := fifo(t, filepath.Join(dir, "in")), fifo(t, filepath.Join(dir, "out"))
		api.create(&tasksapi.CreateTaskRequest{
			ContainerID: id, Terminal: true, Stdin: in.Name(), Stdout: out.Name(), Checkpoint: image, Options: pack(t, w.options("")),
		})
		if _, err := api.start(id); err != nil {
			t.Fatal(err)
		}
		if _, err := in.WriteString("echo again-$word; tty; exit 6\n"); err != nil {
			t.Fatal(err)
		}
		shown := ""
		engines.Eventually(t, "the shell knows the word, and its terminal", func() bool {
			shown += available(t, out)
			return strings.Contains(shown, "again-mem") && strings.Contains(shown, "/dev/pts/0")
		})
		if t.Failed() {
			t.Logf("the terminal shows %q", shown)
		}
		engines.Eventually(t, "the task has stopped", func() bool { return status(t, id) == "STOPPED" })
		engines.Case{Args: "tasks rm " + id, Stderr: "exit code 6"}.Check(t, client()...)
	})
}

// fifo makes one that always has a reader and a writer.
func fifo(t *testing.T, path string) *os.File {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// available is what there is in a fifo.
func available(t *testing.T, f *os.File) string {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 4096)
	n, err := f.Read(text)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return string(text[:n])
}

// needsCriuPath is for tests that set the option CriuPath.
func (w way) needsCriuPath(t *testing.T) {
	t.Helper()
	if w.shim == "stock" && os.Getenv("CONTAINERD") != "" {
		t.Skip("the stock shim of containerd 2 has no option CriuPath")
	}
}

// namespacesOfShims waits until no thread of a shim is in a mount namespace of its own, which would keep what was mounted when it was made.
func namespacesOfShims(t *testing.T) {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range Shims() {
		engines.Eventually(t, "all threads of the shim are in one mount namespace", func() bool {
			links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/ns/mnt", pid)) // the only error is a bad pattern
			return len(links) > 0 && !slices.ContainsFunc(links, func(link string) bool {
				ns, err := os.Readlink(link)
				return err == nil && ns != own
			})
		})
	}
}

// inTmpfs is the number that a container that counts has in its tmpfs; 0 when there is none yet.
func inTmpfs(t *testing.T, id string) int {
	t.Helper()
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%s/root/dev/shm/n", initOf(t, id)))
	n, _ := strconv.Atoi(strings.TrimSpace(string(text))) // the file is empty while it is written
	return n
}

func TestCheckpointAndRestoreWithCtr(t *testing.T) {
	integration.NeedsCriu(t)
	forEachWay(t, func(t *testing.T, w way) {
		life, again, saved := fresh("life"), fresh("again"), fresh("saved")
		log := runCounting(t, w.run(), life)
		_, _, begun := counted(t, log)
		// ctr pauses the task meanwhile.
		Must(t, "containers", "checkpoint", "--task", life, saved)
		countsOn(t, life, log)
		Must(t, "tasks", "rm", "-f", life)
		Must(t, "containers", "restore", "--live", again, saved)
		engines.Eventually(t, "it counts", func() bool { return inTmpfs(t, again) > begun+1 })
		Must(t, "tasks", "kill", "-s", "15", again)
		engines.Eventually(t, "the task has stopped", func() bool { return status(t, again) == "STOPPED" })
		engines.Case{Args: "tasks rm " + again, Stderr: "exit code 7"}.Check(t, client()...)
		Must(t, "images", "rm", saved)

		life = fresh("life")
		log = runCounting(t, w.run(), life)
		image := Must(t, "tasks", "checkpoint", life)
		countsOn(t, life, log)
		Must(t, "images", "rm", image)
	})
}

// wrapper is a CRIU that adds its arguments to a file.
func wrapper(t *testing.T) (program, trace string) {
	t.Helper()
	dir := t.TempDir()
	program, trace = filepath.Join(dir, "wrapper"), filepath.Join(dir, "trace")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$@\" >>"+trace+"\nexec criu \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return program, trace
}

// traceOf is what a wrapper has left.
func traceOf(trace string) string {
	text, _ := os.ReadFile(trace) // the wrapper makes it
	return string(text)
}

// create makes a container whose task has to be given the way's options.
func (w way) create(t *testing.T, id string, command ...string) {
	t.Helper()
	create := []string{"containers", "create"}
	if w.shim == "own" {
		create = append(create, w.flags...)
	}
	Must(t, append(append(create, "--", Image, id), command...)...) // ctr would take flags of the command for its own
}

// startCounting is runCounting with a path of CRIU.
func startCounting(t *testing.T, w way, id, criu string) (log string) {
	t.Helper()
	w.create(t, id+"-base", "sh", "-c", counting)
	dial(t).copyContainer(id+"-base", id, w.options(criu))
	log = filepath.Join(t.TempDir(), id)
	Must(t, "tasks", "start", "-d", "--log-uri", "file://"+log, id)
	countsOn(t, id, log)
	return log
}

func TestOptionCriuPath(t *testing.T) {
	integration.NeedsCriu(t)
	forEachWay(t, func(t *testing.T, w way) {
		w.needsCriuPath(t)
		api := dial(t)
		program, trace := wrapper(t)
		life, wrong := fresh("life"), fresh("wrong")
		startCounting(t, w, life, program)
		image, err := api.checkpoint(life, &options.CheckpointOptions{Exit: true})
		if err != nil || traceOf(trace) != "swrk 3\n" {
			t.Errorf("checkpoint: %v; CriuPath left %q", err, traceOf(trace))
		}
		engines.Eventually(t, "the task has stopped", func() bool { return status(t, life) == "STOPPED" })
		Run(t, "tasks", "rm", life) // says that its exit code is 137
		after := filepath.Join(t.TempDir(), "after")
		api.createTask(life, after, image, nil)
		if _, err := api.start(life); err != nil || traceOf(trace) != "swrk 3\nswrk 3\n" {
			t.Fatalf("restore: %v; CriuPath left %q", err, traceOf(trace))
		}
		countsOn(t, life, after)

		log := startCounting(t, w, wrong, "/nosuch/criu")
		if _, err := api.checkpoint(wrong, nil); err == nil || !strings.Contains(err.Error(), "/nosuch/criu") {
			t.Errorf("checkpoint: %v", err)
		}
		countsOn(t, wrong, log)
		Must(t, "tasks", "rm", "-f", wrong)
		api.createTask(wrong, after, image, nil)
		if _, err := api.start(wrong); err == nil || !strings.Contains(err.Error(), "/nosuch/criu") {
			t.Errorf("restore: %v", err)
		}
		Must(t, "tasks", "rm", wrong)
	})
}

// imageByHand saves a running container of the way's runtime to a directory.
func imageByHand(t *testing.T, id string) (image string) {
	t.Helper()
	image = filepath.Join(t.TempDir(), "image")
	for _, state := range runtimeStates(Namespace) {
		if _, err := os.Stat(filepath.Join(state, id)); err == nil {
			engines.Case{Args: fmt.Sprintf("--root %s checkpoint --leave-running --image-path %s %s", state, image, id)}.Check(t, engines.Zbox())
			return image
		}
	}
	t.Fatalf("the runtime has no container %s", id)
	return ""
}

func TestOptionsCriuImagePathAndCriuWorkPath(t *testing.T) {
	integration.NeedsCriu(t)
	forEachWay(t, func(t *testing.T, w way) {
		api, work := dial(t), filepath.Join(t.TempDir(), "work")
		life := fresh("life")
		log := runCounting(t, w.run(), life)
		word, _, begun := counted(t, log)
		var image string
		if w.shim == "own" && os.Getenv("CONTAINERD") == "" { // containerd 2 takes it for all runtimes
			_, err := api.checkpoint(life, &options.CheckpointOptions{ImagePath: "/nosuch"})
			if err == nil || !strings.Contains(err.Error(), "ImagePath /nosuch: containerd wants the image in ") {
				t.Errorf("checkpoint: %v", err)
			}
			image = imageByHand(t, life)
		} else {
			image = filepath.Join(t.TempDir(), "image")
			if _, err := api.checkpoint(life, &options.CheckpointOptions{ImagePath: image, WorkPath: work}); err != nil {
				t.Fatal(err)
			}
		}
		countsOn(t, life, log)
		Must(t, "tasks", "rm", "-f", life)
		o := w.options("")
		o.CriuImagePath, o.CriuWorkPath = image, work
		after := filepath.Join(t.TempDir(), "after")
		api.createTask(life, after, nil, o)
		if _, err := api.start(life); err != nil {
			t.Fatal(err)
		}
		countsOn(t, life, after)
		if again, first, _ := counted(t, after); again != word || first <= begun {
			t.Errorf("%s has counted to %d before the checkpoint; restored, %s begins with %d", word, begun, again, first)
		}
		if _, err := os.Stat(filepath.Join(work, "restore.log")); err != nil {
			t.Errorf("CriuWorkPath: %v", err)
		}
	})
}

func TestConfiguredImageIsRestored(t *testing.T) {
	integration.NeedsCriu(t)
	withOwnShim(t, func(t *testing.T, run []string) {
		life, again := fresh("life"), fresh("again")
		word, _, begun := counted(t, runCounting(t, run, life))
		image := imageByHand(t, life)
		Must(t, "tasks", "rm", "-f", life)
		log := runCounting(t, configured(t, run, fmt.Sprintf("CriuImagePath = %q", image)), again)
		if restored, first, _ := counted(t, log); restored != word || first <= begun {
			t.Errorf("%s had counted to %d; restored, %s begins with %d", word, begun, restored, first)
		}
		Must(t, "tasks", "rm", "-f", again)
	})
}

func TestPausedTaskIsCheckpointed(t *testing.T) {
	integration.NeedsCriu(t)
	forEachWay(t, func(t *testing.T, w way) {
		api, life, last := dial(t), fresh("life"), fresh("last")
		log := runCounting(t, w.run(), life)
		Must(t, "tasks", "pause", life)
		if _, err := api.checkpoint(life, nil); err != nil {
			t.Fatal(err)
		}
		if got := status(t, life); got != "PAUSED" {
			t.Errorf("behind the checkpoint, the task is %s", got)
		}
		Must(t, "tasks", "resume", life)
		countsOn(t, life, log)

		runCounting(t, w.run(), last)
		Must(t, "tasks", "pause", last)
		if _, err := api.checkpoint(last, &options.CheckpointOptions{Exit: true}); err != nil {
			t.Fatal(err)
		}
		engines.Eventually(t, "the task has stopped", func() bool { return status(t, last) == "STOPPED" })
		engines.Case{Args: "tasks rm " + last, Stderr: "exit code 137"}.Check(t, client()...)
	})
}

func TestTaskThatIsNotRestoredLeavesNothing(t *testing.T) {
	integration.NeedsCriu(t)
	forEachWay(t, func(t *testing.T, w way) {
		api, dir := dial(t), t.TempDir()
		life := fresh("life")
		w.create(t, life, "true")
		o := w.options("")
		o.CriuImagePath = dir // which is empty
		remove := []string{"tasks", "rm", life}
		if w.shim == "own" {
			remove = append(remove, "-f") // with the stock shim, ctr waits for ever for the end of a process that never was
		}
		api.createTask(life, filepath.Join(dir, "log"), nil, o)
		Must(t, remove...)
		api.createTask(life, filepath.Join(dir, "log"), nil, o)
		if _, err := api.start(life); err == nil || !strings.Contains(err.Error(), "criu: ") {
			t.Errorf("restoring nothing: %v", err)
		}
		if got := status(t, life); got != "CREATED" {
			t.Errorf("behind a restore that failed, the task is %s", got)
		}
		Must(t, remove...)
	})
}
