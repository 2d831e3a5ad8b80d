package libzbox

import (
	"fmt"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/compile"
	"github.com/bxrne/zbox/host"
	"github.com/bxrne/zbox/plan"
)

// Exec runs one more process in the container. It returns once the program was executed.
func (c *Container) Exec(o ExecOptions) (*Process, error) {
	if err := c.checkExec(o); err != nil {
		return nil, err
	}
	l, err := launchStage(o.Stdio, o.PreserveFDs, o.Meanwhile)
	if err != nil {
		return nil, err
	}
	defer l.discard()
	s, err := c.Spec()
	if err != nil {
		return nil, err
	}
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return nil, err
	}
	p := &performer{container: c, cgroup: cg, spec: s, subs: o.Cgroups}
	defer p.close()
	if p.plan, err = c.execPlan(s, cg, o); err != nil {
		return nil, err
	}
	l.settle()
	if err := p.openSockets(o.ConsoleSocket, o.PidfdSocket, o.TakeConsole); err != nil {
		return nil, err
	}
	if err := p.run(l); err != nil {
		p.kill()
		return nil, err
	}
	if o.PidFile != "" {
		if err := writePidFile(o.PidFile, p.pid); err != nil {
			p.kill()
			return nil, err
		}
	}
	return &Process{Pid: p.pid, Console: p.takeConsole()}, nil
}

func (c *Container) checkExec(o ExecOptions) error {
	switch status := c.status(); status {
	case Running, Created:
	case Paused:
		if !o.IgnorePaused {
			return fmt.Errorf("cannot exec in a paused container (use --ignore-paused to override): %w", ErrPaused)
		}
	case Stopped:
		return fmt.Errorf("cannot exec in a stopped container: %w", ErrNotRunning)
	default:
		return fmt.Errorf("cannot exec in a container in the %s state", status)
	}
	return checkTerminal(o.Process.Terminal, o.ConsoleSocket, o.TakeConsole)
}

// execPlan compiles the plan of the new process.
func (c *Container) execPlan(s *specs.Spec, cg *cgroup.Cgroup, o ExecOptions) (*plan.Plan, error) {
	found, err := host.Probe()
	if err != nil {
		return nil, err
	}
	types, err := c.ownNamespaces()
	if err != nil {
		return nil, err
	}
	filter, err := c.runtime.filter(s)
	if err != nil {
		return nil, err
	}
	p, warnings, err := compile.Exec(compile.ExecRequest{
		ID: c.j.ID, Spec: s, Process: o.Process, Facts: found, InitPid: c.j.Init.Pid,
		OwnUserns: types&unix.CLONE_NEWUSER != 0, JoinTypes: types,
		CgroupPath: cg.Path(), CloneIntoCgroup: cg.Saved().Version == 2, PreserveFDs: o.PreserveFDs, Filter: filter,
	})
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		c.runtime.opts.Warn(w)
	}
	return p, nil
}

// ownNamespaces is the mask of CLONE_NEW* in which the container's init differs from zbox: joining one's own again would fail
// (user) or do nothing.
func (c *Container) ownNamespaces() (uint64, error) {
	var mask uint64
	for name, file := range namespaceFiles {
		var own, theirs unix.Stat_t
		if err := unix.Stat("/proc/self/ns/"+file, &own); err != nil {
			continue // a kernel without this kind
		}
		if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/%s", c.j.Init.Pid, file), &theirs); err != nil {
			return 0, fmt.Errorf("looking at the container's %s namespace: %w", name, err)
		}
		if own.Ino != theirs.Ino || own.Dev != theirs.Dev {
			mask |= uint64(namespaceTypes[name])
		}
	}
	return mask, nil
}
