package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	eventsapi "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/runtime/linux/runctypes"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/bxrne/zbox/libzbox"
)

// Checkpoint saves the processes of a container to an image. Without the option Exit they go on.
func (s *service) Checkpoint(_ context.Context, r *taskapi.CheckpointTaskRequest) (*emptypb.Empty, error) {
	c, err := s.container(r.ID)
	if err != nil {
		return nil, err
	}
	if status := c.init.currentStatus(); status != runningStatus {
		return nil, precondition("container %s cannot be checkpointed: it is %s", c.id, status)
	}
	o, err := checkpointOptions(r)
	if err == nil {
		err = s.checkpoint(c, o)
	}
	if err != nil {
		return nil, statusError(fmt.Errorf("checkpointing container %s: %w", c.id, err))
	}
	s.publisher.send(&eventsapi.TaskCheckpointed{ContainerID: c.id, Checkpoint: r.Path})
	return nothing, nil
}

func (s *service) checkpoint(c *container, o libzbox.CheckpointOptions) error {
	defer s.reaper.begin()()
	box, err := c.load()
	if err != nil {
		return err
	}
	if o.WorkPath == "" {
		o.WorkPath = c.criuWorkPath()
	}
	return box.Checkpoint(o)
}

// criuWorkPath is where CRIU's logs go: what the option says, or the directory that containerd keeps for the task. They are no part of the
// image, which containerd stores.
func (c *container) criuWorkPath() string {
	if c.options.CriuWorkPath != "" {
		return c.options.CriuWorkPath
	}
	return filepath.Join(c.bundle, "work")
}

// checkpointOptions are those of a request, from containerd.runc.v1.CheckpointOptions or the older containerd.linux.runc.CheckpointOptions.
func checkpointOptions(r *taskapi.CheckpointTaskRequest) (libzbox.CheckpointOptions, error) {
	sent, err := unpackCheckpointOptions(r.Options)
	if err != nil {
		return libzbox.CheckpointOptions{}, err
	}
	switch {
	case r.Path == "":
		return libzbox.CheckpointOptions{}, errors.New("the request has no path for the image")
	case sent.ImagePath != "" && filepath.Clean(sent.ImagePath) != filepath.Clean(r.Path):
		// For other runtimes than runc, containerd takes what it stores from a directory of its own.
		return libzbox.CheckpointOptions{}, fmt.Errorf("checkpoint options: ImagePath %s: containerd wants the image in %s (leave it out)", sent.ImagePath, r.Path)
	}
	return libzbox.CheckpointOptions{
		CriuOptions: libzbox.CriuOptions{
			ImagePath: r.Path, WorkPath: sent.WorkPath, ManageCgroups: sent.CgroupsMode, EmptyNamespaces: sent.EmptyNamespaces,
			TCPEstablished: sent.OpenTcp, ExternalUnixSockets: sent.ExternalUnixSockets, ShellJob: sent.Terminal, FileLocks: sent.FileLocks,
		},
		LeaveRunning: !sent.Exit,
	}, nil
}

func unpackCheckpointOptions(packed *anypb.Any) (*options.CheckpointOptions, error) {
	if packed.GetTypeUrl() == "" {
		return &options.CheckpointOptions{}, nil
	}
	v, err := typeurl.UnmarshalAny(packed)
	if err != nil {
		return nil, fmt.Errorf("decoding the checkpoint options (%s): %w", packed.GetTypeUrl(), err)
	}
	switch o := v.(type) {
	case *options.CheckpointOptions:
		return o, nil
	case *runctypes.CheckpointOptions:
		return &options.CheckpointOptions{
			Exit: o.Exit, OpenTcp: o.OpenTcp, ExternalUnixSockets: o.ExternalUnixSockets, Terminal: o.Terminal, FileLocks: o.FileLocks,
			EmptyNamespaces: o.EmptyNamespaces, CgroupsMode: o.CgroupsMode, WorkPath: o.WorkPath, ImagePath: o.ImagePath,
		}, nil
	}
	return nil, fmt.Errorf("checkpoint options: %s is not supported, containerd.runc.v1.CheckpointOptions is", packed.GetTypeUrl())
}

// imageOf is the image that a container is to be restored from; "" when it is a new one. containerd itself reads CriuImagePath for runc only.
func imageOf(r *taskapi.CreateTaskRequest, o runtimeOptions) (string, error) {
	image := r.Checkpoint
	if image == "" {
		image = o.CriuImagePath
	}
	if r.ParentCheckpoint == "" {
		return image, nil
	}
	if image == "" {
		return "", errors.New("a parent checkpoint without a checkpoint")
	}
	// CRIU goes by the image's own link to its parent.
	linked, err := os.Stat(filepath.Join(image, "parent"))
	if err != nil {
		return "", fmt.Errorf("the parent of the checkpoint: %w", err)
	}
	parent, err := os.Stat(r.ParentCheckpoint)
	if err != nil {
		return "", fmt.Errorf("the parent checkpoint: %w", err)
	}
	if !os.SameFile(linked, parent) {
		return "", fmt.Errorf("%s is not the parent of the checkpoint %s", r.ParentCheckpoint, image)
	}
	return image, nil
}

// restore makes the processes of a container out of its image. After an error nothing of them is left, and it may be tried again.
func (s *service) restore(ctx context.Context, c *container) error {
	defer s.reaper.begin()()
	st, err := s.openStreams(ctx, c.id, c.init.stdio)
	if err != nil {
		return err
	}
	o := libzbox.RestoreOptions{CreateOptions: c.createOptions(st), CriuOptions: c.options.restore}
	o.ImagePath, o.WorkPath = c.image, c.criuWorkPath()
	box, p, err := c.runtime.Restore(c.id, o)
	if err != nil {
		st.close()
		return err
	}
	if err := s.take(c, box, p, st, runningStatus); err != nil {
		st.close()
		return errors.Join(err, c.runtime.Delete(c.id, true))
	}
	return nil
}
