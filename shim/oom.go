package shim

import (
	"context"

	eventsapi "github.com/containerd/containerd/api/events"

	"github.com/bxrne/zbox/libzbox"
)

// watchOOM tells containerd when the container runs out of memory. It begins when the container is created: the first processes may be
// the ones that need too much.
func (s *service) watchOOM(c *container, box *libzbox.Container) {
	ctx, cancel := context.WithCancel(context.Background())
	c.stopOOM = cancel
	events, err := box.OOMEvents(ctx)
	if err != nil {
		// No cgroup, or none with a memory controller: there is no limit to run into.
		s.debug(c.id + ": " + err.Error())
		return
	}
	go func() {
		for range events {
			s.publisher.send(&eventsapi.TaskOOM{ContainerID: c.id})
		}
	}()
}
