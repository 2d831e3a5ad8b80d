package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/host/facts"
)

const (
	mountpoint       = "/sys/fs/cgroup"
	hybridMountpoint = "/sys/fs/cgroup/unified"
)

// controllers are those of cgroup v1 that a container joins when they are mounted, named hierarchies included.
var controllers = []string{
	"cpuset", "devices", "memory", "cpu", "cpuacct", "pids", "blkio", "hugetlb", "net_cls", "net_prio", "perf_event",
	"freezer", "rdma", "name=systemd", "misc",
}

// resolve finds the directories for the cgroupfs driver.
func (c *Cgroup) resolve(cfg Config) (err error) {
	inner, err := innerPath(cfg)
	if err != nil {
		return err
	}
	if c.saved.Version == 2 {
		c.saved.Paths = map[string]string{"": unifiedDir(inner, cfg.Facts.Self[""])}
	} else if c.saved.Paths, err = legacyDirs(inner, cfg.Facts); err != nil {
		return err
	}
	return c.open()
}

// innerPath is the path below the root of a hierarchy (absolute) or below zbox's own cgroup (relative). It cannot climb: what
// ".." would leave is cut off.
func innerPath(cfg Config) (string, error) {
	path := cfg.Path
	if path == "" {
		path = cfg.ID
	}
	inner := filepath.Clean("/" + path)
	if inner == "/" {
		return "", fmt.Errorf("linux.cgroupsPath: %q names no cgroup below the root", path)
	}
	if !filepath.IsAbs(path) {
		inner = inner[1:]
	}
	return inner, nil
}

func unifiedDir(inner, self string) string {
	if filepath.IsAbs(inner) {
		return mountpoint + inner
	}
	return filepath.Join(mountpoint, filepath.Dir(filepath.Clean("/"+self)), inner)
}

func legacyDirs(inner string, f facts.Cgroup) (map[string]string, error) {
	dirs := map[string]string{}
	for _, m := range f.Mounts {
		for _, name := range m.Controllers {
			if _, seen := dirs[name]; !seen && slices.Contains(controllers, name) {
				dirs[name] = legacyDir(inner, m, f.Self[name])
			}
		}
	}
	if cgroups.IsCgroup2HybridMode() {
		dirs[""] = legacyDir(inner, facts.CgroupMount{Mountpoint: hybridMountpoint, Root: "/"}, f.Self[""])
	}
	if dirs["devices"] == "" {
		return nil, errors.New("finding cgroup mounts: no devices controller is mounted; access to devices could not be limited")
	}
	return dirs, nil
}

func legacyDir(inner string, m facts.CgroupMount, self string) string {
	if filepath.IsAbs(inner) {
		return m.Mountpoint + inner
	}
	// In a container without a cgroup namespace, self has the path of the host, of which only the part below Root is mounted.
	own, err := filepath.Rel(m.Root, self)
	if err != nil || own == ".." || strings.HasPrefix(own, "../") {
		own = ""
	}
	return filepath.Join(m.Mountpoint, own, inner)
}

// survey looks at what is already there before anything is made: whose processes would be killed with the container, and which
// directories have to go with it.
func (c *Cgroup) survey() error {
	if c.existed = exists(c.anchor()); c.existed {
		if err := c.checkIdle(); err != nil {
			return err
		}
	}
	if c.saved.Driver == Systemd {
		return nil
	}
	for _, dir := range c.dirs() {
		for dir = filepath.Dir(dir); !exists(dir); dir = filepath.Dir(dir) {
			if !slices.Contains(c.saved.Made, dir) {
				c.saved.Made = append(c.saved.Made, dir)
			}
		}
	}
	return nil
}

func (c *Cgroup) checkIdle() error {
	pids, err := c.Pids()
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return fmt.Errorf("linux.cgroupsPath: cgroup %s already holds processes (%s)", c.anchor(), listPids(pids))
	}
	frozen, err := c.Frozen()
	if err != nil {
		return err
	}
	if frozen {
		return fmt.Errorf("linux.cgroupsPath: cgroup %s is frozen", c.anchor())
	}
	return nil
}

// Path is the path of the cgroup below the root of its hierarchy, such as /machine/web; on v1 that of the devices controller. It
// is "" without a cgroup.
func (c *Cgroup) Path() string {
	dir := c.anchor()
	if c.saved.Version == 2 {
		return strings.TrimPrefix(dir, mountpoint)
	}
	if rest, ok := strings.CutPrefix(dir, mountpoint+"/"); ok {
		if _, path, ok := strings.Cut(rest, "/"); ok {
			return "/" + path
		}
	}
	return dir
}

// Permitted is Paths without what a rootless zbox may not make, and so will not: a plan that shows the container its cgroup is made
// before Make.
func (c *Cgroup) Permitted() map[string]string {
	permitted := maps.Clone(c.saved.Paths)
	if c.saved.Rootless && !c.saved.Explicit {
		maps.DeleteFunc(permitted, func(_, dir string) bool { return !makeable(dir) })
	}
	return permitted
}

func makeable(dir string) bool {
	if exists(dir) {
		return true
	}
	for dir = filepath.Dir(dir); !exists(dir); dir = filepath.Dir(dir) {
	}
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS) == nil
}

func exists(path string) bool {
	err := unix.Access(path, unix.F_OK)
	return err == nil || errors.Is(err, os.ErrPermission)
}

func listPids(pids []int) string {
	const shown = 5
	text := strings.Trim(fmt.Sprint(pids[:min(len(pids), shown)]), "[]")
	if len(pids) > shown {
		text += fmt.Sprintf(" and %d more", len(pids)-shown)
	}
	return text
}
