package libzbox

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
)

// Kill sends a signal to the container's init process, or to every process of the container with all. A container that does
// not run is ErrNotRunning, but for all: then there is nothing left to do.
func (c *Container) Kill(sig unix.Signal, all bool) error {
	status := c.status()
	if all {
		return c.killAll(sig, status)
	}
	switch status {
	case Created, Running, Paused:
	default:
		return ErrNotRunning
	}
	if sig == unix.SIGKILL && c.SharesPidNamespace() {
		return c.killAll(sig, status)
	}
	if err := c.j.Init.signal(sig); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return ErrNotRunning
		}
		return fmt.Errorf("signalling init: %w", err)
	}
	if status == Paused && sig == unix.SIGKILL {
		return c.thawToDie()
	}
	return nil
}

// thawToDie thaws a cgroup v1 freezer: there a frozen process does not even die.
func (c *Container) thawToDie() error {
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return err
	}
	return cg.Thaw()
}

func (c *Container) killAll(sig unix.Signal, status Status) error {
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return err
	}
	if sig == unix.SIGKILL {
		if err := cg.Kill(); err != nil {
			return fmt.Errorf("killing the cgroup: %w", err)
		}
		if status == Paused {
			return cg.Thaw()
		}
		return nil
	}
	pids, err := cg.Pids()
	if err != nil {
		if status == Stopped {
			return nil
		}
		return err
	}
	for _, pid := range pids {
		if pid <= 0 { // outside of our pid namespace; to kill(2) it would be our own process group
			continue
		}
		if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("signalling process %d: %w", pid, err)
		}
	}
	return nil
}

// SharesPidNamespace reports whether the container has no new pid namespace: then the death of init does not end its other processes.
func (c *Container) SharesPidNamespace() bool {
	s, err := c.Spec()
	return err != nil || !hasNewNamespace(s, specs.PIDNamespace)
}
