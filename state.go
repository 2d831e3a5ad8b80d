package main

import (
	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
)

func stateCommand() *cli.Command {
	return &cli.Command{
		Usage:     "print the state of a container as JSON",
		ArgsUsage: "ID",
		Action: func(c *cli.Context) error {
			container, err := loadContainer(c)
			if err != nil {
				return err
			}
			state, err := container.State()
			if err != nil {
				return err
			}
			return printJSON(c.App.Writer, state)
		},
	}
}

// loadContainer is the container that the command line names, and nothing else.
func loadContainer(c *cli.Context) (*libzbox.Container, error) {
	id, err := onlyID(c)
	if err != nil {
		return nil, err
	}
	return loadNamed(c, id)
}

func loadNamed(c *cli.Context, id string) (*libzbox.Container, error) {
	rt, err := openRuntime(c)
	if err != nil {
		return nil, err
	}
	return rt.Load(id)
}
