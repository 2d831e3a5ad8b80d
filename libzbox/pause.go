package libzbox

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/cgroup"
)

// Pause freezes all processes of the container.
func (c *Container) Pause() error {
	return c.freezing(func(status Status, cg *cgroup.Cgroup) error {
		switch status {
		case Running, Created:
			return cg.Freeze()
		case Paused:
			return ErrPaused
		default:
			return ErrNotRunning
		}
	})
}

// Resume thaws the container.
func (c *Container) Resume() error {
	return c.freezing(func(status Status, cg *cgroup.Cgroup) error {
		if status != Paused {
			return ErrNotPaused
		}
		return cg.Thaw()
	})
}

func (c *Container) freezing(do func(Status, *cgroup.Cgroup) error) error {
	if err := c.locked(); err != nil {
		return err
	}
	defer c.unlock()
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return err
	}
	return do(c.status(), cg)
}

// UpdateOptions are the changes of update that are no cgroup resources.
type UpdateOptions struct {
	L3CacheSchema, MemBwSchema string
}

// Update changes the limits of a container that is not stopped. The saved configuration is left as it was.
func (c *Container) Update(resources *specs.LinuxResources, o UpdateOptions) error {
	if err := c.locked(); err != nil {
		return err
	}
	defer c.unlock()
	if c.status() == Stopped {
		return ErrNotRunning
	}
	if o != (UpdateOptions{}) {
		if err := c.updateResctrl(o); err != nil {
			return err
		}
	}
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return err
	}
	err = cg.Update(resources)
	for _, w := range cg.Warnings() {
		c.runtime.opts.Warn(w)
	}
	return err
}

// Pids are the processes of the container, in the caller's pid namespace.
func (c *Container) Pids() ([]int, error) {
	if c.status() == Stopped {
		return nil, ErrNotRunning
	}
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return nil, err
	}
	pids, err := cg.Pids()
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	return pids, nil
}

var errNoResctrl = errors.New("the resctrl filesystem is not mounted at /sys/fs/resctrl")
