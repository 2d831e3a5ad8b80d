package libzbox

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func shell(script string, args ...string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: append([]string{"sh", "-c", script}, args...)}
}

// runAlone runs a hook of no container.
func runAlone(h specs.Hook, state specs.State, dir string) error {
	output, err := newHookOutput()
	if err != nil {
		return err
	}
	defer output.close()
	return runHook(h, state, dir, output)
}

func TestHookReadsTheStateFromStdin(t *testing.T) {
	dir := t.TempDir()
	state := specs.State{Version: "1.3.0", ID: "web", Status: specs.StateCreating, Pid: 7, Bundle: "/b", Annotations: map[string]string{"a": "\"\n"}}
	if err := runAlone(shell("cat > stdin; pwd > pwd"), state, dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "stdin"))
	if err != nil {
		t.Fatal(err)
	}
	var got specs.State
	if err := json.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, state) {
		t.Errorf("got %s, %v", data, err)
	}
	if pwd, _ := os.ReadFile(filepath.Join(dir, "pwd")); strings.TrimSpace(string(pwd)) != dir {
		t.Errorf("working directory %s, want the bundle %s", pwd, dir)
	}
}

func TestHookThatDoesNotReadItsStdin(t *testing.T) {
	state := specs.State{Annotations: map[string]string{"big": strings.Repeat("x", 1<<20)}}
	if err := runAlone(specs.Hook{Path: "/bin/true"}, state, "/"); err != nil {
		t.Error(err)
	}
}

func TestHookHasOnlyItsOwnEnvironment(t *testing.T) {
	t.Setenv("ZBOX_TEST", "leaks")
	for _, env := range [][]string{nil, {"A=1", "B=2 3"}} {
		dir := t.TempDir()
		h := specs.Hook{Path: "/usr/bin/env", Env: env}
		if err := runAlone(specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "exec cat /proc/self/environ > environ"}, Env: h.Env}, specs.State{}, dir); err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(filepath.Join(dir, "environ"))
		for _, pair := range strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00") {
			own := pair == "" || strings.HasPrefix(pair, "PWD=") || strings.HasPrefix(pair, "OLDPWD=") || strings.HasPrefix(pair, "SHLVL=") || strings.HasPrefix(pair, "_=")
			for _, e := range env {
				own = own || pair == e
			}
			if !own {
				t.Errorf("the hook sees %q", pair)
			}
		}
		for _, e := range env {
			if !strings.Contains("\x00"+string(data), "\x00"+e+"\x00") {
				t.Errorf("the hook does not see %q: %q", e, data)
			}
		}
	}
}

func TestHookErrors(t *testing.T) {
	second := 1
	long := "head -c 100000 /dev/zero | tr '\\0' x; echo; echo the end >&2; exit 3"
	for _, tt := range []struct {
		name string
		hook specs.Hook
		want string
	}{
		{"exit status and output", shell("echo one; echo two >&2; exit 3"), "/bin/sh: exit status 3: one; two"},
		{"no output", shell("exit 3"), "/bin/sh: exit status 3"},
		{"a signal", shell("kill -TERM $$"), "/bin/sh: signal: terminated"},
		{"the end of much output", shell(long), "/bin/sh: exit status 3: " + strings.Repeat("x", maxHookOutput-len("\nthe end\n")) + "; the end"},
		{"a timeout", specs.Hook{Path: "/bin/sleep", Args: []string{"sleep", "1000"}, Timeout: &second}, "/bin/sleep: killed after its timeout of 1 s"},
		{"no such program", specs.Hook{Path: "/nowhere"}, "/nowhere: fork/exec /nowhere: no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begun := time.Now()
			if err := runAlone(tt.hook, specs.State{}, "/"); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if took := time.Since(begun); took > patience {
				t.Errorf("took %v", took)
			}
		})
	}
}

// What the hook has started goes with it, in the background or not.
func TestHookIsKilledWithItsChildrenAfterItsTimeout(t *testing.T) {
	dir := t.TempDir()
	seconds := 5 // in which it has started them, also on a busy machine
	h := shell("sleep 1000 & echo $! > child; sh -c 'echo $$ >> child; sleep 1000; :'; :")
	h.Timeout = &seconds
	if err := runAlone(h, specs.State{}, dir); err == nil || err.Error() != "/bin/sh: killed after its timeout of 5 s" {
		t.Errorf("got %v", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(string(text))
	if len(pids) != 2 {
		t.Fatalf("the hook has started %q, want two processes", text)
	}
	for _, field := range pids {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := identify(pid); err == nil && !id.waitGone(int(patience.Milliseconds())) {
			t.Errorf("process %d lives on", pid)
		}
	}
}

// Only the hook itself is waited for, not what it leaves in the background with its stdout.
func TestHookThatLeavesAProcess(t *testing.T) {
	dir := t.TempDir()
	begun := time.Now()
	if err := runAlone(shell("sleep 1000 & echo $! > child"), specs.State{}, dir); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > patience {
		t.Errorf("took %v", took)
	}
	text, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	child, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Kill(); err != nil {
		t.Error(err)
	}
}
