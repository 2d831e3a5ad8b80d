package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

// codeTimeout is the exit code of a sandbox that was killed by its timeout, as that of timeout(1).
const codeTimeout = 124

// outcome is how a sandbox ended, the content of --result FILE. docs/sandbox.md describes it.
type outcome struct {
	ID       string `json:"id"`
	ExitCode int    `json:"exit_code"`
	// Signal is the name of the signal that ended the program, such as SIGKILL.
	Signal string `json:"signal,omitempty"`
	Reason string `json:"reason"`
	// Error is why nothing ran.
	Error           string  `json:"error,omitempty"`
	WallSeconds     float64 `json:"wall_seconds"`
	CPUSeconds      float64 `json:"cpu_seconds"`
	MemoryPeakBytes uint64  `json:"memory_peak_bytes"`
	OOMKills        uint64  `json:"oom_kills"`
	PidsLimitHits   uint64  `json:"pids_limit_hits"`
}

// The reasons of an outcome; the first that holds counts.
const (
	reasonError   = "error"
	reasonTimeout = "timeout"
	reasonMemory  = "out_of_memory"
	reasonPids    = "pids_limit"
	reasonSignal  = "signal"
	reasonExit    = "exit"
)

// runForeground runs the sandbox to its end and says which limits it met.
func (s *sandbox) runForeground() error {
	var container *libzbox.Container
	var process *libzbox.Process
	var timedOut atomic.Bool
	begun := time.Now()
	status, err := attend(func(meanwhile func()) (_ *libzbox.Process, err error) {
		s.options.Meanwhile = meanwhile
		if container, process, err = s.rt.Run(s.id, s.options); err != nil {
			return nil, s.inWords(err)
		}
		if seconds := s.cfg.TimeoutSeconds; seconds > 0 {
			time.AfterFunc(time.Duration(seconds)*time.Second, func() {
				timedOut.Store(true)
				if err := container.End(); err != nil {
					s.report.warn(fmt.Sprintf("%s: timeout_seconds: %v", s.id, err))
				}
			})
		}
		return process, s.started()
	})
	cleared := s.clearRoot(container)
	defer func() { <-cleared }()
	o := outcome{ID: s.id, ExitCode: status, WallSeconds: time.Since(begun).Seconds()}
	if container != nil {
		o.count(container.Usage())
	}
	o.decide(process, timedOut.Load(), err)
	s.sayLimits(&o)
	if container != nil && !s.keep {
		// The program's own result matters more than a clean-up that went wrong.
		if derr := container.Remove(); derr != nil {
			s.report.warn(fmt.Sprintf("%s: deleting: %v", s.id, derr))
		}
	}
	if werr := s.result.write(&o); werr != nil {
		return werr
	}
	return ended(o.ExitCode, err)
}

// clearRoot removes the skeleton of a sandbox that has ended, while the container is removed: both take about as long.
func (s *sandbox) clearRoot(c *libzbox.Container) <-chan struct{} {
	cleared := make(chan struct{})
	go func() {
		defer close(cleared)
		if c != nil && !s.keep {
			_ = os.RemoveAll(filepath.Join(s.options.Bundle, "rootfs")) // the rest goes with the bundle
		}
	}()
	return cleared
}

func (o *outcome) count(u libzbox.Usage) {
	o.CPUSeconds, o.MemoryPeakBytes, o.OOMKills, o.PidsLimitHits = u.CPU.Seconds(), u.MemoryPeak, u.OOMKills, u.PidsHits
	if u.CPU == 0 { // no cgroup: what the kernel counted for the processes that were waited for
		var own unix.Rusage
		if unix.Getrusage(unix.RUSAGE_CHILDREN, &own) == nil {
			o.CPUSeconds = float64(own.Utime.Nano()+own.Stime.Nano()) / 1e9
		}
	}
}

// decide finds the reason. A program that ended by itself just before its timeout did not time out.
func (o *outcome) decide(p *libzbox.Process, timedOut bool, err error) {
	if p != nil && p.EndSignal != 0 {
		o.Signal = unix.SignalName(p.EndSignal)
	}
	switch {
	case err != nil:
		o.Reason, o.Error, o.ExitCode = reasonError, err.Error(), codeFailed
	case timedOut && p.EndSignal == unix.SIGKILL:
		o.Reason, o.ExitCode = reasonTimeout, codeTimeout
	case o.OOMKills > 0:
		o.Reason = reasonMemory
	case o.PidsLimitHits > 0:
		o.Reason = reasonPids
	case o.Signal != "":
		o.Reason = reasonSignal
	default:
		o.Reason = reasonExit
	}
}

// sayLimits prints a line for each limit that the sandbox met: an exit code of 137 alone says nothing.
func (s *sandbox) sayLimits(o *outcome) {
	if o.Reason == reasonTimeout {
		s.report.warn(fmt.Sprintf("%s: killed after %d s (timeout_seconds)", s.id, s.cfg.TimeoutSeconds))
	}
	if o.OOMKills > 0 {
		s.report.warn(fmt.Sprintf("%s: out of memory: the kernel killed %s (memory_limit_mb is %d)", s.id, countOf(o.OOMKills, "process", "processes"), s.cfg.MemoryLimitMB))
	}
	if o.PidsLimitHits > 0 {
		s.report.warn(fmt.Sprintf("%s: too many processes: the kernel refused %s (pids_limit is %d)", s.id, countOf(o.PidsLimitHits, "new one", "new ones"), s.cfg.PidsLimit))
	}
}

func countOf(n uint64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// resultFile is that of --result. It is opened before the sandbox starts: one that cannot be written is found out in time.
type resultFile struct {
	file    *os.File
	written bool
}

// openResult returns nil for no path.
func openResult(path string) (*resultFile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, fmt.Errorf("opening --result: %w", err)
	}
	return &resultFile{file: f}, nil
}

func (r *resultFile) write(o *outcome) error {
	if r == nil || r.written {
		return nil
	}
	r.written = true
	data, err := json.MarshalIndent(o, "", "  ")
	if err == nil {
		_, err = r.file.Write(append(data, '\n'))
	}
	if err = errors.Join(err, r.file.Close()); err != nil {
		return fmt.Errorf("writing --result: %w", err)
	}
	return nil
}

// writeError is the outcome of a sandbox that did not come to run, unless there is one already.
func (r *resultFile) writeError(id string, err error) error {
	if err == nil {
		return nil
	}
	return r.write(&outcome{ID: id, ExitCode: codeFailed, Reason: reasonError, Error: err.Error()})
}
