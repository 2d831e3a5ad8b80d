package compile

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/plan"
	"github.com/bxrne/zbox/spec/oneshot"
)

// createHooks are the hooks of create. prestart and createRuntime run in the runtime's namespaces, in this order, createContainer in the
// container's; all before pivot_root (config.md, "POSIX-platform Hooks").
func (c *compiler) createHooks() error {
	hooks := c.spec.Hooks
	if hooks == nil {
		return nil
	}
	for i, h := range hooks.Prestart { //nolint:staticcheck // deprecated, but still part of the spec
		c.add(fmt.Sprintf("hooks.prestart[%d]", i), &plan.RunHook{Kind: "prestart", Index: i, Path: h.Path})
	}
	for i, h := range hooks.CreateRuntime {
		c.add(fmt.Sprintf("hooks.createRuntime[%d]", i), &plan.RunHook{Kind: "createRuntime", Index: i, Path: h.Path})
	}
	for i, h := range hooks.CreateContainer {
		step, err := c.hook("createContainer", specs.StateCreating, h, c.hookFDs[i])
		if err != nil {
			return err
		}
		c.add(fmt.Sprintf("hooks.createContainer[%d]", i), step)
	}
	return nil
}

// openHookPrograms: the path of a createContainer hook is resolved in the runtime's namespace.
func (c *compiler) openHookPrograms() error {
	if c.spec.Hooks == nil {
		return nil
	}
	for i, h := range c.spec.Hooks.CreateContainer {
		fd := c.nextFD()
		c.hookFDs = append(c.hookFDs, fd)
		c.add(fmt.Sprintf("hooks.createContainer[%d].path", i), &plan.OpenProgram{FD: fd, Path: h.Path})
	}
	return nil
}

// startHooks run in the container when it is started, before the user's program.
func (c *compiler) startHooks() error {
	if c.spec.Hooks == nil {
		return nil
	}
	for i, h := range c.spec.Hooks.StartContainer {
		step, err := c.hook("startContainer", specs.StateCreated, h, plan.NoFD)
		if err != nil {
			return err
		}
		c.add(fmt.Sprintf("hooks.startContainer[%d]", i), step)
	}
	return nil
}

// hook is a hook that the stage runs. Its state has a hole for the pid, which only the stage knows: that of its own namespace.
func (c *compiler) hook(kind string, status specs.ContainerState, h specs.Hook, fd plan.FD) (*plan.Hook, error) {
	step := &plan.Hook{Kind: kind, Path: h.Path, Args: h.Args, Env: h.Env, FD: fd}
	if len(step.Args) == 0 {
		step.Args = []string{h.Path}
	}
	if h.Timeout != nil {
		step.Timeout = uint32(*h.Timeout)
	}
	var err error
	step.StateHead, step.StateTail, err = c.stateAroundPid(status)
	return step, err
}

// stateAroundPid is the state for hooks (runtime.md, "State") in two parts, between which the pid is to be written.
func (c *compiler) stateAroundPid(status specs.ContainerState) (head, tail string, err error) {
	data, err := oneshot.Marshal(struct {
		Version     string            `json:"ociVersion"`
		ID          string            `json:"id"`
		Bundle      string            `json:"bundle"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}{c.spec.Version, c.req.ID, c.req.Bundle, c.spec.Annotations})
	if err != nil {
		return "", "", fmt.Errorf("encoding the state for hooks: %w", err)
	}
	return string(data[:len(data)-1]) + `,"pid":`, `,"status":"` + string(status) + `"}`, nil
}
