package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/host"
	"github.com/bxrne/zbox/nsexec"
)

// killTimeout bounds the wait for killed processes to end, in milliseconds.
const killTimeout = 30_000

// delete --force looks every lockPoll whether the holder of a container's lock is gone, and gives up after lockPatience.
const (
	lockPoll     = 2 * time.Millisecond
	lockPatience = 30 * time.Second
)

// Delete removes a stopped container. With force it kills what still runs, cleans up after a create or start that was killed
// at any moment, and a container that does not exist is no error.
func (r *Runtime) Delete(id string, force bool) error {
	c, err := r.lockToDelete(id, force)
	if err != nil {
		if force {
			return ignoringMissing(err)
		}
		return err
	}
	defer c.unlock()
	switch err := c.readJournal(); {
	case errors.Is(err, ErrNotExist): // killed before the first record: nothing else was made
		return c.removeState()
	case err != nil && force:
		return c.destroyDamaged(id, err)
	case err != nil:
		return fmt.Errorf("%w (delete --force removes the container all the same)", err)
	}
	// A created container has run nothing yet; as runc does, it is killed without being forced to.
	if status := c.status(); !force && status != Stopped && status != Created {
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", id, status)
	}
	return c.destroy()
}

// Remove is Delete by force for the caller that made the container itself and knows it: nothing needs to be read again. A container
// that is gone already is no error.
func (c *Container) Remove() error {
	if c.made == nil {
		return errors.New("removing a container that another process made")
	}
	c.lock, c.made = c.made, nil
	defer c.unlock()
	if err := nsexec.IgnoringEINTR(func() error { return unix.Flock(int(c.lock.Fd()), unix.LOCK_EX) }); err != nil {
		return fmt.Errorf("locking %s: %w", c.dir, err)
	}
	// Somebody else may have deleted it and made another one of the same name.
	if !sameFile(c.lock, c.dir) {
		return nil
	}
	return c.destroy()
}

func ignoringMissing(err error) error {
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// lockToDelete takes the lock. By force it does not wait for a create or start that hangs, in a hook perhaps, but ends it.
func (r *Runtime) lockToDelete(id string, force bool) (*Container, error) {
	how := unix.LOCK_EX
	if force {
		how |= unix.LOCK_NB
	}
	for end := time.Now().Add(lockPatience); ; {
		lock, dir, err := r.flock(id, how)
		if err == nil {
			return &Container{runtime: r, dir: dir, lock: lock}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			return nil, err
		}
		if err := r.interrupt(id); err != nil {
			return nil, err
		}
		// Another holder than these has soon done. Waiting in flock(2) would wait for a create that hangs before it says who it is.
		time.Sleep(lockPoll) //nolint:forbidigo // the kernel offers no flock with a deadline
	}
}

// interrupt kills the zbox that creates or starts the container, with the hook that it may hang in and all that this has started. The
// init process of a create dies with it: the stage gives up when nobody answers. One that saves the container gives up when its criu is killed.
func (r *Runtime) interrupt(id string) error {
	c, err := r.Load(id)
	if err != nil || c.j.Worker.Pid == os.Getpid() {
		return nil // nothing written yet, or damaged: then there is nobody to be found
	}
	if err := c.killCriu(); err != nil {
		return err
	}
	if err := c.j.Worker.killTree(); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending the zbox that still works on the container (process %d): %w", c.j.Worker.Pid, err)
	}
	c.j.Worker.waitGone(killTimeout)
	return nil
}

// destroyDamaged removes a container whose state file cannot be read. An older record, or else the saved configuration, still
// tells its cgroup, which holds all its processes.
func (c *Container) destroyDamaged(id string, cause error) error {
	warn := func(text string) { c.runtime.opts.Warn(fmt.Sprintf("%s: %v: %s", id, cause, text)) }
	if c.readOlderRecord() {
		warn("cleaning up by an older record")
		return c.destroy()
	}
	s, saved, err := c.savedByConfig(id)
	if err != nil {
		warn("its processes and cgroup, if there are any, stay: " + err.Error())
		return c.removeState()
	}
	warn("cleaning up by the saved configuration")
	c.j = journal{ID: id, OCIVersion: s.Version, Annotations: s.Annotations, Cgroup: saved}
	return c.destroy()
}

// savedByConfig finds out from the saved configuration which cgroup a container must have.
func (c *Container) savedByConfig(id string) (*specs.Spec, cgroup.Saved, error) {
	s, err := c.Spec()
	if err != nil {
		return nil, cgroup.Saved{}, err
	}
	found, err := host.Probe()
	if err != nil {
		return nil, cgroup.Saved{}, err
	}
	cg, err := cgroup.New(c.runtime.cgroupConfig(id, s, found.Cgroup))
	if cg == nil { // that it holds processes is no reason
		return nil, cgroup.Saved{}, err
	}
	return s, cg.Saved(), nil
}

// destroy undoes create, checkpoint and restore: hook, criu, processes, cgroup, what criu has changed and left, resctrl directory, state; and it
// runs the poststop hooks. It goes on as far as it can and returns the first error; what could not be removed stays in the journal for the next
// delete --force.
func (c *Container) destroy() error {
	c.killHook()
	// Before the processes: one that criu traces ends only when criu has seen that.
	if err := c.killCriu(); err != nil {
		return err
	}
	if err := c.killProcesses(); err != nil {
		return err
	}
	if err := c.restoreCgroupOptions(); err != nil {
		return err
	}
	if err := c.removeCriuDir(); err != nil {
		return err
	}
	if err := c.removeResctrl(); err != nil {
		return err
	}
	if err := c.poststop(); err != nil {
		return err
	}
	return c.removeState()
}

// killProcesses ends all processes of the container and removes its cgroup.
func (c *Container) killProcesses() error {
	if err := c.j.Init.signal(unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing init: %w", err)
	}
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return err
	}
	// The usual end: init is dead, and nobody else was left.
	if !c.j.Init.alive() && cg.RemoveEmpty() {
		c.reapInit()
		return nil
	}
	if err := cg.Kill(); err != nil {
		return fmt.Errorf("killing the cgroup: %w", err)
	}
	c.reapInit()
	if !c.j.Init.waitGone(killTimeout) {
		return fmt.Errorf("init process %d does not end", c.j.Init.Pid)
	}
	if err := cg.Destroy(); err != nil {
		return fmt.Errorf("removing the cgroup: %w", err)
	}
	return nil
}

// reapInit takes the exit status of an init process that is our own child (a failed create); the cgroup cannot go before. A process that
// lives on long, as the shim does, may have got another child with the pid of an init that it reaped.
func (c *Container) reapInit() {
	if !c.j.Init.exists() {
		return
	}
	var status unix.WaitStatus
	_ = nsexec.IgnoringEINTR(func() error {
		_, err := unix.Wait4(c.j.Init.Pid, &status, 0, nil)
		return err
	})
}

// removeState removes the state directory. The state file goes last: until then delete --force finds the rest.
func (c *Container) removeState() error {
	for _, name := range []string{startSocket, filepath.Join(notifyDir, notifyName), notifyDir, configFile, journalFile} {
		err := removeQuick(filepath.Join(c.dir, name))
		if err != nil {
			return fmt.Errorf("removing the state directory: %w", err)
		}
	}
	if err := unix.Rmdir(c.dir); err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	// Something is left that this zbox does not know.
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("removing the state directory: %w", err)
	}
	return nil
}

// removeQuick removes a file or an empty directory; one that is not there is no error.
func removeQuick(path string) error {
	err := unix.Unlink(path)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Rmdir(path)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}
