package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/network"
)

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
	n := network.Config{
		ID: conn.state.ID, Pid: conn.state.Pid, StateDir: filepath.Join(o.Root, ".network"),
		Access: c.Bool("access"), Privileged: c.Bool("privileged"), Path: os.Getenv("PATH"),
	}
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
