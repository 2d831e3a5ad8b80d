package libzbox

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/nsexec"
)

// State is the container's state now.
func (c *Container) State() (State, error) {
	s := State{
		Version: c.j.OCIVersion, ID: c.j.ID, Pid: c.j.Init.Pid, Status: c.status(), Bundle: c.j.Bundle, Rootfs: c.j.Rootfs,
		Created: c.j.Created, Annotations: c.j.Annotations, Owner: ownerName(c.j.OwnerUID),
	}
	if s.Status == Stopped {
		s.Pid = 0
	}
	return s, nil
}

// status derives the Status from the journal's phase and the life of the processes.
func (c *Container) status() Status {
	alive := c.j.Init.alive()
	switch {
	case c.j.Phase == phaseCreating:
		// Who holds the lock knows that the worker is gone, even while it is still dying.
		if c.lock == nil && c.j.Worker.alive() {
			return Creating
		}
		// A run that was killed between execve and its next record left a program that runs. A stage that is left without its
		// worker is not worth a state of its own: it ends, or waits for a start that the journal does not allow.
		if alive && !c.isStage() {
			return c.orPaused(Running)
		}
		return Stopped
	case !alive:
		return Stopped
	case c.j.Phase == phaseCreated, c.j.Phase == phaseStarting && c.isStage():
		return c.orPaused(Created)
	}
	return c.orPaused(Running)
}

// isStage reports whether the init process still is the stage, waiting to be started.
func (c *Container) isStage() bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.j.Init.Pid))
	return err == nil && strings.HasPrefix(exe, "/memfd:"+nsexec.StageName)
}

// orPaused is Paused when the container's cgroup is frozen, else s.
func (c *Container) orPaused(s Status) Status {
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return s
	}
	if frozen, err := cg.Frozen(); err == nil && frozen {
		return Paused
	}
	return s
}

// ownerName is the user who made the container: a name where one is known. The passwd file is the host's.
func ownerName(uid int) string {
	if uid == 0 {
		return "root"
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "#" + strconv.Itoa(uid)
}
