package main

import (
	"errors"

	"github.com/urfave/cli/v2"
)

func validateCommand() *cli.Command {
	return &cli.Command{
		Usage: "check a zbox configuration without running it",
		Description: "Checks the file alone: that this machine has what it names, such as the binary, is found out when it runs.\n" +
			"Prints nothing when the file is right.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "check the zbox configuration `FILE`; - is standard input"},
		},
		Action: func(c *cli.Context) error {
			if err := noOperands(c); err != nil {
				return err
			}
			if !c.IsSet("config") {
				return errors.New("the configuration is missing: validate -c FILE")
			}
			_, err := loadConfig(c.String("config"))
			return err
		},
	}
}
