package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Usage:     "create and start a container or a sandbox, and wait for it",
		ArgsUsage: "ID  |  --config FILE [ID] [-- ARGS...]",
		Description: "Returns the exit code of the container's process, 128+N when signal N ended it.\n" +
			"The container is deleted then, unless --keep or --detach is given.",
		Flags: append(creationFlags(),
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "run the sandbox that the zbox configuration `FILE` describes, as zbox -c does, with an ID of your choice"},
			resultFlag(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return as soon as the container runs"},
			&cli.BoolFlag{Name: "keep", Usage: "do not delete the container when it has ended"},
			&cli.BoolFlag{Name: supervisedFlag, Hidden: true},
		),
		Action: func(c *cli.Context) error {
			if c.IsSet("config") {
				id, args, err := sandboxOperands(invocationOf(c))
				if err != nil {
					return err
				}
				return runSandbox(c, id, args)
			}
			if c.IsSet("result") {
				return fmt.Errorf("--result: is for sandboxes, with --config")
			}
			return runBundle(c)
		},
	}
}

// runBundle runs a container.
func runBundle(c *cli.Context) error {
	id, err := onlyID(c)
	if err != nil {
		return err
	}
	o, err := runOptions(c)
	if err != nil {
		return err
	}
	rt, err := openRuntime(c)
	if err != nil {
		return err
	}
	if c.Bool("detach") {
		_, _, err = rt.Run(id, o)
		return err
	}
	return runForeground(rt, id, o, c.Bool("keep"), reportOf(c))
}

// runOptions reads the flags of run. In the foreground zbox carries the terminal itself.
func runOptions(c *cli.Context) (libzbox.CreateOptions, error) {
	o, err := createOptions(c)
	o.TakeConsole = !c.Bool("detach") && o.ConsoleSocket == ""
	if o.TakeConsole {
		o.ConsoleSize = callersSize()
	}
	return o, err
}
