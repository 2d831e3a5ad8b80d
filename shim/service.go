package shim

import (
	"context"
	"os"
	"runtime/debug"
	"sync"

	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/errdefs"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/runtime/v2/shim"
	"github.com/containerd/log"
)

const (
	createdStatus = task.Status_CREATED
	runningStatus = task.Status_RUNNING
	stoppedStatus = task.Status_STOPPED
)

// service is the task API for all containers of one pod.
type service struct {
	id        string // the container that the shim was started for
	namespace string
	warn      func(line string)
	debug     func(line string)
	reaper    *reaper
	publisher *publisher
	trimmer   *trimmer
	shutdown  func()
	address   string // of the server's socket

	mu         sync.Mutex
	containers map[string]*container // nil while one is being made
	ending     bool                  // no container is made any more
	unmarked   bool                  // containerd does not forget the server any more
}

func newService(ctx context.Context, id string, unused shim.Publisher, shutdown func()) (*service, error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	logger := log.G(ctx) //nolint:forbidigo // containerd reads it, from the FIFO log of the bundle
	s := &service{
		id: id, namespace: namespace, shutdown: shutdown, reaper: newReaper(), containers: map[string]*container{},
		warn: func(line string) { logger.Warn(line) }, debug: func(line string) { logger.Debug(line) },
	}
	if os.Args[len(os.Args)-1] == "delete" {
		debug.SetGCPercent(-1) // it ends before there is garbage enough
		return s, nil
	}
	// The library's 40 % has the collector run three times while a container is made; the trimmer does better.
	debug.SetGCPercent(100)
	if s.publisher, err = newPublisher(namespace, os.Getenv(ttrpcAddressEnv), s.warn); err != nil {
		return nil, err
	}
	s.trimmer = newTrimmer()
	s.endIfForgotten(firstContainerWithin)
	go s.reaper.serve()
	go func() {
		s.publisher.run(ctx)
		unused.Close() // which the library waits for
	}()
	if address, err := shim.ReadAddress(addressFile); err == nil {
		s.address = address
		go s.removeSocketAtEnd(ctx)
	}
	return s, nil
}

// reserve keeps an id for a container that is about to be made.
func (s *service) reserve(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.containers[id]; taken {
		return errdefs.ToGRPCf(errdefs.ErrAlreadyExists, "container %s", id)
	}
	if s.ending {
		return errdefs.ToGRPCf(errdefs.ErrUnavailable, "container %s: the shim is ending", id)
	}
	s.containers[id] = nil
	return nil
}

func (s *service) put(id string, c *container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[id] = c
}

func (s *service) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, id)
}

// container finds a container, as every call of the task API does.
func (s *service) container(id string) (*container, error) {
	s.trimmer.worked()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.containers[id]; c != nil {
		return c, nil
	}
	return nil, notFound("container %s", id)
}

// find is container with one of its processes.
func (s *service) find(id, execID string) (*container, *process, error) {
	c, err := s.container(id)
	if err != nil {
		return nil, nil, err
	}
	p, err := c.process(execID)
	return c, p, err
}

// end lets no container come any more, unless there is one.
func (s *service) end() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = s.ending || len(s.containers) == 0
	return s.ending
}
