package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

// everyTime are the system calls that are killed at each time; of the others a few are enough: the first, the last, and
// every tenth between.
var everyTime = map[string]bool{
	"accept4": true, "bind": true, "clone": true, "clone3": true, "connect": true, "execve": true, "execveat": true,
	"exit_group": true, "flock": true, "linkat": true, "listen": true, "mkdirat": true, "openat": true, "pidfd_send_signal": true,
	"pivot_root": true, "recvfrom": true, "recvmsg": true, "renameat": true, "sendmsg": true, "sendto": true, "unlinkat": true,
	"wait4": true,
}

// choose picks an actor's points from all that a trace saw.
func choose(seen trace, who actor) []point {
	last := map[string]int{}
	for _, p := range seen.Points {
		if p.Actor == who {
			last[p.Call] = p.N
		}
	}
	var chosen []point
	for _, p := range seen.Points {
		if p.Actor == who && (everyTime[p.Call] || p.N%10 == 1 || p.N == last[p.Call]) {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

// poststopped is the file that the poststop hook makes in the bundle.
const poststopped = "poststopped"

// plainBundle leaves zbox so little to do in the host's world that the stage works on its own for long.
func plainBundle(t *testing.T) *integration.Bundle {
	return integration.NewBundle(t, integration.Sleep)
}

// richBundle has one of everything that zbox does for a container in the host's world.
func richBundle(t *testing.T) *integration.Bundle {
	return integration.NewBundle(t, integration.Sleep, integration.WithUserNamespace, func(s *specs.Spec) {
		limit := int64(64 << 20)
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
		if integration.CgroupV2() {
			s.Linux.Resources.Memory = nil // the view has no controllers
		}
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow,
			Syscalls:      []specs.LinuxSyscall{{Names: []string{"reboot"}, Action: specs.ActErrno}},
		}
		hook := []specs.Hook{{Path: "/bin/true"}}
		s.Hooks = &specs.Hooks{CreateRuntime: hook, CreateContainer: hook, StartContainer: hook, Poststart: hook}
		s.Hooks.Poststop = []specs.Hook{{Path: "/bin/touch", Args: []string{"touch", poststopped}}} // in the bundle
	})
}

// A command is one call of zbox that gets killed.
type command struct {
	name string
	// prepare makes what the command needs, and returns its arguments and the pid of a stage that waits, or 0.
	prepare func(t *testing.T, r *integration.Runtime, b *integration.Bundle) (id string, args []string, stage int)
	// atLeast is how many points of each actor there are at least: a test that kills nothing proves nothing.
	atLeast map[actor]int
	created bool // prepare makes a container
}

func create(t *testing.T, r *integration.Runtime, b *integration.Bundle) (string, []string, int) {
	id := r.ID("crash")
	b.PlaceCgroup(id)
	return id, []string{"create", "--bundle", b.Dir, "--pid-file", filepath.Join(b.Dir, "pid"), id}, 0
}

func run(t *testing.T, r *integration.Runtime, b *integration.Bundle) (string, []string, int) {
	id := r.ID("crash")
	b.PlaceCgroup(id)
	return id, []string{"run", "--detach", "--bundle", b.Dir, id}, 0
}

func start(t *testing.T, r *integration.Runtime, b *integration.Bundle) (string, []string, int) {
	c := r.Create(b)
	return c.ID, []string{"start", c.ID}, c.Pid
}

func exec(t *testing.T, r *integration.Runtime, b *integration.Bundle) (string, []string, int) {
	c := r.Start(b)
	return c.ID, []string{"exec", "--detach", "--pid-file", filepath.Join(b.Dir, "pid"), c.ID, "sleep", "1000"}, 0
}

func deleteForce(t *testing.T, r *integration.Runtime, b *integration.Bundle) (string, []string, int) {
	c := r.Start(b)
	return c.ID, []string{"delete", "--force", c.ID}, 0
}

func TestKillDuringCreate(t *testing.T) {
	testKills(t, richBundle(t), command{name: "create", prepare: create, atLeast: map[actor]int{zbox: 30, stage: 40}})
}

func TestKillDuringPlainCreate(t *testing.T) {
	testKills(t, plainBundle(t), command{name: "create", prepare: create, atLeast: map[actor]int{zbox: 10, stage: 35}})
}

func TestKillDuringStart(t *testing.T) {
	testKills(t, richBundle(t), command{name: "start", prepare: start, atLeast: map[actor]int{zbox: 8, stage: 6}, created: true})
}

func TestKillDuringRun(t *testing.T) {
	testKills(t, richBundle(t), command{name: "run", prepare: run, atLeast: map[actor]int{zbox: 25, stage: 40}})
}

func TestKillDuringExec(t *testing.T) {
	testKills(t, richBundle(t), command{name: "exec", prepare: exec, atLeast: map[actor]int{zbox: 10, stage: 8}, created: true})
}

func TestKillDuringDelete(t *testing.T) {
	testKills(t, richBundle(t), command{name: "delete", prepare: deleteForce, atLeast: map[actor]int{zbox: 5}, created: true})
}

// testKills kills zbox and the stage at each chosen point of a command; after each, one `delete --force` must leave nothing.
func testKills(t *testing.T, b *integration.Bundle, c command) {
	integration.ZboxOnly(t, "kills the stage")
	all := undisturbed(t, b, c)
	for who, least := range c.atLeast {
		points, killed := choose(all, who), 0
		for i, p := range points {
			t.Run(p.String(), func(t *testing.T) {
				if killAndDelete(t, c, b, p, i%4 == 0) {
					killed++
				}
			})
		}
		t.Logf("%s: %s killed at %d points of %d", c.name, who, killed, len(points))
		// Where a call falls may differ a little between runs of a program with threads.
		if killed < least || killed < len(points)*9/10 {
			t.Errorf("%s was killed at %d points of %d, want at least %d and nine of ten", who, killed, len(points), least)
		}
	}
}

// undisturbed traces the command without killing anything. A busy machine makes zbox wait and try again; the shortest of three traces
// has the points that are always there.
func undisturbed(t *testing.T, b *integration.Bundle, c command) (shortest trace) {
	for i := range 3 {
		t.Run("undisturbed", func(t *testing.T) {
			r := integration.New(t)
			id, args, attached := c.prepare(t, r, b)
			seen, res := kill(t, r, point{}, attached, args...)
			if seen.Code != 0 || seen.Killed {
				t.Fatalf("exit %d: %s", seen.Code, res.Stderr)
			}
			if i == 0 || len(seen.Points) < len(shortest.Points) {
				shortest = seen
			}
			deleteOnce(t, r, b, id)
		})
	}
	return shortest
}

func killAndDelete(t *testing.T, c command, b *integration.Bundle, p point, look bool) bool {
	r := integration.New(t)
	id, args, attached := c.prepare(t, r, b)
	seen, _ := kill(t, r, p, attached, args...)
	if seen.Killed && p.Actor == zbox && seen.Code != -1 {
		t.Errorf("zbox survived with exit %d", seen.Code)
	}
	if look {
		lookAt(t, r, id)
	}
	deleteOnce(t, r, b, id)
	// A created container's hooks are run at least once, whichever delete was killed.
	if _, err := os.Stat(filepath.Join(b.Dir, poststopped)); err != nil && c.created {
		t.Errorf("poststop hook: %v", err)
	}
	_ = os.Remove(filepath.Join(b.Dir, poststopped))
	return seen.Killed
}

// lookAt asks for what is left of a container: every answer is one of those that a caller knows.
func lookAt(t *testing.T, r *integration.Runtime, id string) {
	t.Helper()
	gone := fmt.Sprintf("zbox: state %s: container does not exist\n", id)
	if res := r.Do("state", id); res.Code != 0 && res.Stderr != gone {
		t.Errorf("state: exit %d: %s", res.Code, res.Stderr)
	}
	if res := r.Do("list"); res.Code != 0 || res.Stderr != "" {
		t.Errorf("list: exit %d: %s", res.Code, res.Stderr)
	}
	res := r.Do("kill", id, "KILL")
	if res.Code != 0 && !strings.Contains(res.Stderr, "container not running") && !strings.Contains(res.Stderr, "container does not exist") {
		t.Errorf("kill: exit %d: %s", res.Code, res.Stderr)
	}
}

// deleteOnce deletes by force and looks for everything that it might have left.
func deleteOnce(t *testing.T, r *integration.Runtime, b *integration.Bundle, id string) {
	t.Helper()
	deleteOnceKeeping(t, r, b, id, 0)
}

// deleteOnceKeeping is deleteOnce; somebody else waits for the process keep.
func deleteOnceKeeping(t *testing.T, r *integration.Runtime, b *integration.Bundle, id string, keep int) {
	t.Helper()
	cmd := r.Command("delete", "--force", id)
	out, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	integration.Eventually(t, "delete --force has ended", func() bool {
		reap(cmd.Process.Pid, keep)
		select {
		case err = <-done:
			return true
		default:
			return false
		}
	})
	if text, _ := os.ReadFile(out.Name()); err != nil || len(text) > 0 {
		t.Errorf("delete --force: %v, output %q", err, text)
	}
	integration.Eventually(t, "all processes are gone", func() bool { return reap(keep) == 0 })
	for _, left := range leftovers(r, b, id) {
		t.Errorf("left behind: %s", left)
	}
}

// reap takes the exit status of the test's dead children, but not of those to keep, and counts the living ones.
func reap(keep ...int) int {
	living := 0
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for field := range strings.FieldsSeq(string(text)) {
			pid, _ := strconv.Atoi(field)
			if slices.Contains(keep, pid) {
				continue
			}
			if reaped, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); reaped != pid && !errors.Is(err, unix.ECHILD) {
				living++
			}
		}
	}
	return living
}

// leftovers are the files and cgroups that carry the container's name, and new files in the bundle. The harness looks for the rest.
func leftovers(r *integration.Runtime, b *integration.Bundle, id string) []string {
	var left []string
	patterns := []string{
		filepath.Join(r.Root, "*"), filepath.Join(r.Root, ".*"), filepath.Join(r.Root, ".seccomp", ".*"),
		"/sys/fs/cgroup/" + id, "/sys/fs/cgroup/*/" + id, filepath.Join(b.Dir, "*"), filepath.Join(b.Dir, ".*"),
	}
	known := map[string]bool{
		filepath.Join(r.Root, ".seccomp"): true, filepath.Join(b.Dir, "config.json"): true, b.Rootfs(): true,
		filepath.Join(b.Dir, "pid"): true, filepath.Join(b.Dir, poststopped): true,
	}
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern)
		for _, path := range found {
			if base := filepath.Base(path); !known[path] && base != "." && base != ".." {
				left = append(left, path)
			}
		}
	}
	_ = os.Remove(filepath.Join(b.Dir, "pid"))
	return left
}
