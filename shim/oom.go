package shim

import (
	"context"

	eventsapi "github.com/containerd/containerd/api/events"

	"github.com/bxrne/zbox/libzbox"
)

// watchOOM tells containerd when the container runs out of memory. It begins when the container is created: the first processes may be
// the ones that need too much. It ends with init, before whose exit everything is told: what containerd knows by then is the reason of the exit.
func (s *service) watchOOM(c *container, box *libzbox.Container) {
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan struct{})
	tell := func() { s.publisher.send(&eventsapi.TaskOOM{ContainerID: c.id}) }
	possible := false
	c.stopOOM = func(code uint32) {
		cancel()
		<-told
		if possible && code == killed {
			tell()
		}
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
		for event := range events {
			if event == libzbox.OOMPossible {
				possible = true
				continue
			}
			tell()
		}
	}()
}
