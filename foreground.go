package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

// rareSignalsAfter is when the other signals are caught as well: each costs Go two switches of thread, and a container that
// lives shorter should not pay for them.
const rareSignalsAfter = 20 * time.Millisecond

// usualSignals are those that terminals, shells and engines send to a program that has only just started.
var usualSignals = []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGWINCH}

// attend starts a process and stays with it to its end: signals to zbox are passed on, and its terminal is carried. The
// result is the exit code, 128+n when signal n ended it. start must call its argument before its first side effect: from there on
// none of the usual signals ends zbox, what comes is for the process.
func attend(start func(meanwhile func()) (*libzbox.Process, error)) (status int, err error) {
	signals := make(chan os.Signal, 128)
	all := forwardable()
	p, err := start(func() { signal.Notify(signals, slices.DeleteFunc(slices.Clone(all), isRare)...) })
	if err != nil {
		return 0, err
	}
	f := forwarder{process: p}
	if p.Console != nil {
		signal.Notify(signals, all...) // none of them may end zbox before the terminal is given back
		f.terminal, err = carry(p.Console, os.Stdin, os.Stdout)
		if err != nil {
			return 0, errors.Join(err, p.Signal(unix.SIGKILL))
		}
		defer f.terminal.giveBack()
	}
	go f.passOn(signals)
	if !exitsWithin(p.Pid, rareSignalsAfter) {
		signal.Notify(signals, all...)
		waitExited(p.Pid)
	}
	f.end()
	status, err = p.Wait()
	if f.terminal != nil {
		f.terminal.end()
	}
	return status, err
}

func isRare(s os.Signal) bool { return !slices.Contains(usualSignals, s) }

// forwarder passes signals on to a process until that has ended.
type forwarder struct {
	process  *libzbox.Process
	terminal *carrier // nil for none

	mutex sync.Mutex
	ended bool
}

// passOn forwards signals for as long as zbox lives. A process that is gone is no error: its end is being waited for.
func (f *forwarder) passOn(signals <-chan os.Signal) {
	for s := range signals {
		f.mutex.Lock()
		switch {
		case f.ended || s == unix.SIGPIPE:
		case s == unix.SIGWINCH && f.terminal != nil:
			f.terminal.resize()
		default:
			_ = f.process.Signal(s.(syscall.Signal))
		}
		f.mutex.Unlock()
	}
}

// end ends the forwarding: the process will be reaped, and its pid may become another's.
func (f *forwarder) end() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.ended = true
}

// forwardable are all signals but those that cannot be caught, that zbox gets for reasons of its own (children, the scheduler of
// Go), and that stop it when it uses its terminal from the background: catching these would make it spin. SIGPIPE is caught too, but
// not passed on: it must not end zbox before the terminal is restored, and is about zbox's own output. What zbox was started to ignore
// (nohup) stays ignored.
func forwardable() []os.Signal {
	own := map[unix.Signal]bool{
		unix.SIGKILL: true, unix.SIGSTOP: true, unix.SIGCHLD: true, unix.SIGURG: true, unix.SIGTTIN: true, unix.SIGTTOU: true,
	}
	var all []os.Signal
	for s := unix.Signal(1); s <= sigRTMax; s++ {
		// 32 and 33 belong to the C library.
		if !own[s] && s != 32 && s != 33 && !signal.Ignored(s) {
			all = append(all, s)
		}
	}
	return all
}

// exitsWithin waits for the process to end, but not longer than a time, or a signal that comes meanwhile.
func exitsWithin(pid int, most time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(most.Milliseconds()))
	return err == nil && n == 1
}

// waitExited waits until the process has ended and leaves it unreaped, so that its pid cannot have become another process while
// signals are still passed on.
func waitExited(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// runForeground runs a container to its end. The exit status of its process is the error.
func runForeground(rt *libzbox.Runtime, id string, o libzbox.CreateOptions, keep bool, rep *report) error {
	return inForeground(id, keep, rep, func(meanwhile func()) (*libzbox.Container, *libzbox.Process, error) {
		o.Meanwhile = meanwhile
		return rt.Run(id, o)
	})
}

// inForeground stays with a container to its end, and removes it then.
func inForeground(id string, keep bool, rep *report, start func(meanwhile func()) (*libzbox.Container, *libzbox.Process, error)) error {
	var container *libzbox.Container
	status, err := attend(func(meanwhile func()) (p *libzbox.Process, err error) {
		container, p, err = start(meanwhile)
		return p, err
	})
	if container != nil && !keep {
		// The container's own result matters more than a clean-up that went wrong.
		if derr := container.Remove(); derr != nil {
			rep.warn(fmt.Sprintf("%s: deleting: %v", id, derr))
		}
	}
	return ended(status, err)
}
