package libzbox

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/nsexec"
	"github.com/bxrne/zbox/plan"
)

// Start lets a created container run its program, and returns once it was executed and the poststart hooks have run.
func (c *Container) Start() error {
	if err := c.locked(); err != nil {
		return err
	}
	defer c.unlock()
	switch status := c.status(); status {
	case Created:
	case Stopped:
		return errors.New("cannot start a container that has stopped")
	default:
		return fmt.Errorf("cannot start a container in the %s state", status)
	}
	// Journalled before acting: a kill -9 of zbox behind the barrier leaves a container whose state is read off its init.
	c.j.Phase = phaseStarting
	var err error
	if c.j.Worker, err = identify(os.Getpid()); err != nil {
		return err
	}
	if err := c.writeJournal(); err != nil {
		return err
	}
	notify := existingNotifySocket(c)
	if err := c.passBarrier(); err != nil {
		return err
	}
	c.j.Phase = phaseStarted
	if err := c.poststart(); err != nil {
		return c.abandon(err)
	}
	c.unlock() // the container may take as long as it likes to become ready
	return notify.forward(c)
}

// poststart runs the poststart hooks of a started container and then has nothing left to do with it.
func (c *Container) poststart() error {
	if !c.j.Settled {
		if err := c.runPoststart(); err != nil {
			return err
		}
	}
	c.j.Worker = processID{}
	return c.writeJournal()
}

func (c *Container) runPoststart() error {
	s, err := c.Spec()
	if err != nil || len(hooksOf(s, "poststart")) == 0 {
		return err
	}
	if err := c.writeJournal(); err != nil {
		return err
	}
	return c.runHooks("poststart", specs.StateRunning)
}

// settled reports whether nothing that comes behind the start barrier needs the configuration.
func settled(s *specs.Spec) bool {
	listens := s.Linux != nil && s.Linux.Seccomp != nil && s.Linux.Seccomp.ListenerPath != ""
	return !listens && len(hooksOf(s, "poststart")) == 0 && len(hooksOf(s, "poststop")) == 0
}

// passBarrier starts the stage that waits, and follows it up to execve(2).
func (c *Container) passBarrier() error {
	var s *specs.Spec
	if !c.j.Settled {
		var err error
		if s, err = c.Spec(); err != nil {
			return err
		}
	}
	stage, err := nsexec.Connect(c.startSocket())
	if err != nil {
		return notRunning(err)
	}
	p := &performer{container: c, plan: &plan.Plan{}, spec: s, stage: stage, pid: c.j.Init.Pid, created: true}
	p.sockets = sockets{consoleSock: -1, pidfdSock: -1}
	defer p.close()
	if err := stage.Ack(); err != nil {
		return notRunning(err)
	}
	err = p.converse()
	var step *StepError
	if !errors.As(err, &step) {
		return err
	}
	failed := c.tailStep(step.Number)
	step.File, step.Origin, step.Total = configFile, failed.Origin, c.j.Steps
	if failed.Name == "hook" {
		return c.abandon(err)
	}
	c.j.Init.waitGone(killTimeout) // what has told of a failure is about to end: behind start, the container is stopped
	return err
}

// tailStep is a step behind the start barrier, kept in the journal for the error messages of start.
type tailStep struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	Origin string `json:"origin"`
}

// tail are the steps of a plan that are left behind its start barrier.
func tail(p *plan.Plan) []tailStep {
	var steps []tailStep
	if barrier := plan.First[*plan.WaitStart](p); barrier > 0 {
		for i, s := range p.Steps[barrier:] {
			n := barrier + i + 1
			steps = append(steps, tailStep{Number: n, Name: s.Name(), Origin: p.Origin(n)})
		}
	}
	return steps
}

// tailStep returns step number n of the journal's tail.
func (c *Container) tailStep(n int) tailStep {
	for _, s := range c.j.Tail {
		if s.Number == n {
			return s
		}
	}
	return tailStep{}
}

// notRunning: a stage that does not listen any more was killed since the state was looked at.
func notRunning(err error) error {
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return ErrNotRunning
	}
	return err
}

// abandon destroys the container after a failed startContainer or poststart hook (runtime.md, lifecycle, steps 7 and 9).
func (c *Container) abandon(cause error) error {
	if err := c.destroy(); err != nil {
		c.runtime.opts.Warn(fmt.Sprintf("%s: cleaning up: %v", c.j.ID, err))
	}
	return cause
}
