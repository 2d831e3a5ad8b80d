package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/spec"
)

func specCommand() *cli.Command {
	return &cli.Command{
		Usage: "write a config.json to start from, or the bundle of a sandbox",
		Description: "Without --config this is a template for a shell in DIR/rootfs. With --config it is the whole bundle that\n" +
			"zbox -c FILE would run. A config.json that exists is not overwritten.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Value: "config.json", Usage: "write the template to `FILE` in DIR"},
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Value: ".", Usage: "write to `DIR`"},
			&cli.BoolFlag{Name: "rootless", Usage: "make a template that a user without privileges can run"},
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "translate the zbox configuration `FILE`"},
		},
		Action: func(c *cli.Context) error {
			if !c.IsSet("config") {
				if err := noOperands(c); err != nil {
					return err
				}
				return writeTemplate(filepath.Join(c.String("bundle"), c.String("file")), c.Bool("rootless"))
			}
			if c.IsSet("file") {
				return errors.New("--file: with --config the bundle's file is config.json")
			}
			cfg, err := loadConfig(c.String("config"))
			if err != nil {
				return err
			}
			o, err := bundleOptions(c, cfg)
			if err != nil {
				return err
			}
			o.Portable = true
			o.Terminal = false // that of zbox spec says nothing about that of the sandbox
			return writeBundle(cfg, c.String("bundle"), c.Args().Slice(), o, reportOf(c))
		},
	}
}

// writeTemplate writes spec.Example to a file that does not exist yet.
func writeTemplate(path string, rootless bool) error {
	data, err := json.MarshalIndent(spec.Example(rootless), "", "\t")
	if err != nil {
		return fmt.Errorf("encoding the template: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("writing the template: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Close())
}
