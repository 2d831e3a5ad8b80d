package libzbox

import (
	"errors"
	"fmt"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/nsexec"
	"github.com/bxrne/zbox/plan"
)

// A performer runs one plan: the host steps itself, the others through the stage.
type performer struct {
	container *Container
	plan      *plan.Plan
	cgroup    *cgroup.Cgroup
	spec      *specs.Spec
	journal   bool     // this is the container's init, not a process of exec
	subs      []string // exec's --cgroup

	stage   *nsexec.Stage
	handed  []*os.File
	pid     int
	sockets sockets
	created bool                // the start barrier is reached
	checked bool                // lastBeforeResume has agreed
	options *cgroup.KeptOptions // while criu mounts
	// earlySync is the number of the sync step whose host steps are done before it is reached, earlyErr what went wrong with them.
	earlySync int
	earlyErr  error
}

// StepError is a step of the plan that failed.
type StepError struct {
	Number, Total int
	File          string // that Origin is a field of; "" for a process of exec, which may come from the command line
	Origin        string // the JSON field that asked for the step
	Detail        string
	Err           error  // an errno, or nil
	Remedy        string // what an administrator can do, or ""
}

func (e *StepError) Error() string {
	text := e.Detail
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Origin != "" && e.Origin != "default" {
		text = e.Origin + ": " + text
		if e.File != "" {
			text = e.File + ": " + text
		}
	}
	if e.Number > 0 {
		text += fmt.Sprintf(" (step %d of %d)", e.Number, e.Total)
	}
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

func (e *StepError) Unwrap() error { return e.Err }

// stepError names the step number n (from 1) in an error.
func (p *performer) stepError(n int, detail string, err error) error {
	origin := p.plan.Origin(n)
	if target := p.target(n); target != "" {
		origin += " (" + target + ")"
	}
	e := &StepError{Number: n, Total: len(p.plan.Steps), Origin: origin, Detail: detail, Err: err}
	if p.journal {
		e.File = configFile
	}
	if n > 0 && n <= len(p.plan.Steps) && slices.ContainsFunc(p.plan.Steps[:n], makesUserNamespace) {
		e.Remedy = userNamespaceRemedy("/proc", err, makesUserNamespace(p.plan.Steps[n-1]), os.Geteuid() == 0)
	}
	return e
}

// target is where a mount step mounts: mounts[7] alone says little to a reader.
func (p *performer) target(n int) string {
	if n < 1 || n > len(p.plan.Steps) {
		return ""
	}
	switch s := p.plan.Steps[n-1].(type) {
	case *plan.Mount:
		return s.Target
	case *plan.Bind:
		return s.Target
	case *plan.Remount:
		return s.Target
	}
	return ""
}

// launching is a stage that is being started in the background, while its plan is made.
type launching struct {
	result  chan launched
	settled chan struct{}
	taken   bool
}

type launched struct {
	stage *nsexec.Stage
	err   error
}

// launchStage starts the stage, and then calls meanwhile, if there is one. What zbox inherited is out of the stage's reach by then.
func launchStage(stdio Stdio, preserve int, meanwhile func()) (*launching, error) {
	preserved, err := preservedFiles(preserve)
	if err != nil {
		return nil, err
	}
	if err := closeOnExec(); err != nil {
		return nil, err
	}
	l := &launching{result: make(chan launched, 1), settled: make(chan struct{})}
	go func() {
		defer close(l.settled)
		stage, err := nsexec.Start(nsexec.Options{Preserved: preserved, Stdio: stdio.files()})
		l.result <- launched{stage, err}
		if meanwhile != nil {
			meanwhile()
		}
	}()
	return l, nil
}

// settle waits until all is done that goes on beside the preparations.
func (l *launching) settle() { <-l.settled }

// take waits for the stage, which belongs to the caller from then on.
func (l *launching) take() (*nsexec.Stage, error) {
	l.taken = true
	r := <-l.result
	return r.stage, r.err
}

// discard ends a stage that nobody took: it gets no plan.
func (l *launching) discard() {
	if l.taken {
		return
	}
	if stage, err := l.take(); err == nil {
		stage.Close()
		stage.Reap()
	}
}

// run goes through the plan with the stage, until the start barrier or execve(2).
func (p *performer) run(l *launching) error {
	if err := p.hostSteps(0); err != nil {
		return err
	}
	var err error
	if p.stage, err = l.take(); err != nil {
		return err
	}
	if err := p.stage.Execute(p.plan, p.handed); err != nil {
		return err
	}
	p.closeHanded()
	return p.converse()
}

// answer lets the stage go on. When it has ended meanwhile, its last report is the next, and tells more than a broken pipe.
func (p *performer) answer() error {
	if err := p.stage.Ack(); err != nil && !errors.Is(err, unix.EPIPE) {
		return err
	}
	return nil
}

// converse answers the stage's reports until it needs no answers any more.
func (p *performer) converse() error {
	for {
		r, file, err := p.stage.Next()
		if err != nil {
			return err
		}
		done, err := p.report(r, file)
		if err != nil || done {
			return err
		}
	}
}

// report acts on one report and says whether the conversation is over.
func (p *performer) report(r plan.Report, file *os.File) (bool, error) {
	if (file != nil) != (r.Kind == plan.ReportConsole || r.Kind == plan.ReportSeccomp) {
		return true, errors.New("report of the stage has a descriptor too many or too few")
	}
	// The outer process was killed between clone and its report: init is nobody we know, and goes when the socket is closed.
	if p.pid == 0 && (r.Kind == plan.ReportSync || r.Kind == plan.ReportCreated) {
		return true, errors.New("the stage died before it reported the init process")
	}
	switch r.Kind {
	case plan.ReportCloned:
		p.pid = r.Value
		p.stage.Reap()
		// As soon as there is a process, not only when the plan insists on it: meanwhile the stage works on.
		return false, p.early()
	case plan.ReportSync:
		if r.Step == p.earlySync {
			return p.earlyErr != nil, p.earlyErr // done, and answered if well
		}
		if err := p.hostSteps(r.Step); err != nil {
			return true, err
		}
		return false, p.answer()
	case plan.ReportConsole:
		return false, p.sockets.gotConsole(file)
	case plan.ReportSeccomp:
		defer file.Close()
		return false, p.sendSeccomp(file)
	case plan.ReportWarning:
		p.container.runtime.opts.Warn(r.Detail)
	case plan.ReportCreated:
		p.created = true
		return true, p.sockets.sendPidfd(p.pid)
	case plan.ReportFailed:
		var cause error
		if r.Errno != 0 {
			cause = unix.Errno(r.Errno)
		}
		return true, p.stepError(r.Step, r.Detail, cause)
	case plan.ReportStarted:
		if p.earlyErr != nil {
			return true, p.earlyErr
		}
		return true, p.closed()
	}
	return false, nil
}

// closed tells why the stage closed its socket without a word: execve(2) did, or the process was killed.
func (p *performer) closed() error {
	if p.pid == 0 {
		p.stage.Reap()
		return errors.New("the stage died before it made the init process")
	}
	if p.waits() && !p.created {
		return fmt.Errorf("the init process died before the container was created%s", p.causeOfDeath())
	}
	return p.sockets.sendPidfd(p.pid)
}

// waits reports whether the plan has a start barrier.
func (p *performer) waits() bool { return plan.First[*plan.WaitStart](p.plan) > 0 }

// causeOfDeath says what the kernel knows about the end of the init process, which is our child.
func (p *performer) causeOfDeath() string {
	var status unix.WaitStatus
	pid, err := unix.Wait4(p.pid, &status, unix.WNOHANG, nil)
	if err != nil || pid != p.pid {
		return ""
	}
	text := ""
	if status.Signaled() {
		text = fmt.Sprintf(" (signal %d: %s)", int(status.Signal()), unix.SignalName(status.Signal()))
	}
	if p.outOfMemory() {
		text += tooLittleMemory
	}
	return text
}

const tooLittleMemory = ": out of memory, linux.resources.memory.limit is too small"

// outOfMemory reports whether a process in the container's new cgroup was killed for lack of memory.
func (p *performer) outOfMemory() bool {
	if p.cgroup == nil {
		return false
	}
	n, err := p.cgroup.OOMKills()
	return err == nil && n > 0
}

// early runs the host steps of the first sync already when there is an init process, if nothing but that process is needed for them:
// meanwhile the stage works on, and when it comes to the sync, the answer is there.
func (p *performer) early() error {
	if err := p.recordInit(); err != nil {
		return err
	}
	n := plan.First[*plan.Sync](p.plan)
	if n == 0 {
		return nil // there is nothing to answer
	}
	for _, s := range p.plan.Steps[n:] {
		switch s.(type) {
		case *plan.Journal, *plan.CgroupLimit, *plan.CgroupJoin:
			continue
		case plan.HostStep:
			return nil // needs what the stage has done by then
		}
		break
	}
	p.earlySync = n
	if p.earlyErr = p.hostSteps(n); p.earlyErr != nil {
		// The stage comes to the sync, or it has failed before and took the process away: then that is the reason.
		return nil
	}
	return p.answer()
}

// hostSteps runs the host steps that follow step number from, up to the next stage step.
func (p *performer) hostSteps(from int) error {
	for n := from + 1; n <= len(p.plan.Steps); n++ {
		s, ok := p.plan.Steps[n-1].(plan.HostStep)
		if !ok {
			return nil
		}
		if err := p.hostStep(s); err != nil {
			return p.stepError(n, s.Text(), err)
		}
	}
	return nil
}

// hostStep executes one step in the host's world.
func (p *performer) hostStep(s plan.HostStep) error {
	switch s := s.(type) {
	case *plan.CgroupLimit:
		return p.cgroup.Limit()
	case *plan.CgroupCreate:
		return p.createCgroup(s)
	case *plan.OpenCgroup:
		return p.openCgroup(s)
	case *plan.CgroupJoin:
		return p.joinCgroup()
	case *plan.OpenTree:
		return p.hand(s.FD, func() (*os.File, error) { return openTree(s) })
	case *plan.OpenNamespace:
		return p.hand(s.FD, func() (*os.File, error) { return openNamespace(s.Path, s.Type) })
	case *plan.OpenPidfd:
		return p.hand(s.FD, func() (*os.File, error) { return p.container.j.Init.pidfd() })
	case *plan.OpenProgram:
		return p.hand(s.FD, func() (*os.File, error) { return openPath(s.Path) })
	case *plan.OpenStart:
		return p.hand(s.FD, p.container.listenStart)
	case *plan.Journal:
		return p.recordInit()
	case *plan.MapIDs:
		return mapIDs(p.pid, s)
	case *plan.RunHook:
		return p.runtimeHook(s)
	case *plan.NetDevice:
		return moveNetDevice(p.pid, s)
	case *plan.IntelRdt:
		return p.joinResctrl(s)
	}
	return fmt.Errorf("no way to execute %T", s)
}

// hand opens the next descriptor for the stage.
func (p *performer) hand(fd plan.FD, open func() (*os.File, error)) error {
	if int(fd) != len(p.handed) {
		return fmt.Errorf("descriptor %d of the plan is opened out of turn", fd)
	}
	f, err := open()
	if err != nil {
		return err
	}
	p.handed = append(p.handed, f)
	return nil
}

func (p *performer) closeHanded() {
	for _, f := range p.handed {
		f.Close()
	}
	p.handed = nil
}

// recordInit writes the new init process to the journal.
func (p *performer) recordInit() error {
	if !p.journal || p.container.j.Init.Pid == p.pid {
		return nil
	}
	id, err := identify(p.pid)
	if err != nil {
		return err
	}
	p.container.j.Init = id
	return p.container.writeJournal()
}

// close ends the conversation; a stage that still works on the plan gives up.
func (p *performer) close() {
	p.closeHanded()
	p.sockets.close()
	if p.stage != nil {
		p.stage.Close()
		p.stage.Reap()
	}
}

// kill ends a process that was made but must not live, and reaps it.
func (p *performer) kill() {
	if p.pid > 0 {
		_ = unix.Kill(p.pid, unix.SIGKILL)
		var status unix.WaitStatus
		_ = nsexec.IgnoringEINTR(func() error {
			_, err := unix.Wait4(p.pid, &status, 0, nil)
			return err
		})
	}
}

// takeConsole hands the terminal's master over to the caller.
func (p *performer) takeConsole() *os.File {
	f := p.sockets.console
	p.sockets.console = nil
	return f
}

// files are the three descriptors, with the caller's own in place of those that are not given.
func (s Stdio) files() [3]*os.File {
	files := [3]*os.File{s.In, s.Out, s.Err}
	for i, own := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if files[i] == nil {
			files[i] = own
		}
	}
	return files
}

// preservedFiles are the inherited descriptors 3, 4, … that the container's process keeps.
func preservedFiles(count int) ([]*os.File, error) {
	var files []*os.File
	for fd := 3; fd < 3+count; fd++ {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return nil, fmt.Errorf("--preserve-fds: descriptor %d: %w", fd, err)
		}
		files = append(files, os.NewFile(uintptr(fd), fmt.Sprintf("preserved-%d", fd)))
	}
	return files, nil
}
