package main

import (
	"io"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
)

// ownHooks is what runs hooks that are zbox's own, which the list of commands cannot name: it looks into that list.
func ownHooks(c *cli.Context) func(specs.Hook, specs.State) (bool, error) {
	return c.App.Metadata["hooks"].(func(specs.Hook, specs.State) (bool, error))
}

// run runs a hook that is `zbox network` without starting zbox once more, which would take longer than the hook itself. Only for root: others
// need the hook's own environment, to find pasta.
func (conn *connection) run(h specs.Hook, state specs.State) (ran bool, err error) {
	self, err := os.Executable()
	if err != nil || h.Path != self || len(h.Args) == 0 || os.Geteuid() != 0 {
		return false, nil
	}
	inv, err := takeApart(h.Args[1:])
	if err != nil || inv.command != "network" || !inv.has("root") {
		return false, nil // the program will say what is wrong
	}
	app := newApp(inv, nil, io.Discard)
	conn.state = state
	app.Metadata["connection"] = conn
	return true, app.Run(inv.argv())
}
