package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Usage:     "create and start a container, and wait for it",
		ArgsUsage: "ID",
		Description: "Returns the exit code of the container's process, 128+N when signal N ended it.\n" +
			"The container is deleted then, unless --keep or --detach is given.",
		Flags: append(creationFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return as soon as the container runs"},
			&cli.BoolFlag{Name: "keep", Usage: "do not delete the container when it has ended"},
		),
		Action: func(c *cli.Context) error {
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
		},
	}
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

// runForeground runs a container to its end. The exit status of its process is the error.
func runForeground(rt *libzbox.Runtime, id string, o libzbox.CreateOptions, keep bool, rep *report) error {
	var container *libzbox.Container
	status, err := attend(func() (p *libzbox.Process, err error) {
		container, p, err = rt.Run(id, o)
		return p, err
	})
	if container != nil && !keep {
		// The container's own result matters more than a clean-up that went wrong.
		if derr := container.Remove(); derr != nil {
			rep.warn(fmt.Sprintf("run %s: deleting: %v", id, derr))
		}
	}
	return ended(status, err)
}
