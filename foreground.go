package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

// rareSignalsAfter is when the other signals are caught as well: a container that lives shorter should not pay for them.
const rareSignalsAfter = 20 * time.Millisecond

// usualSignals are those that terminals, shells and service managers send.
var usualSignals = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGPIPE,
}

// attend starts a process and stays with it to its end: signals to zbox are passed on, and its terminal is carried. The
// result is the exit code, 128+n when signal n ended it.
func attend(start func() (*libzbox.Process, error)) (status int, err error) {
	// From here on none of the usual signals ends zbox: what comes during start is for the process. Each costs Go two switches of
	// thread, so the rare ones wait until the process runs.
	signals := make(chan os.Signal, 128)
	all := forwardable()
	usual := slices.DeleteFunc(slices.Clone(all), func(s os.Signal) bool { return !slices.Contains(usualSignals, s) })
	signal.Notify(signals, usual...)
	p, err := start()
	if err != nil {
		return 0, err
	}
	rare := time.AfterFunc(rareSignalsAfter, func() { signal.Notify(signals, all...) })
	defer rare.Stop()
	var terminal *carrier
	if p.Console != nil {
		terminal, err = carry(p.Console, os.Stdin, os.Stdout)
		if err != nil {
			return 0, errors.Join(err, p.Signal(unix.SIGKILL))
		}
		defer terminal.giveBack()
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		passOn(p, terminal, signals, stop)
	}()
	waitExited(p.Pid)
	close(stop)
	<-stopped
	status, err = p.Wait()
	if terminal != nil {
		terminal.end()
	}
	return status, err
}

// passOn forwards signals until stop is closed. A process that is gone is no error: its end is being waited for.
func passOn(p *libzbox.Process, terminal *carrier, signals <-chan os.Signal, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case s := <-signals:
			switch {
			case s == unix.SIGPIPE:
			case s == unix.SIGWINCH && terminal != nil:
				terminal.resize()
			default:
				_ = p.Signal(s.(syscall.Signal))
			}
		}
	}
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
	var container *libzbox.Container
	status, err := attend(func() (p *libzbox.Process, err error) {
		container, p, err = rt.Run(id, o)
		return p, err
	})
	if container != nil && !keep {
		// The container's own result matters more than a clean-up that went wrong.
		if derr := container.Remove(); derr != nil {
			rep.warn(fmt.Sprintf("run %s: deleting: %v", id, derr))
		}
	}
	return ended(status, err)
}
