// Package cgroup makes, limits, watches and removes the cgroup of one container. It is a thin face on
// github.com/opencontainers/cgroups for both cgroup versions and three drivers: cgroupfs, systemd and disabled.
//
// Errors about what config.json asks for begin with the JSON field, such as linux.resources.memory.limit.
package cgroup

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // registers the device rules of both versions
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"github.com/opencontainers/cgroups/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"

	"github.com/bxrne/zbox/host/facts"
)

// Driver says who makes the cgroup.
type Driver string

// The drivers.
const (
	Cgroupfs Driver = "cgroupfs" // zbox writes to the cgroup file system
	Systemd  Driver = "systemd"  // systemd makes a transient scope
	Disabled Driver = "disabled" // no cgroup at all
)

// ErrNone is the error of everything that needs a cgroup when the container has none.
var ErrNone = errors.New("container has no cgroup")

// Config is everything that decides which cgroup a container gets.
type Config struct {
	ID     string
	Driver Driver // "" is Cgroupfs
	// Path is linux.cgroupsPath. For cgroupfs an absolute path starts at the root of the hierarchy, a relative one at zbox's own
	// cgroup (v1) or at its parent (v2, because a cgroup with processes cannot hand controllers down); "" is the relative path
	// ID. For systemd it is slice:prefix:name, "" is system.slice (user.slice when rootless), "zbox" and ID.
	Path string
	// Rootless: a cgroup that may not be made is no error as long as neither Path nor limits are asked for, and device
	// rules, which need CAP_BPF, are not applied.
	Rootless bool
	// UserDBus makes the systemd driver talk to the user's instance.
	UserDBus    bool
	Resources   *specs.LinuxResources
	Annotations map[string]string // org.systemd.property.NAME=GVARIANT, for the systemd driver
	// OwnerUID is the host uid that the cgroup is delegated to (v2), nil for none. Set it only when the container has a cgroup
	// namespace of its own and a writable cgroup mount.
	OwnerUID *int
	Facts    facts.Cgroup
	// Dialing is what Dial returned, for a scope that is to be made soon; Join connects itself without it.
	Dialing *Dialing
	// Lenient turns limits that cannot be applied into warnings. It has an effect with Rootless only.
	Lenient bool
}

// Cgroup is the cgroup of one container. It is not safe for concurrent use.
type Cgroup struct {
	saved    Saved
	manager  cgroups.Manager // nil with Disabled
	config   *cgroups.Cgroup
	existed  bool // was there, empty, before New
	owner    *int
	lenient  bool
	givenUp  []string // controllers whose limits are not applied
	warnings []string
	dialing  *Dialing // nil: Join connects to systemd itself
}

// Saved is what must be remembered of a cgroup to find it again. It is complete before Make, so that whatever Make has
// made can be removed after a crash; for a rootless container Make may take something away.
type Saved struct {
	Driver Driver `json:"driver"`
	// Version is that of the cgroup hierarchy, 1 or 2; 0 with Disabled.
	Version int `json:"version,omitempty"`
	// Paths are the absolute directories by controller, as in /proc/self/cgroup; on v2 only "".
	Paths map[string]string `json:"paths,omitempty"`
	// Made are directories above Paths that did not exist before; they are removed with the last container in them.
	Made     []string `json:"made,omitempty"`
	Rootless bool     `json:"rootless,omitempty"`
	// None: rootless, and making the cgroup is not permitted. Make finds that out.
	None bool `json:"none,omitempty"`
	// Explicit: the configuration named the path.
	Explicit bool `json:"explicit,omitempty"`
	// Slice, Prefix and Name are those of the systemd unit.
	Slice  string `json:"slice,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	Name   string `json:"name,omitempty"`
}

// New decides on the paths and converts the resources. It makes nothing. A cgroup that is already there must be empty and not
// frozen.
func New(cfg Config) (*Cgroup, error) {
	if cfg.Driver == "" {
		cfg.Driver = Cgroupfs
	}
	c := &Cgroup{saved: Saved{Driver: cfg.Driver, Rootless: cfg.Rootless, Explicit: cfg.Path != ""}, owner: cfg.OwnerUID, lenient: cfg.Lenient && cfg.Rootless, dialing: cfg.Dialing}
	switch cfg.Driver {
	case Disabled:
		return c, refuseLimits(cfg.Resources)
	case Cgroupfs, Systemd:
	default:
		return nil, fmt.Errorf("cgroup manager %q: must be cgroupfs, systemd or disabled", cfg.Driver)
	}
	c.saved.Version = version(cfg.Facts)
	resources, warnings, err := convert(cfg.Resources, c.saved.Version)
	if err != nil {
		return nil, err
	}
	resources.SkipDevices = false
	if resources.Devices, err = deviceRules(cfg.Resources); err != nil {
		return nil, err
	}
	c.warnings = warnings
	c.config = &cgroups.Cgroup{Resources: resources, OwnerUID: cfg.OwnerUID}
	if cfg.Driver == Systemd {
		err = c.resolveSystemd(cfg)
	} else {
		err = c.resolve(cfg)
	}
	if err != nil {
		return nil, err
	}
	return c, c.survey()
}

func version(f facts.Cgroup) int {
	if f.Unified {
		return 2
	}
	return 1
}

// Load finds the cgroup of a container again by what Saved returned when it was made.
func Load(s Saved) (*Cgroup, error) {
	c := &Cgroup{saved: s, config: &cgroups.Cgroup{Resources: &cgroups.Resources{}}}
	if s.Driver == Disabled {
		return c, nil
	}
	if unified := cgroups.IsCgroup2UnifiedMode(); unified != (s.Version == 2) {
		return nil, fmt.Errorf("loading cgroup: it was made on cgroup v%d, which is not what is mounted here", s.Version)
	}
	// What Make of a rootless container was not permitted to make is not part of the cgroup.
	if s.Rootless && s.Version == 1 {
		c.saved.Paths = maps.Clone(s.Paths)
		maps.DeleteFunc(c.saved.Paths, func(_, dir string) bool { return !exists(dir) })
	}
	return c, c.open()
}

// open makes the manager for the paths that are already known.
func (c *Cgroup) open() (err error) {
	s := c.saved
	c.config.Rootless = s.Rootless
	if s.Explicit {
		c.config.Path = c.Path()
	}
	switch {
	case s.Driver == Systemd && s.Version == 1:
		c.config.Systemd, c.config.Path = true, ""
		c.config.Parent, c.config.ScopePrefix, c.config.Name = s.Slice, s.Prefix, s.Name
		c.manager, err = systemd.NewLegacyManager(c.config, maps.Clone(s.Paths))
	case s.Version == 2:
		c.manager, err = fs2.NewManager(c.config, s.Paths[""])
	default:
		c.manager, err = fs.NewManager(c.config, maps.Clone(s.Paths))
	}
	if err != nil {
		return fmt.Errorf("opening cgroup: %w", err)
	}
	return nil
}

// Saved returns what Load needs.
func (c *Cgroup) Saved() Saved { return c.saved }

// Warnings lists what was asked for and is not done since it was called last, one line for each.
func (c *Cgroup) Warnings() []string {
	w := c.warnings
	c.warnings = nil
	return w
}

// Paths returns the absolute directories by controller, as in /proc/self/cgroup; on v2 only "". It is nil without a cgroup.
func (c *Cgroup) Paths() map[string]string { return c.saved.Paths }

// Exists reports whether the cgroup is there.
func (c *Cgroup) Exists() bool {
	return c.manager != nil && exists(c.anchor())
}

// Stats returns what the controllers have counted.
func (c *Cgroup) Stats() (*cgroups.Stats, error) {
	if c.manager == nil || c.saved.None {
		return nil, ErrNone
	}
	stats, err := c.manager.GetStats()
	if err != nil {
		return nil, fmt.Errorf("reading cgroup statistics: %w", err)
	}
	return stats, nil
}

// anchor is the directory that stands for the cgroup where one of many hierarchies has to be picked.
func (c *Cgroup) anchor() string {
	for _, name := range []string{"devices", "freezer", "pids", "memory", ""} {
		if dir := c.saved.Paths[name]; dir != "" {
			return dir
		}
	}
	return ""
}

// dirs are the directories of the cgroup, each once: controllers may share a hierarchy.
func (c *Cgroup) dirs() []string {
	dirs := make([]string, 0, len(c.saved.Paths))
	for _, dir := range c.saved.Paths {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// SetLog sends what opencontainers/cgroups logs to w, a line for each message. That library logs through logrus, to
// standard error unless told otherwise, which callers of zbox read.
func SetLog(w io.Writer) {
	logrus.SetOutput(w)
	logrus.SetFormatter(plain{})
}

type plain struct{}

func (plain) Format(e *logrus.Entry) ([]byte, error) { return []byte(e.Message + "\n"), nil }
