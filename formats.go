package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/spec/oneshot"
)

// formatFlag is --format of the commands that print for people or for machines; text is the form for people.
func formatFlag(text string) cli.Flag {
	return &cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: text, Usage: "print as `FORMAT`: " + text + " or json"}
}

func outputFormat(c *cli.Context, text string) (string, error) {
	format := c.String("format")
	if format != text && format != "json" {
		return "", fmt.Errorf("--format: %q is not %s or json", format, text)
	}
	return format, nil
}

func noOperands(c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("unexpected argument %q", c.Args().First())
	}
	return nil
}

// printJSON prints v for machines and people.
func printJSON(w io.Writer, v any) error {
	data, err := oneshot.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, data, "", "  "); err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	text.WriteByte('\n')
	_, err = text.WriteTo(w)
	return err
}
