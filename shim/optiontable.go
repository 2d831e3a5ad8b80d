package shim

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
)

// tableOptions are those of containerd's CRI plugin for a runtime that it does not know: the runtime's table "options" of its
// configuration as it is, or the path of a file with such a table. Of TOML that needs no more than "Key = value".
func tableOptions(o *runtimeoptions.Options) (runtimeOptions, error) {
	name, body := "runtime options", o.ConfigBody
	if len(body) == 0 && o.ConfigPath != "" {
		var err error
		if body, err = os.ReadFile(o.ConfigPath); err != nil {
			return runtimeOptions{}, fmt.Errorf("runtime options: ConfigPath: %w", err)
		}
		name += ": " + o.ConfigPath
	}
	opts := runtimeOptions{Options: &options.Options{}}
	number := 0
	for line := range strings.Lines(string(body)) {
		number++
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found {
			return opts, fmt.Errorf("%s: line %d: %q is not KEY = VALUE", name, number, line)
		}
		if err := opts.set(strings.TrimSpace(key), strings.TrimSpace(value)); err != nil {
			return opts, fmt.Errorf("%s: line %d: %w", name, number, err)
		}
	}
	return opts, nil
}

// set sets one option from its name in containerd's configuration and the TOML text of its value.
func (o *runtimeOptions) set(key, value string) (err error) {
	switch key {
	case "NoPivotRoot":
		o.NoPivotRoot, err = strconv.ParseBool(value)
	case "NoNewKeyring":
		o.NoNewKeyring, err = strconv.ParseBool(value)
	case "SystemdCgroup":
		o.SystemdCgroup, err = strconv.ParseBool(value)
	case "ShimCgroup":
		o.ShimCgroup, err = unquote(value)
	case "Root":
		o.Root, err = unquote(value)
	case "BinaryName":
		o.BinaryName, err = unquote(value)
	case "TaskApiAddress":
		o.TaskApiAddress, err = unquote(value)
	case "CriuPath":
		o.criuPath, err = unquote(value)
	case "CriuImagePath":
		o.CriuImagePath, err = unquote(value)
	case "CriuWorkPath":
		o.CriuWorkPath, err = unquote(value)
	case "IoUid":
		o.IoUid, err = parseID(value)
	case "IoGid":
		o.IoGid, err = parseID(value)
	case "TaskApiVersion":
	default:
		return fmt.Errorf("no option is called %q", key)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// unquote reads a TOML string: literal, or basic with the escapes that Go has too.
func unquote(value string) (string, error) {
	if n := len(value); n >= 2 && value[0] == '\'' && value[n-1] == '\'' {
		return value[1 : n-1], nil
	}
	text, err := strconv.Unquote(value)
	if err != nil {
		return "", fmt.Errorf("%s is not a string in quotes", value)
	}
	return text, nil
}

func parseID(value string) (uint32, error) {
	id, err := strconv.ParseUint(value, 10, 32)
	return uint32(id), err
}
