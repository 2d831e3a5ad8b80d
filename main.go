// Command zbox runs OCI containers, and sandboxes that a small JSON file describes.
//
// Of the Go runtime's habits, these cost every start and serve only programs that run long: heeding the own cgroup's CPU limit for
// GOMAXPROCS, and watching it. See also the package sysmon.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	_ "github.com/bxrne/zbox/fortify"
	"github.com/bxrne/zbox/sysmon"
)

func main() {
	os.Exit(zbox(os.Args[1:], os.Stdout, os.Stderr))
}

// zbox runs one command line and returns the exit code. This is the only place that prints errors.
func zbox(args []string, stdout, stderr io.Writer) int {
	inv, err := takeApart(args)
	if !slices.Contains(sequential, inv.command) {
		sysmon.AllProcessors()
	}
	rep, logErr := newReport(inv, stderr)
	if err == nil {
		err = logErr
	}
	if err == nil {
		begun := time.Now()
		err = newApp(inv, rep, stdout).Run(inv.argv())
		rep.debug(fmt.Sprintf("zbox %s: took %v", inv.subject(), time.Since(begun)))
	}
	code, reported := exitCode(inv.command, err)
	if reported {
		rep.error(inv.subject(), err)
	}
	return code
}

// sequential are the commands that do one thing after the other, and are not worth other processors.
var sequential = []string{"delete", "kill", "start", "state"}

// commands are all commands. Only the one that is asked for is built: building all of them costs every start.
var commands = []struct {
	name string
	make func() *cli.Command
}{
	{"checkpoint", checkpointCommand},
	{"create", createCommand},
	{"delete", deleteCommand},
	{"events", eventsCommand},
	{"exec", execCommand},
	{"explain", explainCommand},
	{"features", featuresCommand},
	{"init", initCommand},
	{"kill", killCommand},
	{"list", listCommand},
	{"network", networkCommand},
	{"pause", pauseCommand},
	{"ps", psCommand},
	{"restore", restoreCommand},
	{"resume", resumeCommand},
	{"run", runCommand},
	{"schema", schemaCommand},
	{"spec", specCommand},
	{"start", startCommand},
	{"state", stateCommand},
	{"update", updateCommand},
	{"validate", validateCommand},
}

// newCommand builds a command; nil when there is none of that name.
func newCommand(name string) *cli.Command {
	for _, c := range commands {
		if c.name == name {
			cmd := c.make()
			cmd.Name = c.name
			// Otherwise a container called "help" could not be named.
			cmd.HideHelpCommand = true
			cmd.OnUsageError = usageError
			hideDefaults(cmd.Flags)
			return cmd
		}
	}
	return nil
}

// hideDefaults keeps "(default: false)" out of the help text.
func hideDefaults(flags []cli.Flag) {
	for _, f := range flags {
		if b, ok := f.(*cli.BoolFlag); ok {
			b.DisableDefaultText = true
		}
	}
}

// newApp is the program with the command of inv, or with all of them when its help text will be asked for.
func newApp(inv invocation, rep *report, stdout io.Writer) *cli.App {
	app := &cli.App{
		Name:                      "zbox",
		Usage:                     "run OCI containers, and sandboxes described by one JSON file",
		UsageText:                 "zbox [global options] COMMAND [options] ID\nzbox -c FILE [-- ARGS...]",
		Writer:                    stdout,
		ErrWriter:                 io.Discard,
		Compiled:                  time.Unix(0, 1), // else cli/v2 looks for the binary to find out
		HideVersion:               true,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // --env A=1,2 is one value
		OnUsageError:              usageError,
		ExitErrHandler:            func(*cli.Context, error) {},
		Metadata:                  map[string]any{"report": rep, "invocation": inv, "hooks": (&connection{}).run},
		Action:                    withoutCommand,
	}
	// cli/v2 spends a tenth of a millisecond on flags that are not given: it looks each of them up in all of them.
	app.Flags = slices.DeleteFunc(globalFlags(), func(f cli.Flag) bool { return !inv.has(longName(f)) })
	if cmd := newCommand(inv.command); cmd != nil {
		app.Commands = []*cli.Command{cmd}
	} else if !inv.has("config") && !inv.has("version") {
		app.Flags = globalFlags()
		hideDefaults(app.Flags)
		for _, c := range commands {
			app.Commands = append(app.Commands, newCommand(c.name))
		}
	}
	return app
}

// withoutCommand is what zbox does when no command is named.
func withoutCommand(c *cli.Context) error {
	switch {
	case c.Bool("version"):
		return printVersion(c.App.Writer)
	case c.IsSet("config"):
		return runSandbox(c, "", c.Args().Slice())
	case c.Args().Present():
		return errors.New("a command is missing before --")
	}
	return cli.ShowAppHelp(c)
}

func usageError(_ *cli.Context, err error, _ bool) error { return err }

func invocationOf(c *cli.Context) invocation { return c.App.Metadata["invocation"].(invocation) }

func reportOf(c *cli.Context) *report { return c.App.Metadata["report"].(*report) }

// onlyID is the container's ID, the one operand of most commands.
func onlyID(c *cli.Context) (string, error) {
	switch c.NArg() {
	case 1:
		return c.Args().First(), nil
	case 0:
		return "", errors.New("container ID is missing")
	}
	return "", fmt.Errorf("one container ID is needed, not %d arguments: %q", c.NArg(), c.Args().Slice())
}
