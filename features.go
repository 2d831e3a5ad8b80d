package main

import "github.com/urfave/cli/v2"

func featuresCommand() *cli.Command {
	return &cli.Command{
		Usage: "print what zbox can do on this machine (the OCI features document)",
		Action: func(c *cli.Context) error {
			rt, err := openAlone(c)
			if err != nil {
				return err
			}
			features, err := rt.Features(version)
			if err != nil {
				return err
			}
			return printJSON(c.App.Writer, features)
		},
	}
}
