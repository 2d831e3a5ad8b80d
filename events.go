package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
)

// event is one line of events.
type event struct {
	Type string         `json:"type"`
	ID   string         `json:"id"`
	Data *libzbox.Stats `json:"data,omitempty"`
}

func eventsCommand() *cli.Command {
	return &cli.Command{
		Usage:       "print a container's resource use and out-of-memory kills as JSON, until it ends",
		ArgsUsage:   "ID",
		Description: "Each line is one object of the type stats or oom. Where systemd makes the cgroups, the kill that ends the container may be missing: systemd removes the cgroup at once.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "stats", Usage: "print the resource use once and return"},
			&cli.DurationFlag{Name: "interval", Value: 5 * time.Second, Usage: "print the resource use every `TIME`"},
		},
		Action: func(c *cli.Context) error {
			container, err := loadContainer(c)
			if err != nil {
				return err
			}
			if c.Bool("stats") {
				return printStats(c.App.Writer, container)
			}
			return follow(c.Context, c.App.Writer, container, c.Duration("interval"))
		},
	}
}

// follow prints until the container has ended.
func follow(ctx context.Context, w io.Writer, container *libzbox.Container, interval time.Duration) error {
	if interval <= 0 {
		return errors.New("--interval: the time must be above 0")
	}
	kills, err := container.OOMEvents(ctx)
	if err != nil {
		return err
	}
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		select {
		case kill, running := <-kills:
			switch {
			case !running:
				return nil
			case kill == libzbox.OOMPossible: // and how the container ended is its parent's to know
				continue
			}
			err = json.NewEncoder(w).Encode(event{Type: "oom", ID: container.ID()})
		case <-ticks.C:
			err = printStats(w, container)
		}
		switch {
		case errors.Is(err, libzbox.ErrNotRunning):
			return nil
		case err != nil:
			return err
		}
	}
}

func printStats(w io.Writer, container *libzbox.Container) error {
	stats, err := container.Stats()
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(event{Type: "stats", ID: container.ID(), Data: stats})
}
