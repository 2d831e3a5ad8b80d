package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/spec"
)

// invocation is a command line taken apart. Flags are in one canonical form each, --name or --name=value with the long name, in
// the order given. cli/v2 alone would not do: it refuses a flag given by its short and by its long name, takes no flag behind
// the container's ID, and can be led astray by a container that is called like a flag.
type invocation struct {
	globals  []string
	command  string
	flags    []string
	operands []string
	// dashes: there is a "--". The operands from number behind on follow it.
	dashes bool
	behind int
}

// argsBelongToCommand are the commands where everything behind the ID is somebody else's command line, also what starts with "-"
// (conmon-rs: exec ID CMD...; docker top: ps ID -ef).
var argsBelongToCommand = map[string]bool{"exec": true, "ps": true}

// takeApart reads a command line (without the program's name). What it understood up to an error is returned with the error, so that the
// error can go to the log that the line names.
func takeApart(args []string) (invocation, error) {
	var inv invocation
	var err error
	var rest []string
	inv.globals, rest, inv.behind, err = splitFlags(args, globalFlags(), false)
	inv.dashes = inv.behind >= 0
	if err != nil {
		return inv, err
	}
	if inv.dashes || len(rest) == 0 {
		inv.operands = rest
		return inv, nil
	}
	if inv.has("version") || inv.has("help") {
		return inv, nil // whatever else is asked for
	}
	if rest[0] == "help" {
		rest = append(rest[1:], "--help")
	}
	if rest[0] == "--help" {
		inv.globals = append(inv.globals, "--help")
		return inv, nil
	}
	if inv.has("config") {
		return inv, fmt.Errorf("the arguments of a sandbox come after --: -c FILE -- %s", strings.Join(rest, " "))
	}
	cmd := newCommand(rest[0])
	if cmd == nil {
		return inv, unknownCommand(rest[0])
	}
	inv.command = rest[0]
	inv.flags, inv.operands, inv.behind, err = splitFlags(rest[1:], cmd.Flags, !argsBelongToCommand[inv.command])
	inv.dashes = inv.behind >= 0
	return inv, err
}

// splitFlags separates flags from operands. With mixed, flags may follow operands. The operands from number behind on follow a "--"; without
// one, behind is negative.
func splitFlags(args []string, known []cli.Flag, mixed bool) (flags, operands []string, behind int, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return flags, append(operands, args[i+1:]...), len(operands), nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			if !mixed {
				return flags, args[i:], -1, nil
			}
			operands = append(operands, arg)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		flag := findFlag(known, name)
		switch {
		case flag == nil:
			return flags, operands, -1, unknownFlag(name, known)
		case hasValue:
			flags = append(flags, "--"+longName(flag)+"="+value)
		case !takesValue(flag):
			flags = append(flags, "--"+longName(flag))
		case i+1 == len(args):
			return flags, operands, -1, fmt.Errorf("flag needs an argument: %s", dashed(name))
		default:
			i++
			flags = append(flags, "--"+longName(flag)+"="+args[i])
		}
	}
	return flags, operands, -1, nil
}

func unknownFlag(name string, known []cli.Flag) error {
	var names []string
	for _, f := range known {
		names = append(names, longName(f))
	}
	hint := ""
	if near := spec.Nearest(name, names); near != "" {
		hint = "; did you mean --" + near + "?"
	}
	return fmt.Errorf("flag provided but not defined: %s%s", dashed(name), hint)
}

func unknownCommand(name string) error {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	if near := spec.Nearest(name, names); near != "" {
		return fmt.Errorf("unknown command %q; did you mean %q?", name, near)
	}
	return fmt.Errorf("unknown command %q (zbox --help lists them)", name)
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func findFlag(known []cli.Flag, name string) cli.Flag {
	for _, f := range append(known[:len(known):len(known)], cli.HelpFlag) {
		if long, short := flagNames(f); name == long || slices.Contains(short, name) {
			return f
		}
	}
	return nil
}

// flagNames is what f.Names() returns, first and rest: that goes through a regular expression for each of them.
func flagNames(f cli.Flag) (string, []string) {
	switch f := f.(type) {
	case *cli.StringFlag:
		return f.Name, f.Aliases
	case *cli.BoolFlag:
		return f.Name, f.Aliases
	case *cli.IntFlag:
		return f.Name, f.Aliases
	case *cli.StringSliceFlag:
		return f.Name, f.Aliases
	}
	return f.Names()[0], f.Names()[1:]
}

func longName(f cli.Flag) string {
	name, _ := flagNames(f)
	return name
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// argv is the command line in the form that cli/v2 reads without surprises.
func (inv invocation) argv() []string {
	argv := append([]string{"zbox"}, inv.globals...)
	if inv.command != "" {
		argv = append(argv, inv.command)
		argv = append(argv, inv.flags...)
	}
	if len(inv.operands) > 0 {
		argv = append(append(argv, "--"), inv.operands...)
	}
	return argv
}

// global returns the value of a global flag, the last one given, and whether it was given.
func (inv invocation) global(name string) (value string, given bool) {
	for _, f := range inv.globals {
		if n, v, hasValue := strings.Cut(f, "="); n == "--"+name {
			value, given = v, true
			if !hasValue {
				value = "true"
			}
		}
	}
	return value, given
}

// has reports whether a global flag was given.
func (inv invocation) has(name string) bool {
	_, given := inv.global(name)
	return given
}

// subject is the command and the container, as error lines name them: "create web".
func (inv invocation) subject() string {
	if inv.command == "" || len(inv.operands) == 0 {
		return inv.command
	}
	return inv.command + " " + inv.operands[0]
}
