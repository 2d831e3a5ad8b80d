package main

import (
	"fmt"
	"io"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
	"github.com/bxrne/zbox/spec"
)

func updateCommand() *cli.Command {
	return &cli.Command{
		Usage:     "change the limits of a container",
		ArgsUsage: "ID",
		Description: "Sizes are bytes or have a unit (512m, 1.5GiB: powers of 1024); -1 is no limit. Times are microseconds.\n" +
			"The object of --resources is that of linux.resources in config.json.",
		Flags: append(resourceFlags(),
			&cli.StringFlag{Name: "resources", Aliases: []string{"r"}, Usage: "read all limits as JSON from `FILE`; - is stdin"},
			&cli.StringFlag{Name: "l3-cache-schema", Usage: "write the Intel RDT cache `SCHEMA`"},
			&cli.StringFlag{Name: "mem-bw-schema", Usage: "write the Intel RDT memory bandwidth `SCHEMA`"},
		),
		Action: func(c *cli.Context) error {
			resources, err := updatedResources(c)
			if err != nil {
				return err
			}
			container, err := loadContainer(c)
			if err != nil {
				return err
			}
			return container.Update(resources, libzbox.UpdateOptions{
				L3CacheSchema: c.String("l3-cache-schema"), MemBwSchema: c.String("mem-bw-schema"),
			})
		},
	}
}

// updatedResources are the limits that the flags give, or those of the file.
func updatedResources(c *cli.Context) (*specs.LinuxResources, error) {
	if !c.IsSet("resources") {
		return resourcesOf(c)
	}
	for _, f := range resourceFlags() {
		if c.IsSet(f.Names()[0]) {
			return nil, fmt.Errorf("--resources: the file holds all limits; --%s belongs in it", f.Names()[0])
		}
	}
	return readResources(c.String("resources"), c.App.Reader)
}

// readResources reads the JSON of --resources.
func readResources(path string, stdin io.Reader) (*specs.LinuxResources, error) {
	name, source := "stdin", stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("--resources: %w", err)
		}
		defer f.Close()
		name, source = path, f
	}
	resources, err := spec.LoadResources(source, name)
	if err != nil {
		return nil, fmt.Errorf("--resources: %w", err)
	}
	return resources, nil
}
