package compile

import (
	"fmt"
	"path"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// defaultDevices are those that every container has (config-linux.md, "Default Devices").
var defaultDevices = []specs.LinuxDevice{
	{Path: "/dev/null", Type: "c", Major: 1, Minor: 3},
	{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5},
	{Path: "/dev/full", Type: "c", Major: 1, Minor: 7},
	{Path: "/dev/random", Type: "c", Major: 1, Minor: 8},
	{Path: "/dev/urandom", Type: "c", Major: 1, Minor: 9},
	{Path: "/dev/tty", Type: "c", Major: 5, Minor: 0},
}

const kcore = "/proc/kcore"

// defaultLinks are the links below /dev (config-linux.md, "Dev symbolic links"; ptmx belongs to the container's own devpts).
var defaultLinks = []plan.Symlink{
	{Path: "/dev/fd", Target: "/proc/self/fd"},
	{Path: "/dev/stdin", Target: "/proc/self/fd/0"},
	{Path: "/dev/stdout", Target: "/proc/self/fd/1"},
	{Path: "/dev/stderr", Target: "/proc/self/fd/2"},
	{Path: "/dev/core", Target: kcore},
	{Path: "/dev/ptmx", Target: "pts/ptmx"},
}

var deviceTypes = map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}

// devices fills /dev, unless the container got the host's by a bind mount.
func (c *compiler) devices() error {
	if !c.ns.own(unix.CLONE_NEWNS) {
		return nil
	}
	if i := c.bindOfDev(); i >= 0 {
		if n := len(c.spec.Linux.Devices); n > 0 {
			c.warn("linux.devices: left out: mounts[%d] binds %s on /dev", i, c.spec.Mounts[i].Source)
		}
		return nil
	}
	for _, d := range defaultDevices {
		if slices.ContainsFunc(c.spec.Linux.Devices, func(own specs.LinuxDevice) bool { return path.Clean(own.Path) == d.Path }) {
			continue
		}
		if err := c.device("", d); err != nil {
			return err
		}
	}
	for i, d := range c.spec.Linux.Devices {
		if err := c.device(fmt.Sprintf("linux.devices[%d]", i), d); err != nil {
			return err
		}
	}
	for _, l := range defaultLinks {
		if l.Target == kcore && !c.req.Facts.Kcore {
			continue // a link to nothing
		}
		c.add("", &plan.Symlink{Path: l.Path, Target: l.Target})
	}
	return nil
}

// bindOfDev is the index of the bind mount that brings its own /dev, or -1.
func (c *compiler) bindOfDev() int {
	return slices.IndexFunc(c.spec.Mounts, func(m specs.Mount) bool {
		bind := m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
		return bind && path.Clean("/"+m.Destination) == "/dev" && !slices.Contains(m.Options, "remount")
	})
}

func (c *compiler) device(origin string, d specs.LinuxDevice) error {
	kind, ok := deviceTypes[d.Type]
	if !ok {
		return fmt.Errorf("%s.type: %q is not c, b, u or p", origin, d.Type)
	}
	switch path.Clean("/" + d.Path) {
	case "/dev/console": // made with the terminal
		if c.process.Terminal {
			return nil
		}
	case "/dev/ptmx": // a link to that of the container's own devpts
		return nil
	}
	step := &plan.Device{Path: d.Path, Mode: kind | 0o666, Major: uint32(d.Major), Minor: uint32(d.Minor)}
	if d.FileMode != nil {
		step.Mode = kind | uint32(d.FileMode.Perm())
	}
	if d.UID != nil {
		step.UID = *d.UID
	}
	if d.GID != nil {
		step.GID = *d.GID
	}
	// mknod(2) is not allowed in a user namespace, nor where zbox itself is in one.
	if (c.ns.own(unix.CLONE_NEWUSER) || c.req.Facts.InUserns) && kind != unix.S_IFIFO {
		step.Bind = d.Path
	}
	c.add(origin, step)
	return nil
}

// console makes the terminal on the container's devpts.
func (c *compiler) console() error {
	if c.ns.own(unix.CLONE_NEWNS) {
		c.terminal(1)
	}
	return nil
}

// terminal adds the terminal if there is one; mount is 1 to have it at /dev/console.
func (c *compiler) terminal(mount uint32) {
	if !c.process.Terminal {
		return
	}
	step := &plan.Console{UID: c.process.User.UID, GID: ^uint32(0), Mount: mount}
	if size := c.process.ConsoleSize; size != nil {
		step.Columns, step.Rows = uint32(size.Width), uint32(size.Height)
	}
	c.add("process.terminal", step)
}
