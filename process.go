package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/spec"
)

// savedSpec returns a container's configuration as it was at create.
type savedSpec func() (*specs.Spec, error)

// processFlags are the flags of exec that describe the process.
func processFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "cwd", Usage: "start in `DIR` of the container"},
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set the environment variable `NAME=VALUE`; may be given again"},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the process a terminal"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `UID[:GID]` (numbers)"},
		&cli.StringSliceFlag{Name: "additional-gids", Aliases: []string{"g"}, Usage: "add the group `GID`; may be given again"},
		&cli.StringFlag{Name: "process-label", Usage: "run with the SELinux `LABEL`"},
		&cli.StringFlag{Name: "apparmor", Usage: "run with the AppArmor `PROFILE`"},
		&cli.BoolFlag{Name: "no-new-privs", Usage: "keep the process from gaining privileges through execve(2)"},
		&cli.StringSliceFlag{Name: "cap", Aliases: []string{"c"}, Usage: "add the capability `CAP`; may be given again"},
	}
}

// execProcess is the process to run: that of --process, or the container's own with the flags applied.
func execProcess(c *cli.Context, saved savedSpec) (*specs.Process, error) {
	args := c.Args().Tail()
	if c.IsSet("process") {
		if len(args) > 0 {
			return nil, fmt.Errorf("--process: the file holds the command, but %q is given too", args[0])
		}
		for _, f := range processFlags() {
			if c.IsSet(f.Names()[0]) && f.Names()[0] != "tty" { // podman gives --tty as well
				return nil, fmt.Errorf("--process: the file describes the whole process; --%s belongs in it", f.Names()[0])
			}
		}
		p, err := spec.LoadProcess(c.String("process"))
		if err != nil {
			return nil, fmt.Errorf("--process: %w", err)
		}
		if c.IsSet("tty") && c.Bool("tty") != p.Terminal {
			return nil, fmt.Errorf("--tty: contradicts terminal in the file of --process, %t", p.Terminal)
		}
		return p, nil
	}
	config, err := saved()
	if err != nil {
		return nil, err
	}
	p := &specs.Process{Cwd: "/"}
	if config.Process != nil {
		*p = *config.Process
	}
	p.Args = args
	if err := applyProcessFlags(c, p); err != nil {
		return nil, err
	}
	return p, spec.ValidateProcess("process.", p)
}

// applyProcessFlags changes p as processFlags say. Slices are copied, never written to: they belong to the saved configuration.
func applyProcessFlags(c *cli.Context, p *specs.Process) error {
	p.Terminal = c.Bool("tty")
	if !p.Terminal {
		p.ConsoleSize = nil
	}
	if c.IsSet("cwd") {
		p.Cwd = c.String("cwd")
	}
	if c.IsSet("process-label") {
		p.SelinuxLabel = c.String("process-label")
	}
	if c.IsSet("apparmor") {
		p.ApparmorProfile = c.String("apparmor")
	}
	if c.IsSet("no-new-privs") {
		p.NoNewPrivileges = c.Bool("no-new-privs")
	}
	if c.IsSet("user") {
		if err := applyUser(&p.User, c.String("user")); err != nil {
			return err
		}
	}
	for _, text := range c.StringSlice("additional-gids") {
		gid, err := parseID(text)
		if err != nil {
			return fmt.Errorf("--additional-gids: %w", err)
		}
		p.User.AdditionalGids = append(slices.Clip(p.User.AdditionalGids), gid)
	}
	p.Capabilities = addCapabilities(p.Capabilities, c.StringSlice("cap"))
	var err error
	p.Env, err = mergeEnv(p.Env, c.StringSlice("env"))
	return err
}

// applyUser sets the ids of UID[:GID]. Anything but plain numbers is an error, never an id of 0 (CVE-2026-30892); names are
// not looked up, the container's passwd file is not to be trusted (CVE-2016-3697).
func applyUser(u *specs.User, text string) error {
	uidText, gidText, hasGID := strings.Cut(text, ":")
	uid, err := parseID(uidText)
	if err != nil {
		return fmt.Errorf("--user %q: uid: %w", text, err)
	}
	gid := u.GID
	if hasGID {
		if gid, err = parseID(gidText); err != nil {
			return fmt.Errorf("--user %q: gid: %w", text, err)
		}
	}
	u.UID, u.GID = uid, gid
	return nil
}

// parseID reads a user or group id from 0 to 4294967294: the last 32 bit number means "no change" to setuid(2) and its family.
func parseID(text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id == 1<<32-1 || strconv.FormatUint(id, 10) != text {
		return 0, fmt.Errorf("%q is not a number from 0 to 4294967294", text)
	}
	return uint32(id), nil
}

// addCapabilities adds caps to the bounding, effective and permitted sets, and to the ambient set where they are inheritable already.
// The inheritable set is never changed (CVE-2022-29162).
func addCapabilities(sets *specs.LinuxCapabilities, caps []string) *specs.LinuxCapabilities {
	if len(caps) == 0 {
		return sets
	}
	out := specs.LinuxCapabilities{}
	if sets != nil {
		out = *sets
	}
	for _, name := range caps {
		name = strings.ToUpper(name)
		if !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		out.Bounding = with(out.Bounding, name)
		out.Effective = with(out.Effective, name)
		out.Permitted = with(out.Permitted, name)
		if slices.Contains(out.Inheritable, name) {
			out.Ambient = with(out.Ambient, name)
		}
	}
	return &out
}

func with(list []string, item string) []string {
	if slices.Contains(list, item) {
		return list
	}
	return append(slices.Clip(list), item)
}

// mergeEnv replaces variables in place and appends new ones, so that no name is there twice.
func mergeEnv(env, changes []string) ([]string, error) {
	out := slices.Clone(env)
	for _, change := range changes {
		name, _, found := strings.Cut(change, "=")
		if !found || name == "" {
			return nil, fmt.Errorf("--env: %q is not NAME=VALUE", change)
		}
		i := slices.IndexFunc(out, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		if i < 0 {
			out = append(out, change)
			continue
		}
		out[i] = change
	}
	return out, nil
}
