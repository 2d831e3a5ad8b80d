package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
)

func listCommand() *cli.Command {
	return &cli.Command{
		Usage: "list the containers below --root",
		Flags: []cli.Flag{
			formatFlag("table"),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print only the IDs"},
		},
		Action: func(c *cli.Context) error {
			format, err := outputFormat(c, "table")
			if err != nil {
				return err
			}
			rt, err := openAlone(c)
			if err != nil {
				return err
			}
			states, err := listStates(rt, reportOf(c))
			if err != nil {
				return err
			}
			switch {
			case c.Bool("quiet"):
				return printIDs(c.App.Writer, states)
			case format == "json":
				return printJSON(c.App.Writer, states)
			}
			return printTable(c.App.Writer, states)
		},
	}
}

// listStates is never nil, so that an empty list is [] in JSON. A container that vanishes meanwhile is left out.
func listStates(rt *libzbox.Runtime, rep *report) ([]libzbox.State, error) {
	states := []libzbox.State{}
	list, err := rt.List()
	for _, container := range list {
		state, serr := container.State()
		switch {
		case serr == nil:
			states = append(states, state)
		case !errors.Is(serr, libzbox.ErrNotExist):
			rep.warn(fmt.Sprintf("list: %s: %v", container.ID(), serr))
		}
	}
	return states, err
}

func printIDs(w io.Writer, states []libzbox.State) error {
	for _, s := range states {
		if _, err := fmt.Fprintln(w, s.ID); err != nil {
			return err
		}
	}
	return nil
}

func printTable(w io.Writer, states []libzbox.State) error {
	t := tabwriter.NewWriter(w, 12, 1, 3, ' ', 0)
	fmt.Fprint(t, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, s := range states {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return t.Flush()
}
