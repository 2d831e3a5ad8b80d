package compile

import (
	"errors"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/host/facts"
	"github.com/bxrne/zbox/plan"
)

// hostCgroups is where the host's cgroup filesystems are mounted.
const hostCgroups = "/sys/fs/cgroup"

// cgroupMount shows the container its cgroups.
func (c *compiler) cgroupMount(origin string, m specs.Mount, o options) ([]mountStep, error) {
	if len(o.data) > 0 {
		return nil, errors.New("options: a cgroup mount takes no filesystem options")
	}
	if c.req.Facts.Cgroup.Unified {
		return []mountStep{c.unifiedCgroup(origin, m, o)}, nil
	}
	if m.Type == "cgroup2" {
		return nil, errors.New("type: cgroup2 is not what this host has at /sys/fs/cgroup (cgroup mounts the hierarchies that it has)")
	}
	return []mountStep{c.legacyCgroups(origin, m, o)}, nil
}

// unifiedCgroup is cgroup v2. With a cgroup namespace of its own the container mounts it: the namespace's root is all that it can see.
// Without, it gets the host's view by a bind; never writable for a rootless container, whose user may own parts of it (CVE-2023-25809).
func (c *compiler) unifiedCgroup(origin string, m specs.Mount, o options) mountStep {
	if c.ns.own(unix.CLONE_NEWCGROUP) {
		return mountStep{origin: origin, steps: []plan.Step{&plan.Mount{
			FSType: "cgroup2", Source: "cgroup", Target: m.Destination, Attr: o.single(),
			Propagation: o.propagation, Flags: o.flags | plan.MountRealDir,
		}}}
	}
	step := &plan.Bind{
		Source: hostCgroups, FD: plan.NoFD, Target: m.Destination, AttrSet: o.set, AttrClear: o.clear,
		RecSet: o.recSet, RecClear: o.recClear, Propagation: o.propagation, Flags: o.flags,
	}
	if c.rootless() {
		forceReadOnly(step)
	}
	if c.req.Facts.InUserns {
		// What was mounted below by somebody more privileged can only be taken along (mount_namespaces(7), "locked").
		step.Flags |= plan.MountRecursive
		step.RecSet |= step.AttrSet & unix.MOUNT_ATTR_RDONLY
	}
	return mountStep{origin: origin, steps: []plan.Step{step}}
}

// rootless: the container's root may own cgroups of the host. zbox itself may be in the user namespace already, and root there.
func (c *compiler) rootless() bool {
	return c.req.Facts.EUID != 0 || c.req.Facts.InUserns || c.ns.own(unix.CLONE_NEWUSER)
}

// legacyCgroups is cgroup v1: a tmpfs with one directory per hierarchy.
func (c *compiler) legacyCgroups(origin string, m specs.Mount, o options) mountStep {
	tmpfs := &plan.Mount{
		FSType: "tmpfs", Source: "tmpfs", Options: append([]string{"mode=755"}, c.labelOption("tmpfs")...), Target: m.Destination,
		Attr: o.single() | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC, Propagation: o.propagation, Flags: o.flags | plan.MountRealDir,
	}
	c.delayReadOnly(origin, tmpfs)
	out := mountStep{origin: origin, steps: []plan.Step{tmpfs}}
	for _, h := range c.req.Facts.Cgroup.Mounts {
		name := path.Base(h.Mountpoint)
		out.steps = append(out.steps, c.legacyHierarchy(h, path.Join(m.Destination, name), o))
		// Co-mounted controllers are also found under their own names.
		for _, controller := range h.Controllers {
			if controller != name && !strings.HasPrefix(controller, "name=") {
				out.steps = append(out.steps, &plan.Symlink{Path: path.Join(m.Destination, controller), Target: name})
			}
		}
	}
	return out
}

// legacyHierarchy shows one v1 hierarchy: mounted inside the cgroup namespace, or the container's own directory bound from the host.
func (c *compiler) legacyHierarchy(h facts.CgroupMount, target string, o options) plan.Step {
	if c.ns.own(unix.CLONE_NEWCGROUP) {
		options := slices.Clone(h.Controllers)
		if len(options) == 1 && strings.HasPrefix(options[0], "name=") {
			options = append([]string{"none"}, options...)
		}
		return &plan.Mount{FSType: "cgroup", Source: "cgroup", Options: options, Target: target, Attr: o.single()}
	}
	bind := &plan.Bind{Source: c.legacyPath(h), FD: plan.NoFD, Target: target, AttrSet: o.set, AttrClear: o.clear, RecSet: o.recSet, RecClear: o.recClear}
	if c.req.Facts.EUID != 0 || c.req.Facts.InUserns {
		forceReadOnly(bind)
	}
	return bind
}

// forceReadOnly overrides whatever the options say, the recursive ones too.
func forceReadOnly(b *plan.Bind) {
	b.AttrSet |= unix.MOUNT_ATTR_RDONLY
	b.AttrClear &^= unix.MOUNT_ATTR_RDONLY
	b.RecClear &^= unix.MOUNT_ATTR_RDONLY
}

// legacyPath is the container's directory in a hierarchy, or zbox's own where it has none.
func (c *compiler) legacyPath(h facts.CgroupMount) string {
	for _, controller := range h.Controllers {
		if p := c.req.CgroupPaths[controller]; p != "" {
			return p
		}
	}
	for _, controller := range h.Controllers {
		if own, ok := c.req.Facts.Cgroup.Self[controller]; ok {
			return path.Join(h.Mountpoint, strings.TrimPrefix(own, h.Root))
		}
	}
	return h.Mountpoint
}
