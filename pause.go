package main

import "github.com/urfave/cli/v2"

func pauseCommand() *cli.Command {
	return &cli.Command{
		Usage:     "suspend all processes of a container",
		ArgsUsage: "ID",
		Action: func(c *cli.Context) error {
			container, err := loadContainer(c)
			if err != nil {
				return err
			}
			return container.Pause()
		},
	}
}
