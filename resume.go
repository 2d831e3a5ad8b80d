package main

import "github.com/urfave/cli/v2"

func resumeCommand() *cli.Command {
	return &cli.Command{
		Usage:     "let a paused container go on",
		ArgsUsage: "ID",
		Action: func(c *cli.Context) error {
			container, err := loadContainer(c)
			if err != nil {
				return err
			}
			return container.Resume()
		},
	}
}
