package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
)

func execCommand() *cli.Command {
	return &cli.Command{
		Usage:     "run one more process in a running container",
		ArgsUsage: "ID COMMAND [ARGS...]  |  --process FILE ID",
		Description: "Everything behind ID is the command, also what starts with a dash. Returns the exit code of the process, 128+N when\n" +
			"signal N ended it, and 255 when zbox could not run it.",
		Flags: execFlags(),
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return errors.New("container ID is missing")
			}
			if c.NArg() == 1 && !c.IsSet("process") {
				return errors.New("command is missing behind the container ID")
			}
			container, err := loadNamed(c, c.Args().First())
			if err != nil {
				return err
			}
			o, err := execOptions(c, container.Spec)
			if err != nil {
				return err
			}
			if c.Bool("detach") {
				_, err := container.Exec(o)
				return err
			}
			return ended(attend(func(meanwhile func()) (*libzbox.Process, error) {
				o.Meanwhile = meanwhile
				return container.Exec(o)
			}))
		},
	}
}

// execFlags are the flags of exec. Those in processFlags describe the process and exclude --process.
func execFlags() []cli.Flag {
	return append(processFlags(),
		&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "read the whole process (OCI process object) from `FILE`"},
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return as soon as the process runs"},
		&cli.StringFlag{Name: "pid-file", Usage: "write the pid of the process to `FILE`"},
		&cli.StringFlag{Name: "console-socket", Usage: "send the master end of the process's terminal to the unix socket `PATH`"},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "send a pidfd of the process to the unix socket `PATH`"},
		&cli.IntFlag{Name: "preserve-fds", Usage: "hand over the `N` descriptors from 3 on to the process"},
		&cli.StringSliceFlag{Name: "cgroup", Usage: "run in the existing cgroup `[CONTROLLER:]PATH` below the container's; may be given again for another controller"},
		&cli.BoolFlag{Name: "ignore-paused", Usage: "do not refuse a paused container; the process runs once it is resumed"},
	)
}

// execOptions reads the flags and operands of exec; saved returns the container's configuration.
func execOptions(c *cli.Context, saved savedSpec) (libzbox.ExecOptions, error) {
	o := libzbox.ExecOptions{
		ConsoleSocket: c.String("console-socket"),
		PidfdSocket:   c.String("pidfd-socket"),
		PidFile:       c.String("pid-file"),
		PreserveFDs:   c.Int("preserve-fds"),
		Cgroups:       c.StringSlice("cgroup"),
		IgnorePaused:  c.Bool("ignore-paused"),
		TakeConsole:   !c.Bool("detach") && c.String("console-socket") == "",
	}
	if err := checkPreserved(o.PreserveFDs); err != nil {
		return o, err
	}
	var err error
	o.Process, err = execProcess(c, saved)
	if err == nil && o.Process.Terminal && o.TakeConsole && o.Process.ConsoleSize == nil {
		o.Process.ConsoleSize = callersSize()
	}
	return o, err
}
