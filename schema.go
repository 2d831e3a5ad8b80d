package main

import (
	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/translate"
)

func schemaCommand() *cli.Command {
	return &cli.Command{
		Usage:       "print the JSON Schema of the zbox configuration",
		Description: "For editors and other programs that check the file of zbox -c FILE before zbox does.",
		Action: func(c *cli.Context) error {
			if err := noOperands(c); err != nil {
				return err
			}
			data, err := translate.Schema()
			if err == nil {
				_, err = c.App.Writer.Write(data)
			}
			return err
		},
	}
}
