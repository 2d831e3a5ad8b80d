package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
	"github.com/bxrne/zbox/plan"
)

// explainedStep is one step of the plan in the JSON answer.
type explainedStep struct {
	Number   int    `json:"step"`
	Executor string `json:"by"`
	Name     string `json:"name"`
	Text     string `json:"text"`
	Origin   string `json:"origin"`
}

func explainCommand() *cli.Command {
	return &cli.Command{
		Usage: "print what create would do, step by step, and touch nothing",
		Description: "Each line is a step: its number as error messages name it, who does it (host: zbox, stage: the container's\n" +
			"first process), its name, what it does, and the field of config.json that asked for it.",
		Flags: []cli.Flag{bundleFlag(), formatFlag("text")},
		Action: func(c *cli.Context) error {
			format, err := outputFormat(c, "text")
			if err != nil {
				return err
			}
			rt, err := openAlone(c)
			if err != nil {
				return err
			}
			// The terminal's owner is not known yet, and does not change the plan.
			p, err := rt.Explain("explain", libzbox.CreateOptions{Bundle: c.String("bundle"), TakeConsole: true})
			if err != nil {
				return err
			}
			if format == "json" {
				return printJSON(c.App.Writer, explain(p))
			}
			_, err = fmt.Fprint(c.App.Writer, p)
			return err
		},
	}
}

func explain(p *plan.Plan) []explainedStep {
	steps := []explainedStep{}
	for i, s := range p.Steps {
		by := "stage"
		if _, ok := s.(plan.HostStep); ok {
			by = "host"
		}
		steps = append(steps, explainedStep{i + 1, by, s.Name(), s.Text(), p.Origin(i + 1)})
	}
	return steps
}
