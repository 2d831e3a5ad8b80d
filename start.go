package main

import "github.com/urfave/cli/v2"

func startCommand() *cli.Command {
	return &cli.Command{
		Usage:     "start the process of a created container",
		ArgsUsage: "ID",
		Action: func(c *cli.Context) error {
			container, err := loadContainer(c)
			if err != nil {
				return err
			}
			return container.Start()
		},
	}
}
