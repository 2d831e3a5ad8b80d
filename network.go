package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

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
			&cli.BoolFlag{Name: "privileged", Usage: "the sandbox has CAP_NET_ADMIN or CAP_NET_RAW, and is refused where it could let itself out with them"},
			&cli.StringSliceFlag{Name: "forward", Usage: "lead a port of the host into the sandbox: `PROTOCOL:ADDRESS:PORT:SANDBOXPORT`"},
			&cli.StringSliceFlag{Name: "nameserver", Usage: "keep the sandbox's own addresses away from the resolver `ADDRESS`"},
		},
		Action: func(c *cli.Context) error {
			switch c.Args().First() { // those that up starts
			case "watch":
				return network.Watch()
			case network.InsideCommand:
				return network.Inside(c.Args().Get(1), c.Args().Get(2))
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
