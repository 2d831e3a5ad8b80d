package compile

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/plan"
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
		c.add(fmt.Sprintf("hooks.createContainer[%d]", i), c.hook("createContainer", h, c.hookFDs[i]))
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
		c.add(fmt.Sprintf("hooks.startContainer[%d]", i), c.hook("startContainer", h, plan.NoFD))
	}
	return nil
}

func (c *compiler) hook(kind string, h specs.Hook, fd plan.FD) *plan.Hook {
	step := &plan.Hook{
		Kind: kind, Path: h.Path, Args: h.Args, Env: h.Env, FD: fd, StateHead: c.req.StateHead, StateTail: c.req.StateTail,
	}
	if len(step.Args) == 0 {
		step.Args = []string{h.Path}
	}
	if h.Timeout != nil {
		step.Timeout = uint32(*h.Timeout)
	}
	return step
}
