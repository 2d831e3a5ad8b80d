//go:build engines

package containerd

import (
	"context"
	"sync"
	"testing"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	eventsapi "github.com/containerd/containerd/api/services/events/v1"
	leasesapi "github.com/containerd/containerd/api/services/leases/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/protobuf"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"
)

// api is containerd's own API, for what ctr has no flags for.
type api struct {
	t    *testing.T
	ctx  context.Context
	conn *grpc.ClientConn
}

// dial connects. What is stored through the connection stays as long as the test runs, by a lease: containerd removes what nothing refers to.
func dial(t *testing.T) api {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, lease := namespaces.WithNamespace(t.Context(), Namespace), fresh("lease")
	client := leasesapi.NewLeasesClient(conn)
	if _, err := client.Create(ctx, &leasesapi.CreateRequest{ID: lease}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := client.Delete(context.WithoutCancel(ctx), &leasesapi.DeleteRequest{ID: lease}); err != nil {
			t.Error(err)
		}
	})
	return api{t: t, ctx: metadata.AppendToOutgoingContext(ctx, "containerd-lease", lease), conn: conn}
}

// pack is how options travel; nil is none.
func pack(t *testing.T, options any) *anypb.Any {
	t.Helper()
	if options == nil {
		return nil
	}
	packed, err := protobuf.MarshalAnyToProto(options)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// copyContainer makes a container that differs from another one in its id and the runtime's options; they share the root file system.
func (a api) copyContainer(from, to string, options any) {
	a.t.Helper()
	client := containersapi.NewContainersClient(a.conn)
	got, err := client.Get(a.ctx, &containersapi.GetContainerRequest{ID: from})
	if err != nil {
		a.t.Fatal(err)
	}
	c := got.Container
	c.ID, c.Runtime.Options = to, pack(a.t, options)
	if _, err := client.Create(a.ctx, &containersapi.CreateContainerRequest{Container: c}); err != nil {
		a.t.Fatal(err)
	}
}

// checkpoint returns what containerd calls the image, nil when that is a directory.
func (a api) checkpoint(id string, options any) (*types.Descriptor, error) {
	a.t.Helper()
	res, err := tasksapi.NewTasksClient(a.conn).Checkpoint(a.ctx, &tasksapi.CheckpointTaskRequest{ContainerID: id, Options: pack(a.t, options)})
	if err != nil || len(res.Descriptors) == 0 {
		return nil, err
	}
	return res.Descriptors[0], nil
}

// createTask makes the task of a container, whose output goes to a file.
func (a api) createTask(id, log string, image *types.Descriptor, options any) {
	a.t.Helper()
	a.create(&tasksapi.CreateTaskRequest{
		ContainerID: id, Stdout: "file://" + log, Stderr: "file://" + log, Checkpoint: image, Options: pack(a.t, options),
	})
}

// create makes a task on the container's root file system.
func (a api) create(request *tasksapi.CreateTaskRequest) {
	a.t.Helper()
	got, err := containersapi.NewContainersClient(a.conn).Get(a.ctx, &containersapi.GetContainerRequest{ID: request.ContainerID})
	if err != nil {
		a.t.Fatal(err)
	}
	mounts, err := snapshotsapi.NewSnapshotsClient(a.conn).Mounts(a.ctx, &snapshotsapi.MountsRequest{
		Snapshotter: got.Container.Snapshotter, Key: got.Container.SnapshotKey,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	request.Rootfs = mounts.Mounts
	if _, err := tasksapi.NewTasksClient(a.conn).Create(a.ctx, request); err != nil {
		a.t.Fatalf("creating the task: %v", err)
	}
}

// start returns the pid of the task.
func (a api) start(id string) (uint32, error) {
	a.t.Helper()
	res, err := tasksapi.NewTasksClient(a.conn).Start(a.ctx, &tasksapi.StartRequest{ContainerID: id})
	return res.GetPid(), err
}

// events collects what containerd tells from now on.
func (a api) events() *eventLog {
	a.t.Helper()
	stream, err := eventsapi.NewEventsClient(a.conn).Subscribe(a.ctx, &eventsapi.SubscribeRequest{})
	if err != nil {
		a.t.Fatal(err)
	}
	e := &eventLog{}
	go func() {
		for {
			envelope, err := stream.Recv()
			if err != nil { // the test has ended
				return
			}
			if event, err := typeurl.UnmarshalAny(envelope.Event); err == nil {
				e.mu.Lock()
				e.all = append(e.all, event)
				e.mu.Unlock()
			}
		}
	}()
	return e
}

type eventLog struct {
	mu  sync.Mutex
	all []any
}

// of are the events of a type about a container.
func of[T interface{ GetContainerID() string }](e *eventLog, id string) (found []T) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.all {
		if event, ok := event.(T); ok && event.GetContainerID() == id {
			found = append(found, event)
		}
	}
	return found
}
