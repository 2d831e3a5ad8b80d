package libzbox

// What criu does to the host while it works, and how a killed one is cleaned up behind.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/criu"
)

// keepCgroupOptions sees to it that criu, which mounts cgroup v2, leaves the options of the machine's cgroup v2 alone: a container with a cgroup
// namespace needs no criu in that of the machine. Where it has none, the caller is to put them back, with putBackCgroupOptions; the journal has
// them meanwhile, from recordCriu on.
func (c *Container) keepCgroupOptions(s *criu.Session, config *specs.Spec) (*cgroup.KeptOptions, error) {
	if err := c.restoreCgroupOptions(); err != nil {
		return nil, err
	}
	apart := hasNewNamespace(config, specs.CgroupNamespace)
	kept, err := cgroup.KeepOptions(!apart)
	if err != nil || kept.Root() == nil {
		return kept, err
	}
	if apart {
		s.Apart(kept.Root())
	}
	c.j.CgroupOptions = kept.Options()
	return kept, nil
}

// putBackCgroupOptions ends keepCgroupOptions. A second call does nothing. The next record of the journal lacks them; putting them back once more
// until then would change nothing.
func (c *Container) putBackCgroupOptions(kept *cgroup.KeptOptions) error {
	if err := kept.PutBack(); err != nil {
		return err
	}
	c.j.CgroupOptions = nil
	return nil
}

// restoreCgroupOptions puts back what a checkpoint or restore of the container has kept that was killed.
func (c *Container) restoreCgroupOptions() error {
	if c.j.CgroupOptions == nil {
		return nil
	}
	return cgroup.SetOptions(c.j.CgroupOptions)
}

// recordCriu writes down a criu that waits for its request. It can go on for long when zbox is killed, and holds the processes that it saves;
// before, it has made nothing, and ends if zbox does.
func (c *Container) recordCriu(pid int) error {
	started, err := identify(pid)
	if err != nil {
		return fmt.Errorf("criu has ended: %w", err)
	}
	c.j.Criu = &started
	return c.writeJournal()
}

// killCriu ends the criu of a zbox that was killed, or that is to give up.
func (c *Container) killCriu() error {
	if c.j.Criu == nil {
		return nil
	}
	if err := c.j.Criu.killTree(); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing criu (process %d): %w", c.j.Criu.Pid, err)
	}
	if !c.j.Criu.waitGone(killTimeout) {
		return fmt.Errorf("criu (process %d) does not end", c.j.Criu.Pid)
	}
	return nil
}

// ownTmp gives a criu that restores, in its own mount namespace, a /tmp of its own: if it is killed, nobody could tell the directory that it has
// made there for the new root from that of another criu. Where something of the container lies in /tmp, the directory may stay behind.
func ownTmp(s *criu.Session, r *criu.Options) error {
	needed := []string{s.Program(), r.Root}
	if r.ConfigFile != "" {
		needed = append(needed, r.ConfigFile)
	}
	for _, m := range r.ExternalMounts {
		needed = append(needed, m.Value)
	}
	for _, ns := range r.JoinNamespaces {
		needed = append(needed, ns.Path)
	}
	tmp, err := realPath("/tmp")
	if err != nil {
		return fmt.Errorf("criu needs it: %w", err)
	}
	for _, name := range needed {
		real, err := realPath(name)
		if err != nil || below(real, tmp) || below(tmp, real) {
			return nil
		}
	}
	// As open as /tmp itself: processes in a new user namespace look for the new root there.
	if err := unix.Mount("tmpfs", tmp, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return fmt.Errorf("making a /tmp for criu: mount tmpfs: %w", err)
	}
	return nil
}

// below reports whether a path is dir or lies in it.
func below(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// removeCriuDir removes the directory that a restore has made where it works, for the cgroups, if criu was killed. It is empty: what was mounted
// there is gone with criu's mount namespace. The first name in the log is criu's own; what follows can be a container's.
func (c *Container) removeCriuDir() error {
	if c.j.CriuDir == "" {
		return nil
	}
	log, err := os.ReadFile(filepath.Join(c.j.CriuDir, restoreLog))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	name := regexp.MustCompile(`\.criu\.cgyard\.[A-Za-z0-9]{6}`).Find(log)
	if name == nil {
		return nil
	}
	if err := os.Remove(filepath.Join(c.j.CriuDir, string(name))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing what criu has left: %w", err)
	}
	return nil
}
