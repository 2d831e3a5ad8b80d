package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	eventsapi "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/bxrne/zbox/libzbox"
)

// Kill sends a signal to a process, or to all of the container.
func (s *service) Kill(_ context.Context, r *taskapi.KillRequest) (*emptypb.Empty, error) {
	c, p, err := s.find(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	p.killing.RLock()
	defer p.killing.RUnlock()
	sig := unix.Signal(r.Signal)
	if r.ExecID != "" {
		return nothing, killExec(p, sig)
	}
	switch status := c.init.currentStatus(); {
	case !r.All && status == stoppedStatus:
		return nil, notFound("process of container %s already finished", c.id)
	case status == createdStatus && c.init.pid() == 0:
		// Not found would have containerd's client wait for the exit.
		return nil, precondition("container %s is not restored yet", c.id)
	}
	box, err := c.load()
	if err == nil {
		err = box.Kill(sig, r.All)
	}
	if err != nil {
		return nil, statusError(fmt.Errorf("killing container %s: %w", c.id, err))
	}
	if sig == unix.SIGKILL {
		c.paused.Store(false)
	}
	return nothing, nil
}

func killExec(p *process, sig unix.Signal) error {
	switch p.currentStatus() {
	case runningStatus:
	case stoppedStatus:
		return notFound("process of exec %s already finished", p.execID)
	default:
		return precondition("exec %s was not started", p.execID)
	}
	err := p.child.signal(sig)
	if errors.Is(err, unix.ESRCH) {
		return notFound("process of exec %s already finished", p.execID)
	}
	if err != nil {
		return statusError(fmt.Errorf("killing exec %s: %w", p.execID, err))
	}
	return nil
}

// Pause freezes all processes of the container.
func (s *service) Pause(_ context.Context, r *taskapi.PauseRequest) (*emptypb.Empty, error) {
	c, err := s.freeze(r.ID, true)
	if err != nil {
		return nil, err
	}
	s.publisher.send(&eventsapi.TaskPaused{ContainerID: c.id})
	return nothing, nil
}

// Resume thaws them.
func (s *service) Resume(_ context.Context, r *taskapi.ResumeRequest) (*emptypb.Empty, error) {
	c, err := s.freeze(r.ID, false)
	if err != nil {
		return nil, err
	}
	s.publisher.send(&eventsapi.TaskResumed{ContainerID: c.id})
	return nothing, nil
}

func (s *service) freeze(id string, frozen bool) (*container, error) {
	c, err := s.container(id)
	if err != nil {
		return nil, err
	}
	act, doing := (*libzbox.Container).Resume, "resuming"
	if frozen {
		act, doing = (*libzbox.Container).Pause, "pausing"
	}
	box, err := c.load()
	if err == nil {
		err = act(box)
	}
	if err != nil {
		return nil, statusError(fmt.Errorf("%s container %s: %w", doing, id, err))
	}
	c.paused.Store(frozen)
	return c, nil
}

// Update changes the limits of the container.
func (s *service) Update(_ context.Context, r *taskapi.UpdateTaskRequest) (*emptypb.Empty, error) {
	c, err := s.container(r.ID)
	if err != nil {
		return nil, err
	}
	var resources specs.LinuxResources
	if err := json.Unmarshal(r.Resources.GetValue(), &resources); err != nil {
		return nil, invalid("updating container %s: decoding the resources: %v", r.ID, err)
	}
	box, err := c.load()
	if err == nil {
		err = box.Update(&resources, libzbox.UpdateOptions{})
	}
	if err != nil {
		return nil, statusError(fmt.Errorf("updating container %s: %w", r.ID, err))
	}
	return nothing, nil
}

// ResizePty sets the size of a process's terminal.
func (s *service) ResizePty(_ context.Context, r *taskapi.ResizePtyRequest) (*emptypb.Empty, error) {
	_, p, err := s.find(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	return nothing, statusError(p.openedStreams().resize(r.Width, r.Height))
}

// CloseIO ends a process's input.
func (s *service) CloseIO(_ context.Context, r *taskapi.CloseIORequest) (*emptypb.Empty, error) {
	_, p, err := s.find(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if st := p.openedStreams(); st != nil && r.Stdin {
		st.endInput()
	}
	return nothing, nil
}

// Shutdown ends the shim, unless it has containers left. Behind the answer, containerd may start the next shim of the name.
func (s *service) Shutdown(context.Context, *taskapi.ShutdownRequest) (*emptypb.Empty, error) {
	if s.end() {
		s.giveUpSocket()
		s.shutdown()
	}
	return nothing, nil
}
