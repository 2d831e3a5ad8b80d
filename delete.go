package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
)

func deleteCommand() *cli.Command {
	return &cli.Command{
		Usage:     "remove what is left of a stopped container",
		ArgsUsage: "ID",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill the container first if it still runs; one that does not exist is no error"},
			&cli.BoolFlag{Name: "regex", Aliases: []string{"r"}, Usage: "ID is a regular expression; all containers that it matches are deleted"},
		},
		Action: func(c *cli.Context) error {
			id, err := onlyID(c)
			if err != nil {
				return err
			}
			o, err := runtimeOptions(c)
			if err != nil {
				return err
			}
			rt, err := openWith(c, o)
			if err != nil {
				return err
			}
			force := c.Bool("force")
			return forEach(rt, id, c.Bool("regex"), func(id string) error {
				err := rt.Delete(id, force)
				if err != nil && !(force && errors.Is(err, libzbox.ErrNotExist)) {
					return err
				}
				return removeBundle(o.Root, id)
			})
		},
	}
}
