package main

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

func psCommand() *cli.Command {
	return &cli.Command{
		Usage:       "list the processes of a container, with the host's pids",
		ArgsUsage:   "ID [OPTIONS OF PS...]",
		Description: "Everything behind ID is for ps(1), which prints the table; without it that is -ef.",
		Flags:       []cli.Flag{formatFlag("table")},
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return errors.New("container ID is missing")
			}
			format, err := outputFormat(c, "table")
			if err != nil {
				return err
			}
			container, err := loadNamed(c, c.Args().First())
			if err != nil {
				return err
			}
			pids, err := container.Pids()
			if err != nil {
				return err
			}
			if format == "json" {
				return printJSON(c.App.Writer, append([]int{}, pids...))
			}
			return printProcesses(c.App.Writer, pids, c.Args().Tail())
		},
	}
}

// printProcesses prints the lines of ps(1) that are about pids.
func printProcesses(w io.Writer, pids []int, options []string) error {
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	output, err := exec.Command("ps", options...).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			return fmt.Errorf("running ps: %w: %s", err, strings.TrimSpace(string(failed.Stderr)))
		}
		return fmt.Errorf("running ps: %w", err)
	}
	header, lines, _ := strings.Cut(string(output), "\n")
	column := slices.Index(strings.Fields(header), "PID")
	if column < 0 {
		return fmt.Errorf("ps %s prints no PID column", strings.Join(options, " "))
	}
	fmt.Fprintln(w, header)
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		if pid, err := strconv.Atoi(fields[column]); err == nil && slices.Contains(pids, pid) {
			fmt.Fprint(w, line)
		}
	}
	return nil
}
