package shim

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	eventsapi "github.com/containerd/containerd/api/events"
	forwardapi "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// containerd takes events; it refuses those of a topic.
type containerd struct {
	refuses string
	topics  chan string
}

func (c containerd) Forward(_ context.Context, r *forwardapi.ForwardRequest) (*emptypb.Empty, error) {
	if r.Envelope.Topic == c.refuses {
		return nil, errdefs.ToGRPCf(errdefs.ErrInvalidArgument, "refused")
	}
	c.topics <- r.Envelope.Topic
	return &emptypb.Empty{}, nil
}

// serve runs c at the address until the returned function is called, which lets it answer first: events without an answer come again.
func (c containerd) serve(t *testing.T, address string) (kill func()) {
	t.Helper()
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	forwardapi.RegisterEventsService(server, c)
	inner, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	l := &closingListener{Listener: inner}
	go func() { _ = server.Serve(context.Background(), l) }() // it ends with an error when it is killed
	return func() {
		_ = server.Shutdown(context.Background())
		l.closeConnections()
		_ = os.Remove(address)
	}
}

// closingListener closes its connections when it is told so: a server that is shut down does it some time behind that, and may take an event that
// it does not answer.
type closingListener struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *closingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *closingListener) closeConnections() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		_ = conn.Close()
	}
}

// publishing is a publisher for the address, and what ends it as a shim ends.
func publishing(t *testing.T, address string) (p *publisher, end func()) {
	t.Helper()
	p, err := newPublisher("test", address, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		p.run(ctx)
		close(ended)
	}()
	return p, func() {
		cancel()
		<-ended
	}
}

func TestEventsWaitForContainerd(t *testing.T) {
	address := filepath.Join(t.TempDir(), "socket")
	c := containerd{topics: make(chan string, 10)}
	kill := c.serve(t, address)
	p, end := publishing(t, address)
	p.send(&eventsapi.TaskCreate{ContainerID: "c"})
	got := []string{<-c.topics}

	kill()
	p.send(&eventsapi.TaskStart{ContainerID: "c"})
	p.send(&eventsapi.TaskExit{ContainerID: "c"})
	defer c.serve(t, address)()
	p.send(&eventsapi.TaskDelete{ContainerID: "c"})
	for got[len(got)-1] != "/tasks/delete" { // before the end, which has little patience
		got = append(got, <-c.topics)
	}
	end()
	close(c.topics)
	for topic := range c.topics {
		got = append(got, topic)
	}
	if got[1] == got[0] {
		got = got[1:] // containerd was gone before it had answered
	}
	if want := []string{"/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"}; !slices.Equal(got, want) {
		t.Errorf("containerd got %q, want %q", got, want)
	}
}

func TestRefusedEventIsNotSentAgain(t *testing.T) {
	address := filepath.Join(t.TempDir(), "socket")
	c := containerd{topics: make(chan string, 10), refuses: "/tasks/oom"}
	defer c.serve(t, address)()
	p, end := publishing(t, address)
	p.send(&eventsapi.TaskOOM{ContainerID: "c"})
	p.send(&eventsapi.TaskExit{ContainerID: "c"})
	topic := <-c.topics // before the end, which has little patience
	end()
	if topic != "/tasks/exit" || len(c.topics) != 0 {
		t.Errorf("containerd got %s and %d more", topic, len(c.topics))
	}
}
