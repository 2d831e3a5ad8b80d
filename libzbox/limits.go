package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// createCgroup makes the container's cgroup with its limits. For exec it exists already: only the descriptor is opened.
func (p *performer) createCgroup(s *plan.CgroupCreate) error {
	if p.journal {
		if err := p.cgroup.Create(); err != nil {
			return err
		}
	}
	if s.FD == plan.NoFD {
		return nil
	}
	return p.hand(s.FD, func() (*os.File, error) {
		if len(p.subs) > 0 {
			f := p.subs[0]
			p.subs = p.subs[1:]
			return f, nil
		}
		return p.cgroup.Dir()
	})
}

// joinCgroup moves the new process into the cgroup, or into those of exec's --cgroup.
func (p *performer) joinCgroup() error {
	if err := p.cgroup.Join(p.pid); err != nil {
		return err
	}
	for _, dir := range p.subs {
		if err := writeAt(dir, "cgroup.procs", strconv.Itoa(p.pid)); err != nil {
			return fmt.Errorf("joining %s: %w", dir.Name(), err)
		}
	}
	return nil
}

// writeAt writes a file below an open directory.
func writeAt(dir *os.File, name, value string) error {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

// resctrlRoot is where the kernel's resctrl filesystem belongs (Documentation/arch/x86/resctrl.rst).
const resctrlRoot = "/sys/fs/resctrl"

// joinResctrl assigns the container to its class of service. A directory that this makes is removed with the container.
func (p *performer) joinResctrl(s *plan.IntelRdt) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(resctrlRoot, &fs); err != nil || fs.Type != unix.RDTGROUP_SUPER_MAGIC {
		return errNoResctrl
	}
	dir := filepath.Join(resctrlRoot, s.ClosID)
	if s.ClosID != "" && s.ClosID != "/" {
		err := os.Mkdir(dir, 0o755)
		switch {
		case err == nil:
			p.container.j.Resctrl = dir
			if err := p.container.writeJournal(); err != nil {
				return err
			}
		case !errors.Is(err, os.ErrExist):
			return fmt.Errorf("making the class: %w", err)
		}
	}
	for _, line := range s.Schemata {
		if err := os.WriteFile(filepath.Join(dir, "schemata"), []byte(line+"\n"), 0); err != nil {
			return fmt.Errorf("writing the schema %q: %w", line, err)
		}
	}
	tasks := []string{filepath.Join(dir, "tasks")}
	if s.Monitoring {
		group := filepath.Join(dir, "mon_groups", p.container.j.ID)
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("making the monitoring group: %w", err)
		}
		tasks = append(tasks, filepath.Join(group, "tasks"))
	}
	for _, file := range tasks {
		if err := os.WriteFile(file, []byte(strconv.Itoa(p.pid)), 0); err != nil {
			return fmt.Errorf("joining the class: %w", err)
		}
	}
	return nil
}

// updateResctrl changes the schemata of a running container's class.
func (c *Container) updateResctrl(o UpdateOptions) error {
	s, err := c.Spec()
	if err != nil {
		return err
	}
	if s.Linux == nil || s.Linux.IntelRdt == nil {
		return errors.New("the container has no linux.intelRdt: there is no cache or bandwidth schema to update")
	}
	clos := s.Linux.IntelRdt.ClosID
	if clos == "" {
		clos = c.j.ID
	}
	for _, schema := range []string{o.L3CacheSchema, o.MemBwSchema} {
		if schema = strings.TrimSpace(schema); schema == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(resctrlRoot, clos, "schemata"), []byte(schema+"\n"), 0); err != nil {
			return fmt.Errorf("writing the schema %q: %w", schema, err)
		}
	}
	return nil
}
