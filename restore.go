package main

import (
	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
)

func restoreCommand() *cli.Command {
	return &cli.Command{
		Usage:     "make a container of an image that checkpoint saved, and let it go on",
		ArgsUsage: "ID",
		Description: "The bundle decides what the container is and may do; the image, what its processes are. An image that asks for more is not restored.\n" +
			"Without --detach zbox waits for the container, deletes it, and returns the exit code of its process, as run does.",
		Flags: append(criuFlags(),
			bundleFlag(),
			&cli.StringFlag{Name: "console-socket", Usage: "send the master end of the container's terminal to the unix socket `PATH`"},
			&cli.StringFlag{Name: "pidfd-socket", Usage: "send a pidfd of the container's first process to the unix socket `PATH`"},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return as soon as the container runs"},
			&cli.StringFlag{Name: "pid-file", Usage: "write the pid of the container's first process to `FILE`"},
			&cli.StringFlag{Name: "lsm-profile", Usage: "restore with the profile `TYPE:NAME`, as apparmor:web"},
			&cli.StringFlag{Name: "lsm-mount-context", Usage: "restore mounts with the SELinux `CONTEXT`"},
			&cli.BoolFlag{Name: "tcp-close", Usage: "restore established connections as closed ones"},
			// Engines pass these to runc; CRIU pivots in its own way, and zbox never makes itself a subreaper.
			&cli.BoolFlag{Name: "no-subreaper", Hidden: true},
			&cli.BoolFlag{Name: "no-pivot", Hidden: true},
		),
		Action: func(c *cli.Context) error {
			id, err := onlyID(c)
			if err != nil {
				return err
			}
			rt, err := openRuntime(c)
			if err != nil {
				return err
			}
			o := restoreOptions(c)
			if c.Bool("detach") {
				_, _, err = rt.Restore(id, o)
				return err
			}
			o.TakeConsole = o.ConsoleSocket == ""
			return inForeground(id, false, reportOf(c), func(meanwhile func()) (*libzbox.Container, *libzbox.Process, error) {
				o.Meanwhile = meanwhile
				return rt.Restore(id, o)
			})
		},
	}
}

func restoreOptions(c *cli.Context) libzbox.RestoreOptions {
	return libzbox.RestoreOptions{
		CreateOptions: libzbox.CreateOptions{
			Bundle: c.String("bundle"), ConsoleSocket: c.String("console-socket"), PidfdSocket: c.String("pidfd-socket"), PidFile: c.String("pid-file"),
		},
		CriuOptions: criuOptions(c), TCPClose: c.Bool("tcp-close"),
		LSMProfile: c.String("lsm-profile"), LSMMountContext: c.String("lsm-mount-context"),
	}
}
