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
		Usage:       "connect a sandbox to the network, or take the connection back",
		ArgsUsage:   "up|down",
		Description: "These are the hooks of a sandbox's bundle: the container's state comes on standard input. down may run any number of times.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "access", Usage: "let the sandbox open connections"},
			&cli.StringSliceFlag{Name: "forward", Usage: "lead a port of the host into the sandbox: `PROTOCOL:ADDRESS:PORT:SANDBOXPORT`"},
			&cli.StringSliceFlag{Name: "nameserver", Usage: "keep the sandbox's own addresses away from the resolver `ADDRESS`"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().First() == "watch" { // started by up
				return network.Watch()
			}
			conn, given := c.App.Metadata["connection"].(*connection)
			if !given {
				conn = &connection{}
				if err := json.NewDecoder(io.LimitReader(os.Stdin, 1<<20)).Decode(&conn.state); err != nil {
					return fmt.Errorf("reading the container's state from standard input: %w", err)
				}
			}
			return conn.hook(c)
		},
	}
}

// connection is what a process knows of the sandbox whose hooks it runs.
type connection struct {
	state   specs.State
	witness *network.Witness // from up to down
}

// hook does what the flags say.
func (conn *connection) hook(c *cli.Context) error {
	o, err := runtimeOptions(c)
	if err != nil {
		return err
	}
	n := network.Config{ID: conn.state.ID, Pid: conn.state.Pid, StateDir: filepath.Join(o.Root, ".network"), Access: c.Bool("access"), Path: os.Getenv("PATH")}
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
		conn.witness, err = network.Up(n)
		return err
	case "down":
		return network.Down(n.StateDir, n.ID, conn.witness)
	}
	return errors.New("up or down is needed")
}
