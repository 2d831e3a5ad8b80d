package compile

import (
	"errors"
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// Exec compiles the plan of one more process in an existing container.
func Exec(req ExecRequest) (*plan.Plan, []string, error) {
	c := &compiler{
		req: Request{
			ID: req.ID, Spec: req.Spec, Facts: req.Facts, CgroupPath: req.CgroupPath, CloneIntoCgroup: req.CloneIntoCgroup,
			PreserveFDs: req.PreserveFDs, Filter: req.Filter,
		},
		spec: req.Spec, process: req.Process, plan: &plan.Plan{Preserve: req.PreserveFDs},
	}
	if err := c.exec(req); err != nil {
		return nil, nil, err
	}
	return c.plan, c.warnings, nil
}

func (c *compiler) exec(req ExecRequest) error {
	if c.spec == nil {
		return errors.New("configuration is empty")
	}
	if c.process == nil || len(c.process.Args) == 0 {
		return errors.New("process.args: must not be empty")
	}
	if c.spec.Linux == nil {
		c.spec = withLinux(c.spec)
	}
	c.caps = c.capMasks()
	c.ns = namespaces{origins: map[uint64]string{}}
	if req.OwnUserns {
		// For the maps' sake: with a single group mapped by an unprivileged user setgroups(2) is denied inside as well.
		c.ns.created |= unix.CLONE_NEWUSER
	}
	pidfd := c.nextFD()
	c.add("", &plan.OpenPidfd{FD: pidfd, Pid: req.InitPid})
	c.openExecCgroup()
	cgroupNS := c.openExecCgroupNamespace(req)
	c.add("", &plan.OpenProc{})
	if adj := c.process.OOMScoreAdj; adj != nil {
		c.add("process.oomScoreAdj", &plan.ProcWrite{Path: "self/oom_score_adj", Value: fmt.Sprint(*adj)})
	}
	if err := c.affinity("initial"); err != nil {
		return err
	}
	what := fmt.Sprintf("process %d", req.InitPid)
	if types := req.JoinTypes &^ unix.CLONE_NEWCGROUP; types != 0 {
		c.add("", &plan.Setns{FD: pidfd, Types: types, What: what})
	}
	c.add("", &plan.Clone{Cgroup: c.cgroupFD})
	// From inside, a process cannot be born into a cgroup namespace: with nsdelegate, none may cross its border there (cgroups(7)).
	if cgroupNS != plan.NoFD {
		c.add("", &plan.Setns{FD: cgroupNS, Types: unix.CLONE_NEWCGROUP, What: what})
	}
	if c.req.CgroupPath != "" && !c.req.CloneIntoCgroup {
		c.add("", &plan.CgroupJoin{Path: c.req.CgroupPath})
	}
	if req.OwnUserns {
		become := &plan.Become{UID: firstMapped(c.spec.Linux.UIDMappings), GID: firstMapped(c.spec.Linux.GIDMappings)}
		if !c.setgroupsDenied() {
			become.Setgroups = 1
		}
		c.add("", become)
	}
	c.add("", &plan.Setsid{})
	if !hasMountNamespace(c.spec) {
		// The root of a container without a mount namespace is a directory of the host: init's own.
		c.add("", &plan.Chroot{Path: fmt.Sprintf("/proc/%d/root", req.InitPid)})
	}
	if err := c.affinity("final"); err != nil {
		return err
	}
	c.terminal(0)
	if err := c.processSetup(); err != nil {
		return err
	}
	return c.lockDown()
}

// openExecCgroup opens the existing cgroup to be born in.
func (c *compiler) openExecCgroup() {
	c.cgroupFD = plan.NoFD
	if c.req.CgroupPath != "" && c.req.CloneIntoCgroup {
		c.cgroupFD = c.nextFD()
		c.add("", &plan.OpenCgroup{FD: c.cgroupFD, Path: c.req.CgroupPath})
	}
}

// openExecCgroupNamespace opens the cgroup namespace of init while that may be asked for: the new process may not look at init any more
// when it enters it.
func (c *compiler) openExecCgroupNamespace(req ExecRequest) plan.FD {
	if req.JoinTypes&unix.CLONE_NEWCGROUP == 0 {
		return plan.NoFD
	}
	fd := c.nextFD()
	c.add("", &plan.OpenNamespace{FD: fd, Path: fmt.Sprintf("/proc/%d/ns/cgroup", req.InitPid), Type: string(specs.CgroupNamespace)})
	return fd
}

func hasMountNamespace(s *specs.Spec) bool {
	return slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace })
}

// affinity sets the CPUs before the process enters the cgroup (initial) or behind (final); config.md, "execCPUAffinity".
func (c *compiler) affinity(when string) error {
	a := c.process.ExecCPUAffinity
	if a == nil {
		return nil
	}
	list := a.Initial
	if when == "final" {
		list = a.Final
	}
	mask, err := parseMask(list)
	if err != nil {
		return fmt.Errorf("process.execCPUAffinity.%s: %w", when, err)
	}
	if mask != nil {
		c.add("process.execCPUAffinity."+when, &plan.Affinity{Mask: mask})
	}
	return nil
}
