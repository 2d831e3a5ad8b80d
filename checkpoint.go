package main

import (
	"errors"

	"github.com/urfave/cli/v2"
)

// errNoCheckpoint is the answer of both commands until zbox drives CRIU. Their flags exist: engines probe for them (podman reads
// the answer to `restore --lsm-mount-context` without a value).
var errNoCheckpoint = errors.New("zbox cannot checkpoint and restore containers yet")

func checkpointCommand() *cli.Command {
	return &cli.Command{
		Usage:     "save a running container (not available yet)",
		ArgsUsage: "ID",
		Flags: append(criuFlags(),
			&cli.BoolFlag{Name: "leave-running", Usage: "let the container go on"},
			&cli.StringFlag{Name: "parent-path", Usage: "save only what changed since the image in `DIR`"},
			&cli.BoolFlag{Name: "pre-dump", Usage: "save the memory only, and let the container go on"},
			&cli.BoolFlag{Name: "tcp-skip-in-flight", Usage: "leave out connections that are being established"},
			&cli.BoolFlag{Name: "link-remap", Usage: "remap unlinked files"},
			&cli.StringFlag{Name: "status-fd", Usage: "report to descriptor `N` when lazy pages are ready"},
			&cli.StringFlag{Name: "page-server", Usage: "send the memory to `ADDRESS:PORT`"},
		),
		Action: notYet,
	}
}

func restoreCommand() *cli.Command {
	return &cli.Command{
		Usage:     "start a container from a saved image (not available yet)",
		ArgsUsage: "ID",
		Flags: append(criuFlags(),
			bundleFlag(),
			&cli.StringFlag{Name: "console-socket", Usage: "send the terminal's master to the unix socket `PATH`"},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return as soon as the container runs"},
			&cli.StringFlag{Name: "pid-file", Usage: "write the pid of the first process to `FILE`"},
			&cli.BoolFlag{Name: "no-subreaper", Hidden: true},
			&cli.BoolFlag{Name: "no-pivot", Usage: "use chroot(2) instead of pivot_root(2)"},
			&cli.StringFlag{Name: "lsm-profile", Usage: "restore with the profile `TYPE:NAME`"},
			&cli.StringFlag{Name: "lsm-mount-context", Usage: "restore mounts with the SELinux `CONTEXT`"},
			&cli.BoolFlag{Name: "tcp-close", Usage: "close established connections"},
		),
		Action: notYet,
	}
}

// criuFlags are those that checkpoint and restore share.
func criuFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "image-path", Usage: "`DIR` of the image"},
		&cli.StringFlag{Name: "work-path", Usage: "`DIR` for logs"},
		&cli.BoolFlag{Name: "tcp-established", Usage: "allow established connections"},
		&cli.BoolFlag{Name: "ext-unix-sk", Usage: "allow unix sockets to the outside"},
		&cli.BoolFlag{Name: "shell-job", Usage: "allow a terminal from the outside"},
		&cli.BoolFlag{Name: "file-locks", Usage: "keep file locks"},
		&cli.StringFlag{Name: "manage-cgroups-mode", Usage: "`MODE` for cgroups: soft, full, strict or ignore"},
		&cli.StringSliceFlag{Name: "empty-ns", Usage: "make the namespace `NS`, but do not restore what is in it"},
		&cli.BoolFlag{Name: "auto-dedup", Usage: "remove memory pages that were replaced from the parent image"},
		&cli.BoolFlag{Name: "lazy-pages", Usage: "hand over the memory on demand"},
		&cli.StringFlag{Name: "network-lock", Usage: "lock the network with `METHOD`"},
	}
}

func notYet(c *cli.Context) error {
	if _, err := onlyID(c); err != nil {
		return err
	}
	return errNoCheckpoint
}
