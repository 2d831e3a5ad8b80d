package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
)

// killTimeout bounds the wait for killed processes to end, in milliseconds.
const killTimeout = 10_000

// Delete removes a stopped container. With force it kills what still runs, cleans up after a create or start that was killed
// at any moment, and a container that does not exist is no error.
func (r *Runtime) Delete(id string, force bool) error {
	if force {
		if err := r.interruptCreator(id); err != nil {
			return ignoringMissing(err)
		}
	}
	c, err := r.loadLocked(id)
	if errors.Is(err, ErrNotExist) {
		return r.deleteUnwritten(id, force)
	}
	if err != nil {
		return err
	}
	defer c.unlock()
	// A created container has run nothing yet; as runc does, it is killed without being forced to.
	if status := c.status(); !force && status != Stopped && status != Created {
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", id, status)
	}
	return c.destroy()
}

// Remove is Delete by force for the caller that made the container itself and knows it: nothing needs to be read again. A container
// that is gone already is no error.
func (c *Container) Remove() error {
	lock, _, err := c.runtime.lockExisting(c.j.ID)
	if err != nil {
		return ignoringMissing(err)
	}
	c.lock = lock
	defer c.unlock()
	return c.destroy()
}

func ignoringMissing(err error) error {
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// deleteUnwritten removes a state directory whose state file was never written: then nothing else was made either.
func (r *Runtime) deleteUnwritten(id string, force bool) error {
	lock, dir, err := r.lockExisting(id)
	if err != nil {
		if force {
			return ignoringMissing(err)
		}
		return err
	}
	c := &Container{runtime: r, dir: dir, lock: lock}
	defer c.unlock()
	if err := c.readJournal(); err == nil { // written since we looked
		return c.destroy()
	}
	return c.removeState()
}

// interruptCreator ends a create or run that still holds the container's lock, so that delete --force never waits for a
// hook that hangs. Its init process dies with it: the stage gives up when nobody answers.
func (r *Runtime) interruptCreator(id string) error {
	c, err := r.Load(id)
	if err != nil {
		if errors.Is(err, ErrNotExist) {
			return nil
		}
		return err
	}
	if c.j.Phase != phaseCreating || c.j.Creator.Pid == os.Getpid() {
		return nil
	}
	if err := c.j.Creator.signal(unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending the zbox that still creates the container (process %d): %w", c.j.Creator.Pid, err)
	}
	c.j.Creator.waitGone(killTimeout)
	return nil
}

// destroy undoes create: processes, cgroup, resctrl directory, state, and then the poststop hooks. It goes on as far as it can and
// returns the first error; what could not be removed stays in the journal for the next delete --force.
func (c *Container) destroy() error {
	if err := c.killProcesses(); err != nil {
		return err
	}
	if c.j.Resctrl != "" {
		if err := os.Remove(c.j.Resctrl); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing the resctrl directory: %w", err)
		}
	}
	_, _ = c.Spec() // poststop hooks need it once the directory is gone
	if err := c.removeState(); err != nil {
		return err
	}
	if c.spec != nil {
		c.poststop()
	}
	return nil
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

// reapInit takes the exit status of an init process that is our own child (a failed create); the cgroup cannot go before.
func (c *Container) reapInit() {
	if c.j.Init.Pid == 0 {
		return
	}
	var status unix.WaitStatus
	_ = ignoringEINTR(func() error {
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
