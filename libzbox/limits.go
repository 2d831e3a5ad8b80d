package libzbox

import (
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/plan"
)

// createCgroup makes the container's cgroup with its limits. A rootless container that asked for no limits may have none: then its
// init is born where zbox is.
func (p *performer) createCgroup(s *plan.CgroupCreate) error {
	if err := p.cgroup.Make(); err != nil {
		return err
	}
	p.container.j.Cgroup = p.cgroup.Saved() // a rootless container may have got less than it was planned to
	if s.FD == plan.NoFD {
		return nil
	}
	dir, err := p.cgroup.Dir()
	if err != nil {
		return err
	}
	return p.handCgroup(s.FD, dir)
}

// openCgroup opens the cgroup that a process of exec is born into.
func (p *performer) openCgroup(s *plan.OpenCgroup) error {
	dir, err := p.cgroup.OpenSub(p.container.j.Init.Pid, p.subs)
	if err != nil {
		return err
	}
	return p.handCgroup(s.FD, dir)
}

// handCgroup hands the directory over, or without one takes it out of the plan's clone step; the descriptor keeps its number.
func (p *performer) handCgroup(fd plan.FD, dir *os.File) error {
	return p.hand(fd, func() (*os.File, error) {
		if dir != nil {
			return dir, nil
		}
		if n := plan.First[*plan.Clone](p.plan); n > 0 {
			p.plan.Steps[n-1].(*plan.Clone).Cgroup = plan.NoFD
		}
		return openPath("/dev/null")
	})
}

// joinCgroup moves the new process into the cgroup, or into those of exec's --cgroup.
func (p *performer) joinCgroup() error {
	if p.journal {
		return p.cgroup.Join(p.pid)
	}
	return p.cgroup.JoinSub(p.pid, p.subs)
}

// cgroupOwner is the host uid that the container's own cgroup is handed to on v2, so that the container can manage it: that of the
// process, when it has a cgroup namespace of its own and a writable cgroup mount; nil for root, who needs no permission.
func cgroupOwner(s *specs.Spec) *int {
	if s.Linux == nil || s.Process == nil || !hasNewNamespace(s, specs.CgroupNamespace) || !writableCgroupMount(s) {
		return nil
	}
	uid := int(s.Process.User.UID)
	if namespacePath(s, specs.UserNamespace) != "" { // whose maps are not here
		return nil
	}
	if len(s.Linux.UIDMappings) > 0 {
		if uid = hostID(uid, s.Linux.UIDMappings); uid < 0 {
			return nil
		}
	}
	// Without privileges a cgroup can only stay with its maker.
	if uid == 0 || os.Geteuid() != 0 {
		return nil
	}
	return &uid
}

func writableCgroupMount(s *specs.Spec) bool {
	return slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool {
		return (m.Type == "cgroup" || m.Type == "cgroup2") && !slices.Contains(m.Options, "ro") && !slices.Contains(m.Options, "rro")
	})
}

// hostID is the host's id for one of the container's, -1 without one.
func hostID(id int, maps []specs.LinuxIDMapping) int {
	for _, m := range maps {
		if first := int(m.ContainerID); id >= first && id < first+int(m.Size) {
			return int(m.HostID) + id - first
		}
	}
	return -1
}
