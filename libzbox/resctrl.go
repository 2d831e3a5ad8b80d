package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// resctrlRoot is where the kernel's resctrl filesystem belongs (Documentation/arch/x86/resctrl.rst).
const resctrlRoot = "/sys/fs/resctrl"

// joinResctrl assigns the container to its class of service.
func (p *performer) joinResctrl(s *plan.IntelRdt) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(resctrlRoot, &fs); err != nil || fs.Type != unix.RDTGROUP_SUPER_MAGIC {
		return errNoResctrl
	}
	return p.joinClass(resctrlRoot, s)
}

// joinClass makes what is not there of the class and of its monitoring group; that is removed with the container.
func (p *performer) joinClass(root string, s *plan.IntelRdt) error {
	class := filepath.Join(root, s.ClosID)
	if err := p.container.makeResctrl(class, &p.container.j.Resctrl); err != nil {
		return fmt.Errorf("making the class: %w", err)
	}
	for _, line := range s.Schemata {
		if err := os.WriteFile(filepath.Join(class, "schemata"), []byte(line+"\n"), 0); err != nil {
			return fmt.Errorf("writing the schema %q: %w", line, err)
		}
	}
	tasks := []string{filepath.Join(class, "tasks")}
	if s.Monitoring {
		group := filepath.Join(class, "mon_groups", p.container.j.ID)
		if err := p.container.makeResctrl(group, &p.container.j.ResctrlMonitor); err != nil {
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

// makeResctrl makes a directory of resctrl that is not there, and writes it down in made, a field of the journal, before.
func (c *Container) makeResctrl(dir string, made *string) error {
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	*made = dir
	if err := c.writeJournal(); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) { // another container was faster
		*made = ""
		return c.writeJournal()
	}
	return err
}

// removeResctrl removes what makeResctrl made. A monitoring group goes first: the kernel removes it with its class.
func (c *Container) removeResctrl() error {
	for _, dir := range []string{c.j.ResctrlMonitor, c.j.Resctrl} {
		if dir == "" {
			continue
		}
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing the resctrl directory: %w", err)
		}
	}
	return nil
}

// closID is the class's directory below resctrl: that of the container's id, where none is named (config-linux.md, "IntelRdt").
func (c *Container) closID(rdt *specs.LinuxIntelRdt) string {
	if rdt.ClosID == "" {
		return c.j.ID
	}
	return rdt.ClosID
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
	class := filepath.Join(resctrlRoot, c.closID(s.Linux.IntelRdt))
	for _, schema := range []string{o.L3CacheSchema, o.MemBwSchema} {
		if schema = strings.TrimSpace(schema); schema == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(class, "schemata"), []byte(schema+"\n"), 0); err != nil {
			return fmt.Errorf("writing the schema %q: %w", schema, err)
		}
	}
	return nil
}
