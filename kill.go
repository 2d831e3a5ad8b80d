package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

func killCommand() *cli.Command {
	return &cli.Command{
		Usage:       "send a signal to a container's first process",
		ArgsUsage:   "ID [SIGNAL]",
		Description: "SIGNAL is a number or a name (9, KILL, SIGKILL, RTMIN+3); without one it is TERM.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Hidden: true, Usage: "send the signal to all processes of the container; one that has stopped is no error"},
			&cli.BoolFlag{Name: "regex", Aliases: []string{"r"}, Usage: "ID is a regular expression; all containers that it matches get the signal"},
		},
		Action: func(c *cli.Context) error {
			id, sig, err := killTarget(c)
			if err != nil {
				return err
			}
			rt, err := openRuntime(c)
			if err != nil {
				return err
			}
			return forEach(rt, id, c.Bool("regex"), func(id string) error {
				container, err := rt.Load(id)
				if err != nil {
					return err
				}
				err = container.Kill(sig, c.Bool("all"))
				// Engines use --all to clean up, long after the container may have ended.
				if c.Bool("all") && errors.Is(err, libzbox.ErrNotRunning) {
					return nil
				}
				return err
			})
		},
	}
}

// killTarget reads the operands of kill.
func killTarget(c *cli.Context) (id string, sig unix.Signal, err error) {
	switch c.NArg() {
	case 0:
		return "", 0, errors.New("container ID is missing")
	case 1:
		return c.Args().First(), unix.SIGTERM, nil
	case 2:
		sig, err = parseSignal(c.Args().Get(1))
		return c.Args().First(), sig, err
	}
	return "", 0, fmt.Errorf("a container ID and a signal are needed, not %d arguments: %q", c.NArg(), c.Args().Slice())
}

// forEach does something with the container, or with all that the regular expression matches; the first error is returned at the end.
func forEach(rt *libzbox.Runtime, id string, regex bool, do func(id string) error) error {
	if !regex {
		return do(id)
	}
	ids, err := rt.Match(id)
	for _, id := range ids {
		if derr := do(id); derr != nil && err == nil {
			err = fmt.Errorf("%s: %w", id, derr)
		}
	}
	return err
}
