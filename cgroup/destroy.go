package cgroup

import (
	"errors"
	"fmt"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Destroy removes the cgroup, those below it, and the parents that were made for it and are not used by others. It does not kill:
// while processes are left it waits for about a second, then it is an error. What is gone already is no error.
func (c *Cgroup) Destroy() error {
	switch {
	case c.manager == nil || c.saved.None:
		return nil
	case c.saved.Driver == Systemd:
		return c.stopScope()
	}
	for _, dir := range c.dirs() {
		if err := cgroups.RemovePath(dir); err != nil {
			return c.explainBusy(dir, err)
		}
	}
	// The deepest come first. A parent that is in use stays.
	for _, dir := range c.saved.Made {
		_ = unix.Rmdir(dir)
	}
	return nil
}

func (c *Cgroup) explainBusy(dir string, err error) error {
	if pids, _ := cgroups.GetAllPids(dir); len(pids) > 0 {
		return fmt.Errorf("removing cgroup %s: it holds processes (%s): %w", dir, listPids(pids), err)
	}
	return fmt.Errorf("removing cgroup: %w", err)
}

// RemoveEmpty is Destroy for a cgroup that most likely is empty: it asks nothing first and waits for nothing. It reports whether the
// cgroup is gone; if not, Kill and Destroy must follow.
func (c *Cgroup) RemoveEmpty() bool {
	if c.manager == nil || c.saved.None || c.saved.Driver != Cgroupfs {
		return false
	}
	for _, dir := range c.dirs() {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return false
		}
	}
	for _, dir := range c.saved.Made {
		_ = unix.Rmdir(dir)
	}
	return true
}
