package cgroup

import (
	"fmt"

	"github.com/opencontainers/cgroups"
)

// Freeze stops all processes of the cgroup and returns when they are stopped.
func (c *Cgroup) Freeze() error { return c.setFrozen("freezing", cgroups.Frozen) }

// Thaw lets them run again.
func (c *Cgroup) Thaw() error { return c.setFrozen("thawing", cgroups.Thawed) }

func (c *Cgroup) setFrozen(verb string, state cgroups.FreezerState) error {
	if c.manager == nil || c.saved.None {
		return fmt.Errorf("%s cgroup: %w", verb, ErrNone)
	}
	if err := c.manager.Freeze(state); err != nil {
		return fmt.Errorf("%s cgroup: %w", verb, err)
	}
	return nil
}

// Frozen reports whether Freeze was called last. A cgroup that is gone, or cannot be frozen, is not frozen.
func (c *Cgroup) Frozen() (bool, error) {
	if c.manager == nil || c.saved.None {
		return false, nil
	}
	state, err := c.manager.GetFreezerState()
	if err != nil {
		return false, fmt.Errorf("reading freezer state: %w", err)
	}
	return state == cgroups.Frozen, nil
}
