package libzbox

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// waitForWaiter waits until somebody waits for the lock of the directory that f is.
func waitForWaiter(t *testing.T, f *os.File) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); !hasWaiter(t, st.Ino); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits for the lock")
		}
	}
}

func TestStateDirectoryIsPrivate(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	r, _ := newRuntime(t)
	c := newContainer(t, r, "web", phaseCreating)
	for path, want := range map[string]os.FileMode{r.opts.Root: 0o700 | os.ModeDir | os.ModeSticky, c.dir: 0o700 | os.ModeDir} {
		if st, err := os.Stat(path); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", path, st.Mode(), err, want)
		}
	}
}

func TestSecondStateDirectoryOfAnID(t *testing.T) {
	r, _ := newRuntime(t)
	newContainer(t, r, "web", phaseCreating)
	if _, err := r.makeStateDir("web"); !errors.Is(err, ErrExist) {
		t.Errorf("got %v, want %v", err, ErrExist)
	}
}

func TestLockOfADirectoryThatWasRemovedMeanwhile(t *testing.T) {
	r, _ := newRuntime(t)
	c := newContainer(t, r, "web", phaseCreated)
	got := make(chan error, 1)
	go func() {
		_, err := r.loadLocked("web")
		got <- err
	}()
	waitForWaiter(t, c.lock)
	if err := c.removeState(); err != nil {
		t.Fatal(err)
	}
	c.unlock()
	if err := <-got; !errors.Is(err, ErrNotExist) {
		t.Errorf("got %v, want %v", err, ErrNotExist)
	}
}

func TestLockOfADirectoryThatWasReplacedMeanwhile(t *testing.T) {
	r, _ := newRuntime(t)
	old := newContainer(t, r, "web", phaseCreated)
	type result struct {
		c   *Container
		err error
	}
	got := make(chan result, 1)
	go func() {
		c, err := r.loadLocked("web")
		got <- result{c, err}
	}()
	waitForWaiter(t, old.lock)
	if err := old.removeState(); err != nil {
		t.Fatal(err)
	}
	replacement := newContainer(t, r, "web", phaseStarted)
	old.unlock()
	waitForWaiter(t, replacement.lock)
	replacement.unlock()
	g := <-got
	if g.err != nil {
		t.Fatal(g.err)
	}
	defer g.c.unlock()
	if g.c.j.Phase != phaseStarted || !sameFile(g.c.lock, filepath.Join(r.opts.Root, "web")) {
		t.Errorf("got the old directory: %+v", g.c.j)
	}
}

// A create whose new directory is deleted, and made anew by another create before it gets the lock, has lost.
func TestClaimOfADirectoryThatIsAnotherOnesByNow(t *testing.T) {
	r, _ := newRuntime(t)
	winner := newContainer(t, r, "web", phaseCreating)
	got := make(chan error, 1)
	go func() {
		_, err := r.claim("web")
		got <- err
	}()
	waitForWaiter(t, winner.lock)
	winner.unlock()
	if err := <-got; !errors.Is(err, ErrExist) {
		t.Errorf("got %v, want %v", err, ErrExist)
	}
}

func TestClaimOfADirectoryThatIsGone(t *testing.T) {
	r, _ := newRuntime(t)
	if _, err := r.claim("web"); !errors.Is(err, ErrNotExist) {
		t.Errorf("got %v, want %v", err, ErrNotExist)
	}
}

func TestRemoveLeavesAContainerOfTheSameNameAlone(t *testing.T) {
	r, _ := newRuntime(t)
	c := newContainer(t, r, "web", phaseStarted)
	c.unlockMade()
	if err := r.Delete("web", true); err != nil {
		t.Fatal(err)
	}
	other := newContainer(t, r, "web", phaseCreated)
	other.unlock()
	if err := c.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := r.Load("web"); err != nil {
		t.Errorf("the other container: %v", err)
	}
}

func TestRemoveDeletesWhatWasMade(t *testing.T) {
	r, _ := newRuntime(t)
	c := newContainer(t, r, "web", phaseStarted)
	c.unlockMade()
	if err := c.Remove(); err != nil {
		t.Error(err)
	}
	if r.exists("web") {
		t.Error("it is still there")
	}
}

// delete --force ends whoever works on the container and holds its lock.
func TestDeleteForceKillsTheWorkerThatHoldsTheLock(t *testing.T) {
	for _, p := range []phase{phaseCreating, phaseStarting, phaseStarted} {
		t.Run(string(p), func(t *testing.T) {
			r, _ := newRuntime(t)
			c := newContainer(t, r, "web", p)
			c.unlock()
			worker := flockProcess(t, c.dir)
			c.j.Worker = worker
			if err := c.writeJournal(); err != nil {
				t.Fatal(err)
			}
			if err := r.Delete("web", true); err != nil {
				t.Error(err)
			}
			if worker.alive() || r.exists("web") {
				t.Error("the worker or the container is still there")
			}
		})
	}
}
