package shim

import (
	"context"

	eventsapi "github.com/containerd/containerd/api/events"

	"github.com/bxrne/zbox/libzbox"
)

// watchOOM tells containerd when the container runs out of memory. It begins when the container is created: the first processes may be
// the ones that need too much. It ends with init, before whose exit everything is told: what containerd knows by then is the reason of the exit,
// and where systemd makes the cgroups, it removes an empty one at once.
func (s *service) watchOOM(c *container, box *libzbox.Container) {
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan struct{})
	c.stopOOM = func() {
		cancel()
		<-told
	}
	events, err := box.OOMEvents(ctx)
	if err != nil {
		// No cgroup, or none with a memory controller: there is no limit to run into.
		s.debug(c.id + ": " + err.Error())
		close(told)
		return
	}
	go func() {
		defer close(told)
		for range events {
			s.publisher.send(&eventsapi.TaskOOM{ContainerID: c.id})
		}
	}()
}
