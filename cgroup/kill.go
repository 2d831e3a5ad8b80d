package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Pids returns all processes of the cgroup and of those below it. A cgroup that is gone has none. 0 stands for a process outside
// of zbox's pid namespace.
func (c *Cgroup) Pids() ([]int, error) {
	if c.manager == nil || c.saved.None {
		return nil, fmt.Errorf("listing processes: %w", ErrNone)
	}
	pids, err := cgroups.GetAllPids(c.anchor())
	if err != nil && !gone(err) {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	return pids, nil
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// Signal sends sig to every process of the cgroup. Freezing keeps them from forking away meanwhile, and their pids from being
// used again.
func (c *Cgroup) Signal(sig unix.Signal) error {
	frozen, err := c.Frozen()
	if err != nil {
		return err
	}
	if !frozen && c.Freeze() == nil {
		defer func() { _ = c.Thaw() }()
	}
	pids, err := c.Pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		// 0 would be zbox's own process group.
		if pid <= 0 || pid == os.Getpid() {
			continue
		}
		if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
			return fmt.Errorf("signalling process %d: %w", pid, err)
		}
	}
	return nil
}

// Kill kills every process of the cgroup, frozen or not, and returns when they are gone, or with an error when some remain after
// 30 s. A cgroup that is gone, or never was, is no error.
func (c *Cgroup) Kill() error {
	if c.manager == nil || c.saved.None || !exists(c.anchor()) {
		return nil
	}
	const patience = 30 * time.Second
	delay := time.Millisecond
	for end := time.Now().Add(patience); ; delay = min(2*delay, 100*time.Millisecond) {
		if err := c.killOnce(); err != nil {
			return err
		}
		pids, err := c.Pids()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("killing cgroup %s: processes remain (%s)", c.anchor(), listPids(pids))
		}
		time.Sleep(delay) //nolint:forbidigo // cgroup v1 has no event for an empty cgroup
	}
}

// killOnce uses cgroup.kill (v2, Linux 5.14), or else a signal for each process.
func (c *Cgroup) killOnce() error {
	if c.saved.Version == 2 {
		err := cgroups.WriteFile(c.saved.Paths[""], "cgroup.kill", "1")
		if err == nil || gone(err) && !exists(c.anchor()) {
			return nil
		}
	}
	if err := c.Signal(unix.SIGKILL); err != nil {
		return err
	}
	// What is frozen on v1 dies only when it is thawed.
	if frozen, err := c.Frozen(); err != nil || !frozen {
		return err
	}
	return c.Thaw()
}
