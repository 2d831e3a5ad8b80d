package translate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Starter is a configuration to start from, for a program of the host: a path, or a name to be looked for in PATH. Its root is a directory
// below dir, which need not exist. JSON has no comments: docs/sandbox.md explains each line.
func Starter(program, dir string) ([]byte, error) {
	binary, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("finding the program: %w", err)
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, fmt.Errorf("finding the program: %w", err)
	}
	name := starterName(filepath.Base(binary))
	args := []string{}
	if name == "busybox" {
		args = []string{"sh"}
	}
	data, err := json.Marshal(object{
		{"name", name},
		{"binary", binary},
		{"args", args},
		{"root", filepath.Join(dir, name+"-root")},
		{"cpu_cores", 1},
		{"cpu_limit_percent", 100},
		{"memory_limit_mb", 256},
		{"pids_limit", 512},
		{"timeout_seconds", 0},
		{"network_access", false},
		{"port_forwards", []string{}},
		{"env", []string{}},
	})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	_, err = Parse("the new configuration", out.Bytes())
	return out.Bytes(), err
}

// starterName makes a sandbox's name of a program's.
func starterName(program string) string {
	name := strings.Map(func(r rune) rune {
		if validName("x" + string(r)) {
			return r
		}
		return '-'
	}, program)
	if name = strings.TrimLeft(name, "._-"); name == "" {
		return "sandbox"
	}
	return name[:min(len(name), 63)]
}
