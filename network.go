package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/network"
)

func networkCommand() *cli.Command {
	return &cli.Command{
		Usage:     "connect a sandbox to the network, or take the connection back",
		ArgsUsage: "up|down",
		Description: "These are the createRuntime and poststop hooks of a sandbox's bundle. The container's state comes on standard\n" +
			"input, as the runtime hands it to hooks. down may run any number of times.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "access", Usage: "let the sandbox open connections"},
			&cli.StringSliceFlag{Name: "forward", Usage: "lead a port of the host into the sandbox: `PROTOCOL:ADDRESS:PORT:SANDBOXPORT`"},
			&cli.StringSliceFlag{Name: "nameserver", Usage: "keep the sandbox's own addresses away from the resolver `ADDRESS`"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().First() == "watch" { // started by up
				return network.Watch()
			}
			state, given := c.App.Metadata["state"].(specs.State)
			if !given {
				if err := json.NewDecoder(io.LimitReader(os.Stdin, 1<<20)).Decode(&state); err != nil {
					return fmt.Errorf("reading the container's state from standard input: %w", err)
				}
			}
			return networkHook(c, state)
		},
	}
}

// networkHook does what the flags say for the container of the state.
func networkHook(c *cli.Context, state specs.State) error {
	o, err := runtimeOptions(c)
	if err != nil {
		return err
	}
	n := network.Config{ID: state.ID, StateDir: filepath.Join(o.Root, ".network"), Pid: state.Pid, Access: c.Bool("access"), Path: os.Getenv("PATH")}
	for _, text := range c.StringSlice("forward") {
		f, err := network.ParseForward(text)
		if err != nil {
			return fmt.Errorf("--forward: %w", err)
		}
		n.Forwards = append(n.Forwards, f)
	}
	for _, text := range c.StringSlice("nameserver") {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("--nameserver: %w", err)
		}
		n.Nameservers = append(n.Nameservers, a)
	}
	switch c.Args().First() {
	case "up":
		return network.Up(n)
	case "down":
		return network.Down(n.StateDir, n.ID)
	}
	return errors.New("up or down is needed")
}
