package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/translate"
)

func initCommand() *cli.Command {
	return &cli.Command{
		Usage:     "write a zbox configuration to start from",
		ArgsUsage: "PROGRAM",
		Description: "The configuration is for PROGRAM, a path or a name to be looked for in PATH. docs/sandbox.md and zbox-sandbox(5) explain\n" +
			"each line of it. A file that exists is not overwritten.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Value: "sandbox.json", Usage: "write `FILE`; - is standard output"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return errors.New("one program is needed: init PROGRAM")
			}
			path := c.String("config")
			dir, err := filepath.Abs(filepath.Dir(path))
			if err != nil {
				return err
			}
			text, err := translate.Starter(c.Args().First(), dir)
			if err != nil {
				return err
			}
			if path == "-" {
				_, err = c.App.Writer.Write(text)
				return err
			}
			return writeNew(path, text)
		},
	}
}

// writeNew writes a file that is not there yet.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
