package shim

import (
	"context"
	"fmt"
	"os"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/protobuf"
)

// State is what a process is doing.
func (s *service) State(_ context.Context, r *taskapi.StateRequest) (*taskapi.StateResponse, error) {
	_, p, err := s.find(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	return p.state(), nil
}

// Wait returns when a process has ended.
func (s *service) Wait(ctx context.Context, r *taskapi.WaitRequest) (*taskapi.WaitResponse, error) {
	_, p, err := s.find(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		return nil, statusError(ctx.Err())
	}
	code, at := p.exitStatus()
	return &taskapi.WaitResponse{ExitStatus: code, ExitedAt: at}, nil
}

// Pids lists the processes of the container; those of exec carry its id.
func (s *service) Pids(_ context.Context, r *taskapi.PidsRequest) (*taskapi.PidsResponse, error) {
	c, err := s.container(r.ID)
	if err != nil {
		return nil, err
	}
	box, err := c.load()
	if err != nil {
		return nil, statusError(err)
	}
	pids, err := box.Pids()
	if err != nil {
		return nil, statusError(fmt.Errorf("container %s: %w", c.id, err))
	}
	execs := map[uint32]string{}
	for _, p := range c.runningExecs() {
		execs[p.pid()] = p.execID
	}
	res := &taskapi.PidsResponse{}
	for _, pid := range pids {
		info := &task.ProcessInfo{Pid: uint32(pid)}
		if id, ok := execs[info.Pid]; ok {
			if info.Info, err = protobuf.MarshalAnyToProto(&options.ProcessDetails{ExecID: id}); err != nil {
				return nil, statusError(err)
			}
		}
		res.Processes = append(res.Processes, info)
	}
	return res, nil
}

// Stats reads the container's resource use.
func (s *service) Stats(_ context.Context, r *taskapi.StatsRequest) (*taskapi.StatsResponse, error) {
	c, err := s.container(r.ID)
	if err != nil {
		return nil, err
	}
	cgroup := c.cgroupDirs()
	if len(cgroup) == 0 {
		return nil, notFound("container %s has no cgroup", c.id)
	}
	stats, err := readStats(cgroup)
	if err != nil {
		return nil, statusError(fmt.Errorf("container %s: %w", c.id, err))
	}
	return &taskapi.StatsResponse{Stats: stats}, nil
}

// Connect tells which process the shim is, and which the container's init.
func (s *service) Connect(_ context.Context, r *taskapi.ConnectRequest) (*taskapi.ConnectResponse, error) {
	res := &taskapi.ConnectResponse{ShimPid: uint32(os.Getpid())}
	if c, err := s.container(r.ID); err == nil {
		res.TaskPid = c.init.pid()
	}
	return res, nil
}
