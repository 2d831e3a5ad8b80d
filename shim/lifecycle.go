package shim

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/bxrne/zbox/libzbox"
)

// execPatience bounds how long the exit of init waits for those of exec, which come before it.
const execPatience = 10 * time.Second

var nothing = &emptypb.Empty{}

// Create makes a container whose init waits for Start. One that is restored has no process before.
func (s *service) Create(ctx context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	if err := s.reserve(r.ID); err != nil {
		return nil, err
	}
	c, err := s.newContainer(r)
	if err == nil {
		err = s.create(ctx, c, r.Rootfs)
	}
	if err != nil {
		s.drop(r.ID)
		s.endIfForgotten(shutdownWithin)
		return nil, statusError(fmt.Errorf("creating container %s: %w", r.ID, err))
	}
	s.publisher.send(&eventsapi.TaskCreate{
		ContainerID: r.ID, Bundle: r.Bundle, Rootfs: r.Rootfs, Pid: c.init.pid(), Checkpoint: c.image,
		IO: &eventsapi.TaskIO{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
	})
	s.put(r.ID, c)
	s.unmarkSocket()
	if c.image == "" {
		go s.await(c.init)
	}
	return &taskapi.CreateTaskResponse{Pid: c.init.pid()}, nil
}

// Start runs the program of init, restores the container, or makes the process of an exec.
func (s *service) Start(ctx context.Context, r *taskapi.StartRequest) (*taskapi.StartResponse, error) {
	c, p, err := s.find(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	p.starting.Lock()
	defer p.starting.Unlock()
	if r.ExecID != "" {
		err = s.startExec(ctx, c, p)
	} else {
		err = s.startInit(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	return &taskapi.StartResponse{Pid: p.pid()}, nil
}

func (s *service) startInit(ctx context.Context, c *container) error {
	if status := c.init.currentStatus(); status != createdStatus {
		return precondition("container %s cannot be started: it is %s", c.id, status)
	}
	doing, act := "starting", s.release
	if c.image != "" {
		doing, act = "restoring", s.restore
	}
	if err := act(ctx, c); err != nil {
		return statusError(fmt.Errorf("%s container %s: %w", doing, c.id, err))
	}
	s.publisher.send(&eventsapi.TaskStart{ContainerID: c.id, Pid: c.init.pid()})
	if c.image != "" {
		go s.await(c.init)
	}
	return nil
}

// release lets the init of a new container run its program.
func (s *service) release(_ context.Context, c *container) error {
	defer s.reaper.begin()()
	box, err := c.load()
	if err == nil {
		err = box.Start()
	}
	if err == nil {
		c.init.setStatus(runningStatus)
	}
	return err
}

// startExec makes the process. One that could not be made stays, to be deleted.
func (s *service) startExec(ctx context.Context, c *container, p *process) error {
	if status := p.currentStatus(); status != createdStatus || p.pid() != 0 {
		return precondition("exec %s of container %s cannot be started: it is %s", p.execID, c.id, status)
	}
	if c.init.currentStatus() == stoppedStatus {
		return precondition("container %s has stopped", c.id)
	}
	if err := s.makeExec(ctx, c, p); err != nil {
		return statusError(fmt.Errorf("exec %s in container %s: %w", p.execID, c.id, err))
	}
	s.publisher.send(&eventsapi.TaskExecStarted{ContainerID: c.id, ExecID: p.execID, Pid: p.pid()})
	go s.await(p)
	return nil
}

func (s *service) makeExec(ctx context.Context, c *container, p *process) error {
	defer s.reaper.begin()()
	box, err := c.load()
	if err != nil {
		return err
	}
	st, err := s.openStreams(ctx, c.id, p.stdio)
	if err != nil {
		return err
	}
	made, err := box.Exec(libzbox.ExecOptions{Process: p.spec, Stdio: st.process, TakeConsole: p.stdio.terminal})
	if err != nil {
		st.close()
		return err
	}
	child, err := s.reaper.adopt(made.Pid)
	if err == nil {
		err = st.started(made.Console)
	}
	if err != nil {
		st.close()
		_ = unix.Kill(made.Pid, unix.SIGKILL) // our child, not reaped yet
		return err
	}
	p.made(child, st, runningStatus)
	return nil
}

// await waits for the end of a process and tells containerd: once, and behind everything that is to come before it.
func (s *service) await(p *process) {
	code := p.child.wait()
	if p.execID == "" {
		p.container.stopOOM(code)
	}
	p.openedStreams().settle()
	p.starting.Lock()
	defer p.starting.Unlock()
	c := p.container
	id := p.execID
	if id == "" {
		id = c.id
		s.endExecs(c)
	}
	p.exit(code)
	_, at := p.exitStatus()
	p.killing.Lock()
	defer p.killing.Unlock()
	s.publisher.send(&eventsapi.TaskExit{ContainerID: c.id, ID: id, Pid: p.pid(), ExitStatus: code, ExitedAt: at})
}

// endExecs waits for the end of the processes of exec, which do not outlive init.
func (s *service) endExecs(c *container) {
	if c.sharesPids {
		if box, err := c.load(); err == nil {
			if err := box.Kill(unix.SIGKILL, true); err != nil {
				s.warn(fmt.Sprintf("%s: ending its other processes: %v", c.id, err))
			}
		}
	}
	timeout := time.After(execPatience)
	for _, p := range c.runningExecs() {
		select {
		case <-p.ended:
		case <-timeout:
			return
		}
	}
}

// Exec notes a process, which Start makes.
func (s *service) Exec(_ context.Context, r *taskapi.ExecProcessRequest) (*emptypb.Empty, error) {
	c, err := s.container(r.ID)
	if err != nil {
		return nil, err
	}
	p := newProcess(c, r.ExecID, stdio{
		stdin: r.Stdin, stdout: r.Stdout, stderr: r.Stderr, terminal: r.Terminal,
		uid: c.init.stdio.uid, gid: c.init.stdio.gid,
	})
	p.status = createdStatus
	p.spec = &specs.Process{}
	if err := json.Unmarshal(r.Spec.GetValue(), p.spec); err != nil {
		return nil, invalid("exec %s of container %s: decoding the process: %v", r.ExecID, r.ID, err)
	}
	p.spec.Terminal = r.Terminal
	if !c.addExec(p) {
		return nil, errdefs.ToGRPCf(errdefs.ErrAlreadyExists, "exec %s of container %s", r.ExecID, r.ID)
	}
	s.publisher.send(&eventsapi.TaskExecAdded{ContainerID: r.ID, ExecID: r.ExecID})
	return nothing, nil
}

func (c *container) addExec(p *process) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.execs[p.execID] != nil {
		return false
	}
	c.execs[p.execID] = p
	return true
}

// Delete removes what is left of a process that has ended, or of the container.
func (s *service) Delete(_ context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	c, p, err := s.find(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if r.ExecID != "" {
		err = c.deleteExec(p)
	} else {
		err = s.deleteInit(c)
	}
	if err != nil {
		return nil, err
	}
	code, at := p.exitStatus()
	if r.ExecID == "" {
		s.publisher.send(&eventsapi.TaskDelete{ContainerID: c.id, Pid: p.pid(), ExitStatus: code, ExitedAt: at})
	}
	return &taskapi.DeleteResponse{Pid: p.pid(), ExitStatus: code, ExitedAt: at}, nil
}

func (c *container) deleteExec(p *process) error {
	if p.currentStatus() == runningStatus {
		return precondition("exec %s of container %s still runs", p.execID, c.id)
	}
	if st := p.openedStreams(); st != nil {
		st.drain()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.execs, p.execID)
	return nil
}

func (s *service) deleteInit(c *container) error {
	switch c.init.currentStatus() {
	case stoppedStatus:
	case createdStatus: // has run nothing yet
		if err := c.init.discard(); err != nil {
			return err
		}
	default:
		return precondition("container %s still runs", c.id)
	}
	if err := s.remove(c); err != nil {
		return statusError(err)
	}
	s.drop(c.id)
	s.endIfForgotten(shutdownWithin)
	return nil
}
