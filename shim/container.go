package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/task"

	"github.com/bxrne/zbox/libzbox"
)

// pidFile of the bundle holds the pid of init, as with the stock shim.
const pidFile = "init.pid"

// A container is a task of containerd with its processes.
type container struct {
	id, bundle string
	runtime    *libzbox.Runtime
	options    runtimeOptions
	init       *process
	paused     atomic.Bool
	mounted    bool   // the root is mounted by us
	image      string // what Start restores the container from; "" for a new one
	// sharesPids: the death of init does not end the others.
	sharesPids bool
	// stopOOM ends watching for OOM, behind what is to be told; it is given the exit status of init.
	stopOOM func(code uint32)

	mu     sync.Mutex
	execs  map[string]*process
	cgroup map[string]string // directories by controller, once there is a process
}

// newContainer reads the request and saves what delete needs.
func (s *service) newContainer(r *taskapi.CreateTaskRequest) (*container, error) {
	opts, err := unpackOptions(r.Options)
	if err != nil {
		return nil, err
	}
	warnings, err := opts.check()
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		s.warn(r.ID + ": " + w)
	}
	c := &container{id: r.ID, bundle: r.Bundle, options: opts, execs: map[string]*process{}}
	if c.image, err = imageOf(r, opts); err != nil {
		return nil, err
	}
	if c.runtime, err = opts.saved().runtime(s.namespace, func(line string) { s.warn(r.ID + ": " + line) }); err != nil {
		return nil, err
	}
	c.init = newProcess(c, "", stdio{
		stdin: r.Stdin, stdout: r.Stdout, stderr: r.Stderr, terminal: r.Terminal, uid: int(opts.IoUid), gid: int(opts.IoGid),
	})
	return c, opts.saved().write(r.Bundle)
}

// create makes the container, which then waits for start; of one to be restored, it only mounts the root. After an error nothing of it is left.
func (s *service) create(ctx context.Context, c *container, rootfs []*types.Mount) (err error) {
	defer s.reaper.begin()()
	if err := c.mount(rootfs); err != nil {
		return errors.Join(err, c.unmount())
	}
	if c.image != "" {
		c.init.setStatus(createdStatus)
		if err := ctx.Err(); err != nil { // as below
			return errors.Join(err, c.unmount())
		}
		return nil
	}
	st, err := s.openStreams(ctx, c.id, c.init.stdio)
	if err != nil {
		return errors.Join(err, c.unmount())
	}
	box, p, err := c.runtime.Create(c.id, c.createOptions(st))
	if err != nil {
		st.close()
		return errors.Join(err, c.unmount())
	}
	// A containerd that was killed meanwhile has cut the call off. The next one does not know of a container that comes only now.
	if err = ctx.Err(); err == nil {
		err = s.take(c, box, p, st, createdStatus)
	} else if p.Console != nil {
		p.Console.Close()
	}
	if err != nil {
		st.close()
		return errors.Join(err, c.runtime.Delete(c.id, true), c.unmount())
	}
	return nil
}

func (c *container) createOptions(st *streams) libzbox.CreateOptions {
	return libzbox.CreateOptions{
		Bundle: c.bundle, NoPivot: c.options.NoPivotRoot, NoNewKeyring: c.options.NoNewKeyring,
		PidFile: filepath.Join(c.bundle, pidFile),
		Stdio:   st.process, TakeConsole: c.init.stdio.terminal,
	}
}

// take makes the new container known to the shim.
func (s *service) take(c *container, box *libzbox.Container, p *libzbox.Process, st *streams, status task.Status) error {
	c.sharesPids = box.SharesPidNamespace()
	c.setCgroup(box.CgroupDirs())
	if err := st.started(p.Console); err != nil {
		return err
	}
	child, err := s.reaper.adopt(p.Pid)
	if err != nil {
		return err
	}
	c.init.made(child, st, status)
	s.watchOOM(c, box)
	return nil
}

// remove deletes a container whose init has ended.
func (s *service) remove(c *container) error {
	defer s.reaper.begin()()
	if st := c.init.openedStreams(); st != nil {
		st.drain()
	}
	// By force: its other processes, if it has some, are to go, and what was deleted by hand is no error.
	if err := c.runtime.Delete(c.id, true); err != nil {
		return fmt.Errorf("deleting container %s: %w", c.id, err)
	}
	if err := c.unmount(); err != nil {
		return err
	}
	// So that delete, which containerd runs all the same, sees that it has nothing to do; without that it looks for it.
	_ = os.Remove(filepath.Join(c.bundle, optionsFile))
	return nil
}

// process finds init (""), or the process of an exec.
func (c *container) process(execID string) (*process, error) {
	if execID == "" {
		return c.init, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.execs[execID]
	if p == nil {
		return nil, notFound("exec %s of container %s", execID, c.id)
	}
	return p, nil
}

// runningExecs are the processes of exec that run, or are being started.
func (c *container) runningExecs() (running []*process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.execs {
		if p.pid() != 0 && p.currentStatus() != stoppedStatus {
			running = append(running, p)
		}
	}
	return running
}

func (c *container) setCgroup(dirs map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cgroup = dirs
}

func (c *container) cgroupDirs() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cgroup
}

// load reads the container's state: what goes on at the same time does not share it.
func (c *container) load() (*libzbox.Container, error) { return c.runtime.Load(c.id) }
