package shim

import (
	"context"
	"fmt"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	forwardapi "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/pkg/ttrpcutil"
	"github.com/containerd/containerd/protobuf"
	"github.com/containerd/containerd/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// eventQueue is how many events may wait while containerd does not take them.
	eventQueue = 128

	// reconnectPeriod is how long the shim waits before it looks for containerd again; looking alone takes up to five seconds.
	reconnectPeriod = 200 * time.Millisecond

	// lastEventPatience bounds how long a shim that ends tries to tell of it.
	lastEventPatience = 4 * time.Second
)

// ttrpcAddressEnv names the socket on which containerd takes events.
const ttrpcAddressEnv = "TTRPC_ADDRESS"

// A publisher sends the task events to containerd, in the order in which they were sent to it, each once. Without a containerd it waits for
// one: containerd's own publisher gives an event up when containerd is away for a quarter of a minute, and lets later ones overtake it.
type publisher struct {
	namespace string
	client    *ttrpcutil.Client
	queue     chan *types.Envelope
	warn      func(string)
}

func newPublisher(namespace, address string, warn func(string)) (*publisher, error) {
	client, err := ttrpcutil.NewClient(address)
	if err != nil {
		return nil, fmt.Errorf("connecting to containerd: %w", err)
	}
	return &publisher{namespace: namespace, client: client, queue: make(chan *types.Envelope, eventQueue), warn: warn}, nil
}

// run sends until ctx ends and the queue is empty.
func (p *publisher) run(ctx context.Context) {
	defer p.client.Close()
	for {
		select {
		case e := <-p.queue:
			p.publish(ctx, e)
			continue
		default:
		}
		select {
		case e := <-p.queue:
			p.publish(ctx, e)
		case <-ctx.Done():
			return
		}
	}
}

// publish tries until containerd has the event. An answer that does not come is waited for: a containerd that is only slow must not get the
// event twice.
func (p *publisher) publish(ctx context.Context, event *types.Envelope) {
	sending, cancel := outlive(ctx, lastEventPatience)
	defer cancel()
	for attempt := 0; ; attempt++ {
		err := p.forward(sending, event)
		if err == nil {
			return
		}
		if refused(err) || sending.Err() != nil {
			p.warn("publishing " + event.Topic + ": " + err.Error())
			return
		}
		if attempt > 0 { // the first one may only have shown that containerd was restarted
			if attempt == 1 {
				p.warn("publishing " + event.Topic + ": waiting for containerd: " + err.Error())
			}
			select {
			case <-time.After(reconnectPeriod):
			case <-sending.Done():
			}
		}
		_ = p.client.Reconnect() // forward tells the error
	}
}

func (p *publisher) forward(ctx context.Context, event *types.Envelope) error {
	service, err := p.client.EventsService()
	if err != nil {
		return err
	}
	_, err = service.Forward(ctx, &forwardapi.ForwardRequest{Envelope: event})
	return err
}

// refused reports whether containerd has answered that it does not take the event; one that is ending does not take any.
func refused(err error) bool {
	answer, ok := status.FromError(err)
	return ok && answer.Code() != codes.Unavailable && answer.Code() != codes.Canceled
}

// outlive is a context that ends some time behind the end of another.
func outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(by, cancel)
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// send hands an event over; it never loses one.
func (p *publisher) send(event any) {
	packed, err := protobuf.MarshalAnyToProto(event)
	if err != nil {
		p.warn("publishing " + topic(event) + ": " + err.Error())
		return
	}
	p.queue <- &types.Envelope{Timestamp: timestamppb.Now(), Namespace: p.namespace, Topic: topic(event), Event: packed}
}

// topic is under which containerd publishes the event.
func topic(event any) string {
	switch event.(type) {
	case *eventsapi.TaskCreate:
		return runtime.TaskCreateEventTopic
	case *eventsapi.TaskStart:
		return runtime.TaskStartEventTopic
	case *eventsapi.TaskOOM:
		return runtime.TaskOOMEventTopic
	case *eventsapi.TaskExit:
		return runtime.TaskExitEventTopic
	case *eventsapi.TaskDelete:
		return runtime.TaskDeleteEventTopic
	case *eventsapi.TaskExecAdded:
		return runtime.TaskExecAddedEventTopic
	case *eventsapi.TaskExecStarted:
		return runtime.TaskExecStartedEventTopic
	case *eventsapi.TaskPaused:
		return runtime.TaskPausedEventTopic
	case *eventsapi.TaskResumed:
		return runtime.TaskResumedEventTopic
	case *eventsapi.TaskCheckpointed:
		return runtime.TaskCheckpointedEventTopic
	}
	return runtime.TaskUnknownTopic
}
