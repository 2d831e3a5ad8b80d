package main

import (
	"errors"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

// defaultImage is where runc keeps an image, too.
const defaultImage = "checkpoint"

func checkpointCommand() *cli.Command {
	return &cli.Command{
		Usage:       "save a running container to an image, with CRIU, and delete it",
		ArgsUsage:   "ID",
		Description: "The container goes on with --leave-running or --pre-dump, and after an error. An image holds the memory of the container's processes.",
		Flags: append(criuFlags(),
			&cli.BoolFlag{Name: "leave-running", Usage: "let the container go on"},
			&cli.StringFlag{Name: "parent-path", Usage: "save only what changed since the image in `DIR`, which is relative to --image-path"},
			&cli.BoolFlag{Name: "pre-dump", Usage: "save the memory only, and let the container go on"},
			&cli.BoolFlag{Name: "tcp-skip-in-flight", Usage: "leave out connections that are being established"},
			&cli.BoolFlag{Name: "link-remap", Usage: "save open files that were removed by linking them again"},
			&cli.IntFlag{Name: "status-fd", Value: -1, Usage: "write a zero byte to descriptor `N` when lazy pages can be fetched"},
			&cli.StringFlag{Name: "page-server", Usage: "send the memory to `ADDRESS:PORT`"},
		),
		Action: func(c *cli.Context) error {
			id, err := onlyID(c)
			if err != nil {
				return err
			}
			o, err := checkpointOptions(c)
			if err != nil {
				return err
			}
			rt, err := openRuntime(c)
			if err != nil {
				return err
			}
			container, err := rt.Load(id)
			if err != nil {
				return err
			}
			if err := container.Checkpoint(o); err != nil || o.LeaveRunning || o.PreDump {
				return err
			}
			return rt.Delete(id, true)
		},
	}
}

// criuFlags are those that checkpoint and restore share.
func criuFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "image-path", Value: defaultImage, Usage: "`DIR` of the image"},
		&cli.StringFlag{Name: "work-path", Usage: "`DIR` of CRIU's log (default: that of the image)"},
		&cli.BoolFlag{Name: "tcp-established", Usage: "allow established connections"},
		&cli.BoolFlag{Name: "ext-unix-sk", Usage: "allow unix sockets to the outside"},
		&cli.BoolFlag{Name: "shell-job", Usage: "allow a terminal from the outside"},
		&cli.BoolFlag{Name: "file-locks", Usage: "keep file locks"},
		&cli.StringFlag{Name: "manage-cgroups-mode", Usage: "restore cgroups below the container's by `MODE`: soft, full, strict or ignore (default: soft)"},
		&cli.StringSliceFlag{Name: "empty-ns", Usage: "make the namespace `NS` anew, but neither save nor restore what is in it"},
		&cli.BoolFlag{Name: "auto-dedup", Usage: "remove memory pages that were replaced from the parent image"},
		&cli.BoolFlag{Name: "lazy-pages", Usage: "hand over the memory on demand"},
		&cli.StringFlag{Name: "network-lock", Usage: "keep connections still by `METHOD`: iptables, nftables or skip (default: iptables)"},
	}
}

func criuOptions(c *cli.Context) libzbox.CriuOptions {
	return libzbox.CriuOptions{
		ImagePath: c.String("image-path"), WorkPath: c.String("work-path"), ManageCgroups: c.String("manage-cgroups-mode"),
		EmptyNamespaces: c.StringSlice("empty-ns"), NetworkLock: c.String("network-lock"), TCPEstablished: c.Bool("tcp-established"),
		ExternalUnixSockets: c.Bool("ext-unix-sk"), ShellJob: c.Bool("shell-job"), FileLocks: c.Bool("file-locks"),
		AutoDedup: c.Bool("auto-dedup"), LazyPages: c.Bool("lazy-pages"),
	}
}

func checkpointOptions(c *cli.Context) (libzbox.CheckpointOptions, error) {
	o := libzbox.CheckpointOptions{
		CriuOptions: criuOptions(c), ParentPath: c.String("parent-path"), PreDump: c.Bool("pre-dump"), LeaveRunning: c.Bool("leave-running"),
		TCPSkipInFlight: c.Bool("tcp-skip-in-flight"), LinkRemap: c.Bool("link-remap"), PageServer: c.String("page-server"),
	}
	if fd := c.Int("status-fd"); fd >= 0 {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_ACCMODE == unix.O_RDONLY {
			return o, errors.New("--status-fd: this descriptor is not open for writing")
		}
		unix.CloseOnExec(fd)
		o.Status = os.NewFile(uintptr(fd), "status-fd")
	}
	return o, nil
}
