package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
)

func createCommand() *cli.Command {
	return &cli.Command{
		Usage:     "make a container from a bundle; its process waits for start",
		ArgsUsage: "ID",
		Flags: append(creationFlags(), &cli.StringFlag{
			Name: "config", Aliases: []string{"f"}, Usage: "read `FILE` of the bundle in place of config.json",
		}),
		Action: func(c *cli.Context) error {
			id, err := onlyID(c)
			if err != nil {
				return err
			}
			o, err := createOptions(c)
			if err != nil {
				return err
			}
			o.ConfigFile = c.String("config")
			rt, err := openRuntime(c)
			if err != nil {
				return err
			}
			_, _, err = rt.Create(id, o)
			return err
		},
	}
}

// creationFlags are those that create and run share.
func creationFlags() []cli.Flag {
	return []cli.Flag{
		bundleFlag(),
		&cli.StringFlag{Name: "console-socket", Usage: "send the master end of the container's terminal to the unix socket `PATH`"},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "send a pidfd of the container's first process to the unix socket `PATH`"},
		&cli.StringFlag{Name: "pid-file", Usage: "write the pid of the container's first process to `FILE`"},
		&cli.BoolFlag{Name: "no-pivot", Usage: "use chroot(2) instead of pivot_root(2): only for a root in an initramfs, the container can break out"},
		&cli.BoolFlag{Name: "no-new-keyring", Usage: "let the container use the caller's session keyring"},
		&cli.IntFlag{Name: "preserve-fds", Usage: "hand over the `N` descriptors from 3 on to the container"},
		// zbox never makes itself a subreaper; engines pass the flag to runc.
		&cli.BoolFlag{Name: "no-subreaper", Hidden: true},
	}
}

func bundleFlag() cli.Flag {
	return &cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Value: ".", Usage: "read config.json from `DIR`"}
}

// createOptions reads creationFlags.
func createOptions(c *cli.Context) (libzbox.CreateOptions, error) {
	o := libzbox.CreateOptions{
		Bundle:        c.String("bundle"),
		ConsoleSocket: c.String("console-socket"),
		PidfdSocket:   c.String("pidfd-socket"),
		PidFile:       c.String("pid-file"),
		NoPivot:       c.Bool("no-pivot"),
		NoNewKeyring:  c.Bool("no-new-keyring"),
		PreserveFDs:   c.Int("preserve-fds"),
	}
	return o, checkPreserved(o.PreserveFDs)
}

// checkPreserved refuses what no process can have open (fs.nr_open is 1048576 by default).
func checkPreserved(n int) error {
	if n < 0 || n > 1<<20 {
		return fmt.Errorf("--preserve-fds: %d is not between 0 and 1048576", n)
	}
	return nil
}
