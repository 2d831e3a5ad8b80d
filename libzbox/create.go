package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/compile"
	"github.com/bxrne/zbox/host"
	"github.com/bxrne/zbox/host/facts"
	"github.com/bxrne/zbox/plan"
	"github.com/bxrne/zbox/spec"
)

// Create makes the container id from the bundle and stops at the start barrier. After an error nothing of it is left.
func (r *Runtime) Create(id string, o CreateOptions) (*Container, *Process, error) {
	return r.launch(id, o, true)
}

// Run is Create and Start in one, without the barrier.
func (r *Runtime) Run(id string, o CreateOptions) (*Container, *Process, error) {
	return r.launch(id, o, false)
}

// Explain compiles the plan of Create and touches nothing.
func (r *Runtime) Explain(id string, o CreateOptions) (*plan.Plan, error) {
	d, err := r.draft(id, o, true, nil)
	if err != nil {
		return nil, err
	}
	if err := d.compile(); err != nil {
		return nil, err
	}
	return d.plan, nil
}

// draft is a container that exists on paper only: everything that can be decided before the first side effect.
type draft struct {
	runtime *Runtime
	id      string
	options CreateOptions
	wait    bool
	systemd *cgroup.Dialing // nil for explain and without systemd
	bundle  string
	rootfs  string
	spec    *specs.Spec
	raw     []byte // config.json as it is
	cgroup  *cgroup.Cgroup
	request compile.Request
	notify  *notifySocket
	plan    *plan.Plan
}

// configPath is where the configuration is read from.
func (o CreateOptions) configPath(bundle string) string {
	switch {
	case o.ConfigFile == "":
		return filepath.Join(bundle, configFile)
	case filepath.IsAbs(o.ConfigFile):
		return o.ConfigFile
	}
	return filepath.Join(bundle, o.ConfigFile)
}

// draft loads and checks the bundle and probes the machine.
func (r *Runtime) draft(id string, o CreateOptions, wait bool, systemd *cgroup.Dialing) (*draft, error) {
	if err := validateID(id); err != nil {
		return nil, err
	}
	d := &draft{runtime: r, id: id, options: o, wait: wait, systemd: systemd}
	var err error
	if d.bundle, err = filepath.Abs(o.Bundle); err != nil {
		return nil, fmt.Errorf("resolving --bundle: %w", err)
	}
	if d.spec, d.raw, err = spec.Load(o.configPath(d.bundle)); err != nil {
		return nil, err
	}
	d.rootfs = d.spec.Root.Path
	if !filepath.IsAbs(d.rootfs) {
		d.rootfs = filepath.Join(d.bundle, d.rootfs)
	}
	if st, err := os.Stat(d.rootfs); err != nil {
		return nil, fmt.Errorf("%s: root.path: %w", configFile, err)
	} else if !st.IsDir() {
		return nil, fmt.Errorf("%s: root.path: %s is not a directory", configFile, d.rootfs)
	}
	if err := o.checkTerminal(d.spec); err != nil {
		return nil, err
	}
	if p := d.spec.Process; p != nil && p.Terminal && p.ConsoleSize == nil {
		p.ConsoleSize = o.ConsoleSize
	}
	return d, d.prepare()
}

// prepare fills in the compiler's request.
func (d *draft) prepare() error {
	found, err := host.Probe()
	if err != nil {
		return err
	}
	cfg := d.runtime.cgroupConfig(d.id, d.spec, found.Cgroup)
	cfg.Lenient = d.options.LenientLimits
	cfg.Dialing = d.systemd
	d.cgroup, err = cgroup.New(cfg)
	if err != nil {
		return err
	}
	d.systemd.Announce()
	d.warnOfCgroup()
	listen, names := listenFDs()
	d.request = compile.Request{
		ID: d.id, Bundle: d.bundle, Spec: d.spec, Facts: found,
		CgroupPath:      d.cgroup.Path(),
		CgroupPaths:     d.cgroup.Permitted(),
		CloneIntoCgroup: clonable(d.cgroup),
		NoPivot:         d.options.NoPivot,
		NoNewKeyring:    d.options.NoNewKeyring,
		PreserveFDs:     d.options.PreserveFDs,
		ListenFDs:       listen,
		ListenFDNames:   names,
		WaitStart:       d.wait,
		DieWithParent:   d.options.DieWithParent,
	}
	d.notify = newNotifySocket(d.runtime, d.id)
	if d.notify != nil {
		d.request.NotifySocket, d.request.NotifyDir = d.notify.inside, d.notify.dir
	}
	return nil
}

func (d *draft) warnOfCgroup() {
	for _, w := range d.cgroup.Warnings() {
		d.runtime.opts.Warn(configFile + ": " + w)
	}
}

// compile makes the plan. The request must be complete.
func (d *draft) compile() error {
	p, warnings, err := compile.Create(d.request)
	if err != nil {
		return fmt.Errorf("%s: %w", configFile, err)
	}
	for _, w := range warnings {
		d.runtime.opts.Warn(configFile + ": " + w)
	}
	d.plan = p
	return nil
}

// cgroupConfig is what the cgroup package needs to know of a container.
func (r *Runtime) cgroupConfig(id string, s *specs.Spec, f facts.Cgroup) cgroup.Config {
	cfg := cgroup.Config{
		ID:          id,
		Driver:      cgroup.Driver(r.opts.CgroupManager),
		Rootless:    r.rootless(),
		Annotations: s.Annotations,
		Facts:       f,
	}
	if s.Linux != nil {
		cfg.Path = s.Linux.CgroupsPath
		cfg.Resources = s.Linux.Resources
		cfg.OwnerUID = cgroupOwner(s)
	}
	return cfg
}

// clonable: init can be born into the cgroup (CLONE_INTO_CGROUP). That of systemd is only made around a process, and on v1 a process
// has to be moved.
func clonable(c *cgroup.Cgroup) bool {
	saved := c.Saved()
	return saved.Version == 2 && saved.Driver == cgroup.Cgroupfs
}

// checkTerminal refuses combinations of terminal and console socket that would leave a terminal without an owner.
func (o CreateOptions) checkTerminal(s *specs.Spec) error {
	terminal := s.Process != nil && s.Process.Terminal
	return checkTerminal(terminal, o.ConsoleSocket, o.TakeConsole)
}

func checkTerminal(terminal bool, socket string, take bool) error {
	switch {
	case terminal && socket == "" && !take:
		return errors.New("process.terminal: a terminal needs --console-socket when detached")
	case !terminal && socket != "":
		return errors.New("--console-socket: process.terminal is false, there is no terminal to send")
	}
	return nil
}

// launch makes the container: from here on there are side effects, and the journal knows of each before it happens.
func (r *Runtime) launch(id string, o CreateOptions, wait bool) (*Container, *Process, error) {
	// Only makeStateDir decides; this one gives the plainer error, before the cgroup of the other container is in the way.
	if r.exists(id) {
		return nil, nil, ErrExist
	}
	listen, _ := listenFDs()
	l, err := launchStage(o.Stdio, o.PreserveFDs+listen, o.Meanwhile)
	if err != nil {
		return nil, nil, err
	}
	defer l.discard()
	// Behind launchStage, which has found out which of the caller's descriptors are preserved: a new one must not be taken for them.
	systemd := cgroup.Dial(cgroup.Driver(r.opts.CgroupManager), r.rootless())
	defer systemd.HangUp()
	if o.Prepare != nil {
		if err := o.Prepare(); err != nil {
			return nil, nil, err
		}
	}
	d, err := r.draft(id, o, wait, systemd)
	if err != nil {
		if r.exists(id) { // made meanwhile: what is wrong with the draft is that container's cgroup
			err = ErrExist
		}
		return nil, nil, err
	}
	if d.request.Filter, err = r.filter(d.spec); err != nil {
		return nil, nil, err
	}
	if err := d.compile(); err != nil {
		return nil, nil, err
	}
	l.settle()
	return d.make(func(c *Container) (*Process, error) { return c.bringUp(d, l) })
}

// make journals the container and lets bring make it. After an error nothing of it is left.
func (d *draft) make(bring func(*Container) (*Process, error)) (*Container, *Process, error) {
	c, err := d.journal()
	if err != nil {
		return nil, nil, err
	}
	defer c.unlock()
	p, err := bring(c)
	if err != nil {
		if uerr := c.destroy(); uerr != nil {
			d.runtime.opts.Warn(fmt.Sprintf("%s: cleaning up: %v", d.id, uerr))
		}
		return nil, nil, err
	}
	c.unlockMade()
	return c, p, nil
}

// exists reports whether there is a state directory.
func (r *Runtime) exists(id string) bool {
	return validateID(id) == nil && unix.Access(filepath.Join(r.opts.Root, id), unix.F_OK) == nil
}

// journal makes the state directory with everything that a clean-up needs to know.
func (d *draft) journal() (*Container, error) {
	worker, err := identify(os.Getpid())
	if err != nil {
		return nil, err
	}
	c, err := d.runtime.makeStateDir(d.id)
	if err != nil {
		return nil, err
	}
	c.spec = d.spec
	c.j = journal{
		Version: journalVersion, OCIVersion: d.spec.Version, ID: d.id, Bundle: d.bundle, Rootfs: d.rootfs,
		Created: time.Now().UTC(), OwnerUID: os.Geteuid(), Annotations: d.spec.Annotations,
		Phase: phaseCreating, Worker: worker, Cgroup: d.cgroup.Saved(), Settled: settled(d.spec),
		Steps: len(d.plan.Steps), Tail: tail(d.plan),
	}
	// The configuration comes first: where there is a state record, it is complete.
	if err = c.writeFile(configFile, unix.O_EXCL, d.raw); err == nil {
		err = c.writeJournal()
	}
	if err != nil {
		c.removeState()
		c.unlock()
		return nil, err
	}
	return c, nil
}

// bringUp runs the plan and ends when the container is created, or started for run.
func (c *Container) bringUp(d *draft, l *launching) (*Process, error) {
	p := &performer{container: c, plan: d.plan, cgroup: d.cgroup, spec: d.spec, journal: true}
	defer p.close()
	if err := p.openSockets(d.options.ConsoleSocket, d.options.PidfdSocket, d.options.TakeConsole); err != nil {
		return nil, err
	}
	if err := d.notify.listen(); err != nil {
		return nil, err
	}
	if err := p.run(l); err != nil {
		return nil, err
	}
	return p.made(d)
}

// made writes down that the container is there, and tells its caller.
func (p *performer) made(d *draft) (*Process, error) {
	c := p.container
	d.warnOfCgroup()
	c.j.Phase = phaseCreated
	if !d.wait {
		c.j.Phase = phaseStarted
	}
	poststart := !d.wait && len(hooksOf(d.spec, "poststart")) > 0
	if !poststart {
		c.j.Worker = processID{}
	}
	if err := c.writeJournal(); err != nil {
		return nil, err
	}
	if d.options.PidFile != "" {
		if err := writePidFile(d.options.PidFile, p.pid); err != nil {
			return nil, err
		}
	}
	if poststart {
		if err := c.poststart(); err != nil {
			return nil, err
		}
	}
	return &Process{Pid: p.pid, Console: p.takeConsole()}, nil
}

// writePidFile writes the pid as a bare decimal, in one step: callers wait for the file to appear.
func writePidFile(path string, pid int) error {
	if err := publish(path, 0o666, []byte(strconv.Itoa(pid))); err != nil {
		return fmt.Errorf("writing --pid-file: %w", err)
	}
	return nil
}

// listenFDs returns how many sockets systemd handed to zbox for the container, and their names (sd_listen_fds(3)).
func listenFDs() (int, string) {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n <= 0 || n > 1024 {
		return 0, ""
	}
	if pid := os.Getenv("LISTEN_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, ""
	}
	return n, os.Getenv("LISTEN_FDNAMES")
}

// closeOnExec marks what zbox inherited, so that only what the plan preserves can reach the container (CVE-2024-21626).
func closeOnExec() error {
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("marking inherited descriptors: %w", err)
	}
	return nil
}
