package libzbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/nsexec"
)

// endLeader makes this test binary a process whose first thread ends while others live on.
const endLeader = "ZBOX_TEST_END_LEADER"

func TestMain(m *testing.M) {
	if os.Getenv(endLeader) == "" {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // TestMain is called on the first thread
	go func() {
		for {
			time.Sleep(time.Hour)
		}
	}()
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
}

// patience is far beyond what a busy machine needs: a test that waits this long has failed.
const patience = time.Minute

// startProcess starts a child that is killed at the end of the test.
func startProcess(t *testing.T, cmd *exec.Cmd) processID {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	id, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func waitForState(t *testing.T, pid int, letter byte) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if state, _, err := readStat(pid); err == nil && state == letter {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is not in state %c", pid, letter)
		}
	}
}

func living(t *testing.T) processID { return startProcess(t, exec.Command("/bin/sleep", "1000")) }

func zombie(t *testing.T) processID {
	p := living(t)
	if err := p.signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitForState(t, p.Pid, 'Z')
	return p
}

func gone(t *testing.T) processID {
	cmd := exec.Command("/bin/sleep", "1000")
	p := startProcess(t, cmd)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return p
}

// reused is a living process with the pid of an earlier one.
func reused(t *testing.T) processID {
	p := living(t)
	p.Start--
	return p
}

func leaderless(t *testing.T) processID {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), endLeader+"=1")
	p := startProcess(t, cmd)
	waitForState(t, p.Pid, 'Z')
	return p
}

func none(*testing.T) processID { return processID{} }

// stageProcess is a living process whose program is called as the stage is.
func stageProcess(t *testing.T) processID {
	fd, err := unix.MemfdCreate(nsexec.StageName, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	program, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
	put(t, path, string(program))
	return startProcess(t, &exec.Cmd{Path: path, Args: []string{"sleep", "1000"}})
}

func TestStatus(t *testing.T) {
	type maker func(*testing.T) processID
	for _, tt := range []struct {
		name         string
		phase        phase
		worker, init maker
		locked       bool
		want         Status
	}{
		{"being created", phaseCreating, living, none, false, Creating},
		{"being created, init is there", phaseCreating, living, living, false, Creating},
		{"create was killed", phaseCreating, gone, none, false, Stopped},
		{"create was killed and not reaped", phaseCreating, zombie, none, false, Stopped},
		{"create was killed, its pid is used again", phaseCreating, reused, none, false, Stopped},
		{"run was killed behind execve", phaseCreating, gone, living, false, Running},
		{"create was killed and is dying: we have the lock", phaseCreating, living, none, true, Stopped},
		{"created", phaseCreated, none, living, false, Created},
		{"created, init was killed", phaseCreated, none, gone, false, Stopped},
		{"created, init was killed and not reaped", phaseCreated, none, zombie, false, Stopped},
		{"created, the pid of init is used again", phaseCreated, none, reused, false, Stopped},
		{"start was killed before the barrier", phaseStarting, gone, stageProcess, false, Created},
		{"start was killed behind the barrier", phaseStarting, gone, living, false, Running},
		{"start was killed and init, too", phaseStarting, gone, gone, false, Stopped},
		{"running", phaseStarted, none, living, false, Running},
		{"running, without its first thread", phaseStarted, none, leaderless, false, Running},
		{"ended", phaseStarted, none, gone, false, Stopped},
		{"ended and not reaped", phaseStarted, none, zombie, false, Stopped},
		{"ended, its pid is used again", phaseStarted, none, reused, false, Stopped},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := newRuntime(t)
			c := newContainer(t, r, "web", tt.phase)
			c.j.Worker, c.j.Init = tt.worker(t), tt.init(t)
			if !tt.locked {
				c.unlock()
			}
			s, err := c.State()
			if err != nil || s.Status != tt.want {
				t.Errorf("got %s, %v, want %s", s.Status, err, tt.want)
			}
			wantPid := c.j.Init.Pid
			if tt.want == Stopped {
				wantPid = 0
			}
			if s.Pid != wantPid || s.Owner != "root" && os.Geteuid() == 0 {
				t.Errorf("pid %d, owner %s, want %d", s.Pid, s.Owner, wantPid)
			}
		})
	}
}

func TestSignalReachesOnlyTheProcessThatIsMeant(t *testing.T) {
	for name, make := range map[string]func(*testing.T) processID{"none": none, "gone": gone, "reused": reused} {
		p := make(t)
		if err := p.signal(unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
			t.Errorf("%s: got %v, want ESRCH", name, err)
		}
		if !p.waitGone(0) {
			t.Errorf("%s: is not gone", name)
		}
	}
	p := living(t)
	if p.waitGone(0) {
		t.Error("a living process is gone")
	}
	if err := p.signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if !p.waitGone(int(patience.Milliseconds())) {
		t.Error("a killed process is not gone")
	}
}

func TestOnlyAStoppedOrCreatedContainerIsDeletedWithoutForce(t *testing.T) {
	r, _ := newRuntime(t)
	c := newContainer(t, r, "web", phaseStarted)
	c.j.Init = living(t)
	if err := c.writeJournal(); err != nil {
		t.Fatal(err)
	}
	c.unlock()
	if err := r.Delete("web", false); err == nil || err.Error() != "cannot delete container web that is not stopped: running" {
		t.Errorf("got %v", err)
	}
	if err := r.Delete("web", true); err != nil {
		t.Error(err)
	}
	if c.j.Init.alive() || r.exists("web") {
		t.Error("the container is still there")
	}
	if err := r.Delete("web", false); !errors.Is(err, ErrNotExist) {
		t.Errorf("got %v, want %v", err, ErrNotExist)
	}
	if err := r.Delete("web", true); err != nil {
		t.Error(err)
	}
}
