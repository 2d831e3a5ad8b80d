package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

// globalFlags are the flags before the command. Those of logging are read by newReport.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "root", Usage: "keep the state of containers below `DIR` (default: /run/zbox, rootless: $XDG_RUNTIME_DIR/zbox)"},
		&cli.StringFlag{Name: "log", Usage: "also write errors to `FILE` (or file:FILE)"},
		&cli.StringFlag{Name: "log-format", Usage: "write the log as `FORMAT`: text or json (default: text)"},
		&cli.StringFlag{Name: "log-level", Usage: "report up to `LEVEL`: error, warning, info or debug (default: warning)"},
		&cli.BoolFlag{Name: "debug", Usage: "the same as --log-level debug"},
		&cli.BoolFlag{Name: "systemd-cgroup", Usage: "let systemd make the cgroups of new containers; cgroupsPath is then SLICE:PREFIX:NAME"},
		&cli.StringFlag{Name: "cgroup-manager", Usage: "let `WHO` make the cgroups of new containers: cgroupfs, systemd or disabled (default: cgroupfs); wins over --systemd-cgroup"},
		&cli.StringFlag{Name: "rootless", Usage: "behave as for a user without privileges: `true|false|auto` (default: auto)"},
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "run the sandbox that the zbox configuration `FILE` describes; - is standard input"},
		resultFlag(),
		&cli.StringFlag{Name: "criu", Usage: "save and restore containers with the `PROGRAM` (default: criu)"},
		&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print what zbox is built from"},
	}
}

// resultFlag is that of zbox -c and of run -c.
func resultFlag() cli.Flag {
	return &cli.StringFlag{Name: "result", Usage: "write how the sandbox ended and what it used to `FILE`, as JSON"}
}

// openRuntime is the libzbox that the global flags ask for.
func openRuntime(c *cli.Context) (*libzbox.Runtime, error) {
	o, err := runtimeOptions(c)
	if err != nil {
		return nil, err
	}
	return openWith(c, o)
}

// openWith is openRuntime with options that were read before.
func openWith(c *cli.Context, o libzbox.Options) (*libzbox.Runtime, error) {
	o.Warn = reportOf(c).warn
	o.RunHook = ownHooks(c)
	return libzbox.New(o)
}

// openAlone is openRuntime for the commands that are about no container.
func openAlone(c *cli.Context) (*libzbox.Runtime, error) {
	if err := noOperands(c); err != nil {
		return nil, err
	}
	return openRuntime(c)
}

// runtimeOptions reads the global flags.
func runtimeOptions(c *cli.Context) (libzbox.Options, error) {
	o := libzbox.Options{CgroupManager: libzbox.Cgroupfs, Criu: c.String("criu")}
	if c.Bool("systemd-cgroup") {
		o.CgroupManager = libzbox.Systemd
	}
	if c.IsSet("cgroup-manager") {
		o.CgroupManager = libzbox.CgroupManager(c.String("cgroup-manager"))
	}
	switch o.CgroupManager {
	case libzbox.Cgroupfs, libzbox.Systemd, libzbox.Disabled:
	default:
		return o, fmt.Errorf("--cgroup-manager: %q is not cgroupfs, systemd or disabled", o.CgroupManager)
	}
	var err error
	if o.Rootless, err = rootlessMode(c.String("rootless")); err != nil {
		return o, err
	}
	o.Root, err = rootDirectory(c, o.Rootless)
	return o, err
}

// rootlessMode is the answer to --rootless, nil for "decide by the effective uid".
func rootlessMode(value string) (*bool, error) {
	if value == "" || strings.EqualFold(value, "auto") {
		if os.Geteuid() != 0 || !borrowedRoot() {
			return nil, nil
		}
		value = "true"
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		return nil, fmt.Errorf("--rootless: %q is not true, false or auto", value)
	}
	return &b, nil
}

// rootDirectory is where the state lives.
func rootDirectory(c *cli.Context, rootless *bool) (string, error) {
	if c.IsSet("root") {
		if c.String("root") == "" {
			return "", errors.New("--root: empty path")
		}
		return filepath.Abs(c.String("root"))
	}
	if os.Geteuid() == 0 && (rootless == nil || !*rootless) {
		return "/run/zbox", nil
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	switch {
	case dir != "":
		return filepath.Join(dir, "zbox"), nil
	case os.Geteuid() == 0:
		return "/run/zbox", nil
	}
	return "", errors.New("XDG_RUNTIME_DIR is not set: --root is needed")
}

// borrowedRoot reports whether uid 0 is that of a user namespace which an ordinary user made, as rootless podman runs its
// runtime: the state cannot be in /run then. docker in a user namespace is root there and says so in USER, as runc has it.
func borrowedRoot() bool {
	if os.Getenv("USER") == "root" {
		return false
	}
	// Not with os.ReadFile, which has the Go runtime set up its poller.
	fd, err := unix.Open("/proc/self/uid_map", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	data := make([]byte, 256) // the first line is enough
	n, err := unix.Read(fd, data)
	if err != nil {
		return false
	}
	fields := strings.Fields(string(data[:n]))
	return len(fields) >= 3 && (fields[0] != "0" || fields[1] != "0" || fields[2] != "4294967295")
}
