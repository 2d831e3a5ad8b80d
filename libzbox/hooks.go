package libzbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/plan"
	"github.com/bxrne/zbox/spec/oneshot"
)

// runtimeHook runs a hook of the runtime's namespaces at its place in the plan.
func (p *performer) runtimeHook(s *plan.RunHook) error {
	hooks := hooksOf(p.spec, s.Kind)
	if s.Index >= len(hooks) {
		return fmt.Errorf("hooks.%s has no entry %d", s.Kind, s.Index)
	}
	return p.container.runHook(hooks[s.Index], statusFor(s.Kind))
}

// statusFor is the status that a hook of create is told. prestart is the oldest hook and was part of start in spec 1.0.0: what is
// written for it expects created, as the validation suite does. runtime.md has room for both: prestart is step 3 of the lifecycle,
// "creating" is step 2, and "created" is after step 2 and after the create operation, to which the hook belongs. crun tells both
// hooks created, runc tells both creating; the newer ones are told that here, too.
func statusFor(kind string) specs.ContainerState {
	if kind == "prestart" {
		return specs.StateCreated
	}
	return specs.StateCreating
}

// runHooks runs the hooks of one kind in the runtime's namespaces and ends with the first that fails.
func (c *Container) runHooks(kind string, status specs.ContainerState) error {
	s, err := c.Spec()
	if err != nil {
		return err
	}
	for i, h := range hooksOf(s, kind) {
		if err := c.runHook(h, status); err != nil {
			return fmt.Errorf("%s: hooks.%s[%d]: %w", configFile, kind, i, err)
		}
	}
	return nil
}

// poststop runs the poststop hooks; a failure is a warning and the others run all the same (runtime.md, lifecycle, step 13). For
// them the container is deleted already (step 12); a delete that is killed meanwhile is resumed by the next one.
func (c *Container) poststop() error {
	if c.j.Settled {
		return nil
	}
	s, err := c.Spec()
	if errors.Is(err, os.ErrNotExist) { // it goes only behind the hooks
		return nil
	}
	if err != nil {
		c.runtime.opts.Warn(fmt.Sprintf("%s: poststop hooks: %v", c.j.ID, err))
		return nil
	}
	hooks := hooksOf(s, "poststop")
	if len(hooks) == 0 {
		return nil
	}
	c.j.Phase = phaseDeleted
	if err := c.writeJournal(); err != nil {
		return err
	}
	for i, h := range hooks {
		if err := c.runHook(h, specs.StateStopped); err != nil {
			c.runtime.opts.Warn(fmt.Sprintf("%s: %s: hooks.poststop[%d]: %v", c.j.ID, configFile, i, err))
		}
	}
	return nil
}

func hooksOf(s *specs.Spec, kind string) []specs.Hook {
	if s.Hooks == nil {
		return nil
	}
	switch kind {
	case "prestart":
		return s.Hooks.Prestart //nolint:staticcheck // deprecated, but still part of the spec
	case "createRuntime":
		return s.Hooks.CreateRuntime
	case "poststart":
		return s.Hooks.Poststart
	case "poststop":
		return s.Hooks.Poststop
	}
	return nil
}

// hookState is the state that hooks read from stdin.
func (c *Container) hookState(status specs.ContainerState) specs.State {
	s := specs.State{
		Version: c.j.OCIVersion, ID: c.j.ID, Status: status, Bundle: c.j.Bundle, Annotations: c.j.Annotations,
	}
	if status != specs.StateStopped {
		s.Pid = c.j.Init.Pid
	}
	return s
}

// runHook lets the caller of libzbox run the hook, or runs its program.
func (c *Container) runHook(h specs.Hook, status specs.ContainerState) error {
	state := c.hookState(status)
	if run := c.runtime.opts.RunHook; run != nil {
		if ran, err := run(h, state); ran {
			return err
		}
	}
	output, err := newHookOutput()
	if err != nil {
		return err
	}
	defer output.close()
	// Journalled before the hook can start anything, for killHook.
	c.j.HookOutput = output.inode
	if err := c.writeJournal(); err != nil {
		return err
	}
	err = runHook(h, state, c.j.Bundle, output)
	c.j.HookOutput = 0
	return cmp.Or(err, c.writeJournal())
}

// runHook runs one hook: state on stdin, its own args and env and nothing of ours, within its timeout (config.md, "POSIX-platform Hooks").
func runHook(h specs.Hook, state specs.State, dir string, output *hookOutput) error {
	stdin, err := oneshot.Marshal(state)
	if err != nil {
		return fmt.Errorf("encoding the state: %w", err)
	}
	ctx := context.Background()
	if h.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*h.Timeout)*time.Second)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, h.Path)
	if len(h.Args) > 0 {
		cmd.Args = h.Args
	}
	cmd.Env = append([]string{}, h.Env...)
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = output.w, output.w
	// A hook must not outlive a zbox that was killed. The signal comes when the forking thread ends: keep the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = hookPatience
	cmd.Cancel = func() error {
		id, err := identify(cmd.Process.Pid)
		if err != nil {
			return os.ErrProcessDone
		}
		return id.killTree()
	}
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	text := output.rest()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: killed after its timeout of %d s", h.Path, *h.Timeout)
	}
	if text != "" {
		return fmt.Errorf("%s: %w: %s", h.Path, err, strings.ReplaceAll(text, "\n", "; "))
	}
	return fmt.Errorf("%s: %w", h.Path, err)
}
