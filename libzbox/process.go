package libzbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/nsexec"
)

// processID identifies a process beyond the life of its pid: the start time makes a pid that was used again another one.
type processID struct {
	Pid int `json:"pid"`
	// Start is field 22 of /proc/PID/stat, in clock ticks since boot.
	Start uint64 `json:"start"`
}

// identify returns the identity of a living process.
func identify(pid int) (processID, error) {
	_, start, err := readStat(pid)
	if err != nil {
		return processID{}, err
	}
	return processID{Pid: pid, Start: start}, nil
}

// readStat returns the state letter and the start time of a process (proc_pid_stat(5), fields 3 and 22).
func readStat(pid int) (state byte, start uint64, err error) {
	var buffer [1024]byte // 52 numbers of at most 20 digits, most of them 0
	data, err := readStatFile(pid, buffer[:])
	if err != nil {
		return 0, 0, fmt.Errorf("identifying process %d: %w", pid, err)
	}
	// The command (field 2) may hold spaces and brackets: count from the last bracket.
	i := bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[i+1:]))
	if i < 0 || len(fields) < 20 || len(fields[0]) != 1 {
		return 0, 0, fmt.Errorf("identifying process %d: damaged stat file", pid)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("identifying process %d: %w", pid, err)
	}
	return fields[0][0], start, nil
}

// readStatFile reads the beginning of /proc/PID/stat with one read(2): the kernel makes the whole text anew for each file that is opened,
// and os.ReadFile would ask for more.
func readStatFile(pid int, buffer []byte) ([]byte, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buffer)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return buffer[:n], nil
}

// alive reports whether the process still runs. A zombie does not; but a thread group whose leader has ended looks like one while
// its other threads live on, and only the pidfd tells them apart (pidfd_open(2): readable once the whole process has ended).
func (p processID) alive() bool {
	if p.Pid == 0 {
		return false
	}
	state, start, err := readStat(p.Pid)
	switch {
	case err != nil || start != p.Start || state == 'X':
		return false
	case state == 'Z':
		return !ended(p.Pid)
	}
	return true
}

// exists reports whether the process runs or waits to be reaped.
func (p processID) exists() bool {
	if p.Pid == 0 {
		return false
	}
	_, start, err := readStat(p.Pid)
	return err == nil && start == p.Start
}

// ended reports whether all threads of a process have ended.
func ended(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// pidfd opens the process, checked to be the one meant. The error of a dead one is ESRCH.
func (p processID) pidfd() (*os.File, error) {
	if p.Pid == 0 {
		return nil, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	// Checked behind pidfd_open: from here on the descriptor cannot come to mean another process.
	if !p.alive() {
		f.Close()
		return nil, unix.ESRCH
	}
	return f, nil
}

// signal sends a signal through a pidfd. The error of a dead process is ESRCH.
func (p processID) signal(sig unix.Signal) error {
	f, err := p.pidfd()
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.PidfdSendSignal(int(f.Fd()), sig, nil, 0)
}

// waitGone waits until the process has ended, for at most timeout milliseconds (-1: for ever). It does not reap.
func (p processID) waitGone(timeout int) bool {
	f, err := p.pidfd()
	if err != nil {
		return true
	}
	defer f.Close()
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	var n int
	err = nsexec.IgnoringEINTR(func() (err error) {
		n, err = unix.Poll(fds, timeout)
		return err
	})
	return err == nil && n > 0
}

// Wait waits for the process, which is a child of ours, and returns its exit status: the exit code, or 128+n when signal n
// ended it.
func (p *Process) Wait() (int, error) {
	var status unix.WaitStatus
	err := nsexec.IgnoringEINTR(func() error {
		_, err := unix.Wait4(p.Pid, &status, 0, nil)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("waiting for process %d: %w", p.Pid, err)
	}
	if status.Signaled() {
		p.EndSignal = status.Signal()
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// Signal sends a signal to the process. A process that has ended is no error: its Wait tells.
func (p *Process) Signal(sig unix.Signal) error {
	if err := unix.Kill(p.Pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signalling process %d: %w", p.Pid, err)
	}
	return nil
}
