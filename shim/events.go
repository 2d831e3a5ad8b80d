package shim

import (
	"context"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/runtime/v2/shim"
)

// eventQueue is how many events may wait while containerd does not take them.
const eventQueue = 128

// A publisher sends the task events to containerd, in the order in which they were sent to it.
type publisher struct {
	remote shim.Publisher
	queue  chan any
	warn   func(string)
}

// run sends until ctx ends and the queue is empty. That it closes the remote end is what containerd's library waits for.
func (p *publisher) run(ctx context.Context, namespace string) {
	// Not ctx: the last events are sent when that has ended.
	background := namespaces.WithNamespace(context.Background(), namespace)
	defer p.remote.Close()
	for {
		select {
		case e := <-p.queue:
			p.publish(background, e)
			continue
		default:
		}
		select {
		case e := <-p.queue:
			p.publish(background, e)
		case <-ctx.Done():
			return
		}
	}
}

func (p *publisher) publish(ctx context.Context, event any) {
	// The library tries again by itself.
	if err := p.remote.Publish(ctx, topic(event), event); err != nil {
		p.warn("publishing " + topic(event) + ": " + err.Error())
	}
}

// send hands an event over; it never loses one.
func (p *publisher) send(event any) { p.queue <- event }

// topic is under which containerd publishes the event.
func topic(event any) string {
	switch event.(type) {
	case *eventsapi.TaskCreate:
		return "/tasks/create"
	case *eventsapi.TaskStart:
		return "/tasks/start"
	case *eventsapi.TaskOOM:
		return "/tasks/oom"
	case *eventsapi.TaskExit:
		return "/tasks/exit"
	case *eventsapi.TaskDelete:
		return "/tasks/delete"
	case *eventsapi.TaskExecAdded:
		return "/tasks/exec-added"
	case *eventsapi.TaskExecStarted:
		return "/tasks/exec-started"
	case *eventsapi.TaskPaused:
		return "/tasks/paused"
	case *eventsapi.TaskResumed:
		return "/tasks/resumed"
	case *eventsapi.TaskCheckpointed:
		return "/tasks/checkpointed"
	}
	return "?"
}
