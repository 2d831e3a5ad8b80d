package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
	"github.com/bxrne/zbox/translate"
)

// sandbox is one run of a zbox configuration.
type sandbox struct {
	cfg     *translate.Config
	rt      *libzbox.Runtime
	id      string
	args    []string
	options libzbox.CreateOptions
	result  *resultFile
	report  *report
	// keep: the container stays when its process has ended.
	keep bool
	// started is called once the program runs.
	started func() error
}

// runSandbox is `zbox -c FILE [-- ARGS...]` and `zbox run -c FILE [ID]`: the configuration becomes a bundle that lives as long as the
// container does. The exit status of its process is the error.
func runSandbox(c *cli.Context, id string, args []string) error {
	cfg, err := loadConfig(c.String("config"))
	if err != nil {
		return err
	}
	if id == "" {
		if id, err = sandboxID(cfg.Name); err != nil {
			return err
		}
		if detached(c) { // or else nobody would know it
			fmt.Fprintln(c.App.Writer, id)
		}
	}
	if needsSupervisor(c, cfg) {
		return startSupervisor(c, cfg, id, args)
	}
	s := &sandbox{cfg: cfg, id: id, args: args, report: reportOf(c), keep: c.Bool("keep") || c.Bool("detach"), started: reportReady(c)}
	if s.options, err = sandboxOptions(c, cfg); err != nil {
		return err
	}
	if s.rt, err = openSandboxRuntime(c, cfg); err != nil {
		return err
	}
	if s.result, err = openResult(c.String("result")); err != nil {
		return err
	}
	err = s.run(c)
	if err := s.result.writeError(s.id, err); err != nil {
		return err
	}
	return err
}

// run makes the bundle and runs it.
func (s *sandbox) run(c *cli.Context) error {
	dir, err := makeBundleDir(c, s.rt, s.id, s.keep)
	if err != nil {
		return fmt.Errorf("making the bundle: %w", err)
	}
	s.options.Bundle = filepath.Join(dir.path, "bundle")
	var roots *translate.Roots // what stays behind zbox has a root file system of its own
	if !s.keep {
		roots = &translate.Roots{Dir: dir.roots}
		defer roots.Close()
	}
	var lock *os.File
	s.options.Prepare = func() error {
		o, err := bundleOptions(c, s.cfg)
		if err != nil {
			return err
		}
		o.Roots = roots
		if err := writeBundle(s.cfg, s.options.Bundle, s.args, o, s.report); err != nil {
			return err
		}
		lock, err = lockPersist(s.cfg)
		return err
	}
	err = s.live(detached(c))
	lock.Close() // of none, too
	// What is kept goes with `zbox delete`.
	if _, lerr := s.rt.Load(s.id); !s.keep || errors.Is(lerr, libzbox.ErrNotExist) {
		dir.remove()
	}
	return err
}

// lockPersist holds the directory of persist for as long as zbox lives: two overlays with one upper layer would damage it.
func lockPersist(cfg *translate.Config) (*os.File, error) {
	path := cfg.Persist
	if path == "" {
		return nil, nil
	}
	lock, err := lockDir(path, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("persist: %s: another sandbox runs on it: wait until it has ended, or name another directory", path)
	}
	return lock, err
}

// live runs the container in the background, or in the foreground to its end.
func (s *sandbox) live(detached bool) error {
	if !detached {
		return s.runForeground()
	}
	_, _, err := s.rt.Run(s.id, s.options)
	return s.inWords(err)
}

// inWords tells of limits in the words of the sandbox's configuration, without the step that sets all of them.
func (s *sandbox) inWords(err error) error {
	var step *libzbox.StepError
	switch {
	case !errors.As(err, &step):
	case step.Err != nil && strings.HasPrefix(step.Err.Error(), "linux.resources"):
		err = fmt.Errorf("config.json: %w", step.Err)
	case errors.Is(err, unix.EPERM) && strings.HasPrefix(step.Detail, "mount filesystem proc"): // mount_too_revealing in fs/namespace.c
		err = fmt.Errorf("%w: where parts of /proc are covered, as in most containers, no other can be mounted: "+
			"start that container with --security-opt systempaths=unmasked (docker) or unmask=ALL (podman)", err)
	}
	return s.cfg.InWords(err)
}

// loadConfig reads and checks a configuration.
func loadConfig(path string) (*translate.Config, error) {
	cfg, err := translate.Load(path)
	if err != nil {
		return nil, err
	}
	return cfg, cfg.CheckCalls(libzbox.KnownSystemCall, "libseccomp")
}

// sandboxOptions reads the flags of run, which `zbox -c` alone does not have.
func sandboxOptions(c *cli.Context, cfg *translate.Config) (libzbox.CreateOptions, error) {
	if c.IsSet("bundle") {
		return libzbox.CreateOptions{}, errors.New("--bundle: --config makes the bundle; zbox spec -c writes one")
	}
	o, err := runOptions(c)
	o.LenientLimits = !cfg.Strict
	// What runs in the foreground must not go on when nobody is there any more to end it.
	o.DieWithParent = !detached(c)
	return o, err
}

// openSandboxRuntime is openRuntime with the configuration's own say about privileges.
func openSandboxRuntime(c *cli.Context, cfg *translate.Config) (*libzbox.Runtime, error) {
	o, err := runtimeOptions(c)
	if err != nil {
		return nil, err
	}
	if rootless := true; cfg.Rootless == translate.On && o.Rootless == nil {
		o.Rootless = &rootless
	}
	if !c.IsSet("systemd-cgroup") && !c.IsSet("cgroup-manager") && hasUserManager() {
		o.CgroupManager = libzbox.Systemd
	}
	warn := reportOf(c).warn
	o.Warn = func(line string) { warn(cfg.Words(line)) }
	o.RunHook = ownHooks(c)
	return libzbox.New(o)
}

// hasUserManager: a user without privileges gets cgroups from the systemd of their session, where the controllers are on cgroup v2.
func hasUserManager() bool {
	if os.Geteuid() == 0 {
		return false
	}
	_, unified := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	_, manager := os.Stat(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd/private"))
	return unified == nil && manager == nil
}

// bundleOptions are the facts of this machine; the sandbox has a terminal when the caller has one.
func bundleOptions(c *cli.Context, cfg *translate.Config) (translate.Options, error) {
	o, err := translate.HostOptions()
	if err != nil {
		return o, err
	}
	o.HelperProgram, err = libzbox.HelperProgram()
	if err == nil && cfg.Connected() {
		var r libzbox.Options
		r, err = runtimeOptions(c)
		o.StateRoot = r.Root
	}
	o.Terminal = !c.Bool("detach") && isTerminal(os.Stdin) && isTerminal(os.Stdout)
	o.Term = os.Getenv("TERM")
	return o, err
}

// detached: nobody stays with the sandbox. A supervisor does.
func detached(c *cli.Context) bool { return c.Bool("detach") && !c.Bool(supervisedFlag) }

func writeBundle(cfg *translate.Config, dir string, args []string, o translate.Options, rep *report) error {
	warnings, err := cfg.Bundle(dir, args, o)
	for _, w := range warnings {
		rep.warn(w)
	}
	return err
}

// sandboxOperands are those of `zbox run -c FILE [ID] [-- ARGS...]`.
func sandboxOperands(inv invocation) (id string, args []string, err error) {
	before := inv.operands
	if inv.dashes {
		before, args = inv.operands[:inv.behind], inv.operands[inv.behind:]
	}
	switch len(before) {
	case 0:
		return "", args, nil
	case 1:
		return before[0], args, nil
	}
	return "", nil, fmt.Errorf("the arguments of a sandbox come after --: run -c FILE [ID] -- %s", before[1])
}

// sandboxID makes an ID of its own for each run, so that one configuration can run many times at once.
func sandboxID(name string) (string, error) {
	var suffix [4]byte
	if _, err := rand.Read(suffix[:]); err != nil {
		return "", fmt.Errorf("making an ID: %w", err)
	}
	return name + "-" + hex.EncodeToString(suffix[:]), nil
}
