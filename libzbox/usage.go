package libzbox

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
)

// Usage is what a container has used up to now, and which limits it has met. It is zero for a container without a cgroup.
type Usage struct {
	CPU        time.Duration
	MemoryPeak uint64 // bytes
	OOMKills   uint64 // processes that the out-of-memory killer has killed
	PidsHits   uint64 // forks and clones that the limit of processes has refused
}

// Usage reads the counters of the container's cgroup, which is there until the container is deleted.
func (c *Container) Usage() Usage {
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return Usage{}
	}
	return Usage(cg.Usage())
}

// End kills every process of the container, by its pid namespace and by its cgroup: also those that left its session.
func (c *Container) End() error {
	err := c.Kill(unix.SIGKILL, false)
	if errors.Is(err, ErrNotRunning) {
		err = nil
	}
	return errors.Join(err, c.Kill(unix.SIGKILL, true))
}
