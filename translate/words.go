package translate

import "strings"

// Words puts the names of the configuration in place of those of the bundle's config.json that are made from them: what a runtime says
// of limits names linux.resources.
func (c *Config) Words(line string) string {
	return strings.NewReplacer(
		"config.json: ", c.file+": ",
		`linux.resources.unified["memory.oom.group"]`, "memory_limit_mb",
		"linux.resources.memory.swap", "memory_swap_mb",
		"linux.resources.memory.limit", "memory_limit_mb",
		"linux.resources.memory", "memory_limit_mb",
		"linux.resources.pids.limit", "pids_limit",
		"linux.resources.pids", "pids_limit",
		"linux.resources.cpu.quota", "cpu_limit_percent",
		"linux.resources.cpu.period", "cpu_limit_percent",
		"linux.resources.cpu", "cpu_limit_percent",
	).Replace(line)
}

// InWords is err with its text in Words.
func (c *Config) InWords(err error) error {
	if err == nil {
		return nil
	}
	return &inWords{c.Words(err.Error()), err}
}

type inWords struct {
	text string
	err  error
}

func (e *inWords) Error() string { return e.text }

func (e *inWords) Unwrap() error { return e.err }
