// Package compile turns an OCI configuration and what is known of the host into a plan. It is pure: the same input gives the same
// plan, byte for byte, and nothing of the machine is read or touched.
package compile

import (
	"errors"
	"fmt"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/plan"
)

// Create compiles the plan of a new container. It also returns warnings: what was asked for and is knowingly left out.
func Create(req Request) (*plan.Plan, []string, error) {
	c := &compiler{req: req, spec: req.Spec, plan: &plan.Plan{Preserve: req.PreserveFDs + req.ListenFDs}}
	if err := c.create(); err != nil {
		return nil, nil, err
	}
	return c.plan, c.warnings, nil
}

// compiler holds what the concerns share while one plan is made.
type compiler struct {
	req      Request
	spec     *specs.Spec
	process  *specs.Process
	plan     *plan.Plan
	warnings []string
	ns       namespaces
	mounts   []mountStep
	// lateReadOnly are filesystems that become read-only once everything below them is there.
	lateReadOnly []lateRemount
	fds          plan.FD
	cgroupFD     plan.FD
	startFD      plan.FD
	rootFD       plan.FD
	hookFDs      []plan.FD
	caps         capMasks
}

// create is the order of a container's life; docs/architecture.md has it in words.
func (c *compiler) create() error {
	for _, part := range []func() error{
		c.check,
		c.decideNamespaces,
		c.decideMounts,
		// Host, before the stage.
		c.openCgroup,
		c.openNamespaces,
		c.openRoot,
		c.openMountSources,
		c.openHookPrograms,
		c.openStart,
		// Outer process.
		c.outer,
		c.clone,
		// Init process, before the root filesystem is entered.
		c.hostHalf,
		c.identity,
		c.loopback,
		c.root,
		c.mountAll,
		c.devices,
		c.console,
		c.remountLate,
		c.createHooks,
		c.pivot,
		// Inside.
		c.hostnames,
		c.sysctls,
		c.paths,
		c.rootAttributes,
		c.processSetup,
		c.journalLate,
		c.waitStart,
		c.startHooks,
		c.lockDown,
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// add appends a step.
func (c *compiler) add(origin string, s plan.Step) { c.plan.Add(origin, s) }

// given is the origin of a step that there is without its field, too.
func given(field string, is bool) string {
	if is {
		return field
	}
	return ""
}

func (c *compiler) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

// nextFD numbers the next descriptor that a host step opens.
func (c *compiler) nextFD() plan.FD {
	fd := c.fds
	c.fds++
	return fd
}

// check refuses what cannot be compiled at all; the spec package has checked the values themselves.
func (c *compiler) check() error {
	switch {
	case c.spec == nil:
		return errors.New("configuration is empty")
	case c.spec.Root == nil || c.spec.Root.Path == "":
		return errors.New("root.path: must not be empty")
	case c.spec.Process == nil:
		return errors.New("process: must not be empty")
	case len(c.spec.Process.Args) == 0:
		return errors.New("process.args: must not be empty")
	}
	if c.spec.Linux == nil {
		c.spec = withLinux(c.spec)
	}
	c.process = c.spec.Process
	c.caps = c.capMasks()
	return nil
}

// withLinux is a copy of s with an empty linux section, so that the concerns need not ask.
func withLinux(s *specs.Spec) *specs.Spec {
	copied := *s
	copied.Linux = &specs.Linux{}
	return &copied
}

// rootPath is the absolute path of the root filesystem on the host.
func (c *compiler) rootPath() string {
	if path.IsAbs(c.spec.Root.Path) {
		return path.Clean(c.spec.Root.Path)
	}
	return path.Join(c.req.Bundle, c.spec.Root.Path)
}

// openCgroup makes the cgroup before any process of the container exists.
func (c *compiler) openCgroup() error {
	c.cgroupFD = plan.NoFD
	if c.req.CgroupPath == "" {
		return nil
	}
	if c.req.CloneIntoCgroup {
		c.cgroupFD = c.nextFD()
	}
	c.add(c.cgroupOrigin(), &plan.CgroupCreate{Path: c.req.CgroupPath, FD: c.cgroupFD})
	if !c.req.CloneIntoCgroup {
		c.limitCgroup()
	}
	return nil
}

// limitCgroup applies the limits: before init is moved into the cgroup, or behind its birth there, while it works on its own.
func (c *compiler) limitCgroup() {
	c.add(given("linux.resources", c.spec.Linux.Resources != nil), &plan.CgroupLimit{Limits: LimitWords(c.spec.Linux.Resources)})
}

func (c *compiler) cgroupOrigin() string {
	return given("linux.cgroupsPath", c.spec.Linux.CgroupsPath != "")
}

func (c *compiler) openStart() error {
	if !c.req.WaitStart {
		c.startFD = plan.NoFD
		c.add("", &plan.Omitted{Step: &plan.OpenStart{FD: plan.NoFD}})
		return nil
	}
	c.startFD = c.nextFD()
	c.add("", &plan.OpenStart{FD: c.startFD})
	return nil
}

// waitStart is the barrier between create and start.
func (c *compiler) waitStart() error {
	if !c.req.WaitStart {
		c.add("", &plan.Omitted{Step: &plan.WaitStart{FD: plan.NoFD}})
		return nil
	}
	c.add("", &plan.WaitStart{FD: c.startFD})
	return nil
}
