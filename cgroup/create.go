package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Make makes the cgroup, without its limits yet. With systemd it does nothing: a scope cannot be empty; see Join. With Disabled there is
// nothing to do.
func (c *Cgroup) Make() error {
	if c.saved.Driver != Cgroupfs {
		return nil
	}
	return c.make()
}

// Limit applies the limits. It must come before anything in the cgroup that is not trusted.
func (c *Cgroup) Limit() error {
	if c.saved.Driver != Cgroupfs {
		return nil
	}
	if err := c.limit(c.config.Resources); err != nil {
		return err
	}
	return c.delegate()
}

// make creates the directories. Another container that goes may take the parent away that was just found: then once more.
func (c *Cgroup) make() error {
	const tries = 5
	var err error
	for range tries {
		if err = c.manager.Apply(-1); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, cgroups.ErrRootless) || c.saved.Rootless && !c.saved.Explicit && forbidden(err) {
		c.adopt()
		return nil
	}
	if err == nil {
		return nil
	}
	// On v1 the cpuset and realtime limits are already applied here.
	if p, ok := blame(split(c.config.Resources), err); ok {
		return c.explain(p, err)
	}
	// The words of opencontainers/cgroups for the rule of cgroup v2 against processes in inner cgroups (cgroups(7)).
	if strings.Contains(err.Error(), "with domain controllers") {
		return fmt.Errorf("linux.cgroupsPath: creating cgroup %s: a cgroup above it holds processes or is threaded, so that no limits"+
			" can be set below; choose another path", c.anchor())
	}
	return fmt.Errorf("creating cgroup: %w", err)
}

func forbidden(err error) bool {
	return errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS)
}

// adopt makes do with the hierarchies that a rootless container was permitted to use, which may be none.
func (c *Cgroup) adopt() {
	c.saved.Paths = maps.Clone(c.saved.Paths)
	maps.DeleteFunc(c.saved.Paths, func(_, dir string) bool { return !exists(dir) })
	c.saved.None = len(c.saved.Paths) == 0
}

// unprivileged says why a user without privileges has no cgroup, and what would give one.
func (c *Cgroup) unprivileged() string {
	if c.saved.Version == 1 {
		return "a cgroup cannot be made without privileges, and on cgroup v1 systemd delegates none; boot with systemd.unified_cgroup_hierarchy=1"
	}
	return "a cgroup cannot be made without privileges; a systemd user session delegates one (--systemd-cgroup)"
}

// limit applies resources through the cgroup file system.
func (c *Cgroup) limit(r *cgroups.Resources) error {
	parts := split(r)
	if c.saved.None {
		for _, p := range parts {
			if err := c.unlessLenient(p, fmt.Errorf("%s: %s", p.field, c.unprivileged())); err != nil {
				return err
			}
		}
		return nil
	}
	if err := c.limitDevices(r); err != nil {
		return err
	}
	return c.limitParts(parts)
}

func (c *Cgroup) limitDevices(r *cgroups.Resources) error {
	if len(r.Devices) == 0 {
		return nil
	}
	err := keepMemlock(func() error { return c.manager.Set(&cgroups.Resources{Devices: r.Devices}) })
	if err != nil {
		return fmt.Errorf("linux.resources.devices: %w", err)
	}
	return nil
}

// limitParts applies the parts one by one.
func (c *Cgroup) limitParts(parts []part) error {
	for _, p := range parts {
		err := c.refuseIgnored(p)
		if err == nil {
			if err = c.manager.Set(&p.resources); err != nil {
				err = c.explain(p, err)
			}
		}
		if err := c.unlessLenient(p, err); err != nil {
			return err
		}
	}
	return nil
}

// unlessLenient makes err, about one part, a warning where limits may be missing: one for each controller.
func (c *Cgroup) unlessLenient(p part, err error) error {
	if err == nil || !c.lenient {
		return err
	}
	if name := p.controller[max(c.saved.Version, 1)-1]; !slices.Contains(c.givenUp, name) {
		c.givenUp = append(c.givenUp, name)
		c.warnings = append(c.warnings, "not enforced: "+err.Error())
	}
	return nil
}

// refuseIgnored finds the settings that opencontainers/cgroups leaves out without a word when their file is missing, and the
// files that would move or kill processes instead of limiting them.
func (c *Cgroup) refuseIgnored(p part) error {
	for name := range p.resources.Unified {
		switch name {
		case "cgroup.procs", "cgroup.threads", "cgroup.kill":
			return fmt.Errorf("%s: %s is not a limit", p.field, name)
		}
	}
	dir := c.saved.Paths[p.controller[c.saved.Version-1]]
	if c.saved.Version == 2 {
		dir = c.saved.Paths[""]
	}
	switch {
	case c.saved.Version == 1 && dir == "":
		return fmt.Errorf("%s: %s", p.field, c.missingController(p))
	case c.saved.Version == 1 && p.resources.CpuBurst != nil && !exists(dir+"/cpu.cfs_burst_us"):
		return fmt.Errorf("%s.burst: this kernel has no cpu.cfs_burst_us", p.field)
	case c.saved.Version == 2 && len(p.resources.BlkioWeightDevice) > 0 && !exists(dir+"/io.bfq.weight"):
		return fmt.Errorf("%s.weightDevice: this kernel has no io.bfq.weight", p.field)
	}
	return nil
}

// delegate hands the cgroup's own files, those that cgroups(7) lists for delegation, to the owner.
func (c *Cgroup) delegate() error {
	if c.owner == nil || c.saved.None || c.saved.Version != 2 {
		return nil
	}
	dir := c.saved.Paths[""]
	if err := os.Lchown(dir, *c.owner, -1); err != nil {
		return fmt.Errorf("delegating cgroup: %w", err)
	}
	files, err := os.ReadFile("/sys/kernel/cgroup/delegate")
	if err != nil {
		return fmt.Errorf("delegating cgroup: %w", err)
	}
	for name := range strings.FieldsSeq(string(files)) {
		if err := os.Lchown(dir+"/"+name, *c.owner, -1); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("delegating cgroup: %w", err)
		}
	}
	return nil
}

// Dir opens the directory of a cgroup that processes can be born into with CLONE_INTO_CGROUP: one of cgroupfs on v2, after
// Make. Otherwise it is nil, and processes have to Join.
func (c *Cgroup) Dir() (*os.File, error) {
	if c.saved.Driver != Cgroupfs || c.saved.Version != 2 || c.saved.None {
		return nil, nil
	}
	return openDir(c.saved.Paths[""])
}

func openDir(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("opening cgroup: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Join moves the process, with all its threads, into the cgroup. With systemd it starts the scope around the process and
// then applies the limits; when that fails, the scope is stopped again.
func (c *Cgroup) Join(pid int) error {
	switch {
	case c.manager == nil || c.saved.None:
		return nil
	case c.saved.Driver == Systemd:
		return c.startScope(pid)
	}
	for _, dir := range c.dirs() {
		if err := cgroups.WriteCgroupProc(dir, pid); err != nil && !c.optional(dir) {
			return fmt.Errorf("joining cgroup: %w", err)
		}
	}
	return nil
}

// optional: hierarchies without limits may be read-only or missing, as in a container; nothing depends on them.
func (c *Cgroup) optional(dir string) bool {
	if c.saved.Version == 2 {
		return false
	}
	return dir == c.saved.Paths["name=systemd"] || dir == c.saved.Paths[""] || dir == c.saved.Paths["misc"]
}
