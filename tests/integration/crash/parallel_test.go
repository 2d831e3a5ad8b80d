package crash

import (
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

// A call is one call of zbox in a crowd: it must not end the test from its goroutine.
type call struct {
	args   []string
	output string
	err    error
}

// patience is far beyond what a call takes on a busy machine: one that takes longer hangs.
const patience = 2 * time.Minute

// try calls zbox with its output in a file, which a container that stays may hold open.
func try(r *integration.Runtime, dir string, args ...string) call {
	out, err := os.CreateTemp(dir, "output-")
	if err != nil {
		return call{args: args, err: err}
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := r.Command(args...)
	cmd.Stdout, cmd.Stderr = out, out
	err = runWithin(cmd, patience)
	text, _ := os.ReadFile(out.Name())
	return call{args, string(text), err}
}

func runWithin(cmd *osexec.Cmd, limit time.Duration) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	return cmd.Wait()
}

// inParallel runs f n times at once.
func inParallel(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func TestOneOfManyCreatesWins(t *testing.T) {
	integration.ZboxOnly(t, "matches zbox's messages")
	b := integration.NewBundle(t, integration.Sleep)
	for range 5 {
		r := integration.New(t)
		id := r.ID("one")
		b.PlaceCgroup(id)
		calls, dir := make([]call, 8), t.TempDir()
		inParallel(len(calls), func(i int) { calls[i] = try(r, dir, "create", "--bundle", b.Dir, id) })
		won := 0
		for _, c := range calls {
			switch {
			case c.err == nil:
				won++
			case c.output != "zbox: create "+id+": container with given ID already exists\n":
				t.Errorf("create: %v: %s", c.err, c.output)
			}
		}
		if won != 1 {
			t.Errorf("%d creates won, want 1", won)
		}
		if status := statusOf(t, r, id); status != "created" {
			t.Errorf("status %s, want created", status)
		}
		deleteOnce(t, r, b, id)
	}
}

func statusOf(t *testing.T, r *integration.Runtime, id string) string {
	t.Helper()
	_, rest, _ := strings.Cut(r.Must("state", id), `"status": "`)
	status, _, _ := strings.Cut(rest, `"`)
	return status
}

// refusals are the only errors that commands of a crowd may see.
var refusals = []string{
	"container with given ID already exists", "container does not exist", "container not running",
	"cannot start a container that has stopped", "cannot start a container in the running state",
	"that is not stopped: running",
}

// killedByDelete says how a create, start or kill ends that delete --force gets in the way of.
var killedByDelete = []string{"signal: killed"}

// Commands on one id in every order and at once leave a container that works, or none.
func TestCommandsOnOneIDAtOnce(t *testing.T) {
	integration.ZboxOnly(t, "matches zbox's messages")
	r := integration.New(t)
	b := integration.NewBundle(t, integration.Sleep)
	id, dir := r.ID("crowd"), t.TempDir()
	b.PlaceCgroup(id)
	create, start, state := []string{"create", "--bundle", b.Dir, id}, []string{"start", id}, []string{"state", id}
	commands := [][][]string{
		{create},
		{create},
		{create},
		{start},
		{start},
		{state},
		{{"kill", id, "KILL"}, {"delete", id}},
		{{"delete", "--force", id}, state, state, state, state, state, state, state, state, state},
	}
	const rounds = 30
	deadline := time.Now().Add(patience)
	var mu sync.Mutex
	var odd []string
	succeeded := map[string]int{}
	// Which of them come to something is up to the machine: on a slow one no create may get done before the next delete --force, which
	// behind these rounds is left out.
	mixed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return !slices.ContainsFunc([]string{"create", "start", "kill", "delete", "state"}, func(name string) bool { return succeeded[name] == 0 })
	}
	stop := reapMeanwhile()
	inParallel(len(commands), func(i int) {
		for n := 0; n < rounds || !mixed() && time.Now().Before(deadline); n++ {
			args := commands[i][n%len(commands[i])]
			if n >= rounds && args[1] == "--force" {
				args = state
			}
			c := try(r, dir, args...)
			mu.Lock()
			if c.err == nil {
				succeeded[c.args[0]]++
			} else if !c.expected() {
				odd = append(odd, fmt.Sprintf("%v: %v: %s", c.args, c.err, c.output))
			}
			mu.Unlock()
		}
	})
	stop()
	for _, o := range odd {
		t.Error(o)
	}
	t.Logf("succeeded: %v", succeeded)
	if !mixed() {
		t.Error("the commands were not mixed: one of them never succeeded")
	}
	deleteOnce(t, r, b, id)
	c := r.Start(b)
	if s := c.State(); s.Status != "running" {
		t.Errorf("a container behind the crowd: %+v", s)
	}
}

// expected reports whether the call was refused as it may be. A line of the container itself is none.
func (c call) expected() bool {
	if slices.Contains(killedByDelete, c.err.Error()) {
		return c.args[0] == "create" || c.args[0] == "start"
	}
	return strings.Count(c.output, "\n") == 1 && slices.ContainsFunc(refusals, func(text string) bool { return strings.HasSuffix(c.output, text+"\n") })
}

// reapMeanwhile reaps the containers' processes, which the test adopts, until the returned function is called. The test waits for
// zbox itself.
func reapMeanwhile() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				reapAdopted()
			}
		}
	}()
	return func() { close(done); <-ended }
}

// reapAdopted reaps dead children that are in a pid namespace of their own: no zbox is.
func reapAdopted() {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for field := range strings.FieldsSeq(string(text)) {
			comm, _ := os.ReadFile("/proc/" + field + "/comm")
			if name := strings.TrimSpace(string(comm)); name == "sleep" || name == "busybox" || strings.HasPrefix(name, "zbox-nsexec") || isMemfdName(name) {
				pid, _ := strconv.Atoi(field)
				_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		}
	}
}

// isMemfdName: a program that is executed by its descriptor is called after its number.
func isMemfdName(name string) bool {
	_, err := strconv.Atoi(name)
	return err == nil
}

// cycles is how many containers the next test makes; ZBOX_CYCLES sets another number.
const cycles = 1000

// The leak check at the end of the test is half of what it asserts.
func TestThousandCyclesEightAtATimeLeaveNothing(t *testing.T) {
	r := integration.New(t)
	n := cycles
	if text := os.Getenv("ZBOX_CYCLES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("ZBOX_CYCLES: %v", err)
		}
	}
	b, dir := integration.NewBundle(t, integration.Args("/bin/true")), t.TempDir()
	begun := time.Now()
	numbers := make(chan int)
	go func() {
		for i := range n {
			numbers <- i
		}
		close(numbers)
	}()
	inParallel(8, func(int) {
		for i := range numbers {
			if err := cycle(r, b, dir, r.Marker+"-"+strconv.Itoa(i)); err != nil {
				t.Errorf("cycle %d: %v", i, err)
			}
		}
	})
	t.Logf("%d cycles of create, start and delete, 8 at a time: %v", n, time.Since(begun))
}

// cycle is the whole life of a container.
func cycle(r *integration.Runtime, b *integration.Bundle, dir, id string) error {
	pidFile := filepath.Join(dir, id)
	for _, args := range [][]string{{"create", "--bundle", b.Dir, "--pid-file", pidFile, id}, {"start", id}} {
		if c := try(r, dir, args...); c.err != nil || c.output != "" {
			return fmt.Errorf("%v: %w: %s", c.args, c.err, c.output)
		}
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
		return fmt.Errorf("the container's process: %w, status %v", err, status)
	}
	if c := try(r, dir, "delete", id); c.err != nil || c.output != "" {
		return fmt.Errorf("%v: %w: %s", c.args, c.err, c.output)
	}
	return nil
}
