package nsexec

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// Stage is a running stage, seen through its report socket.
type Stage struct {
	sock  int
	outer int // pid of the first process, 0 when it is not our child (start)
	// preserved is the number of descriptors from 3 on that the stage was started with.
	preserved int
}

// Connect makes the Stage of a container that waits at its start barrier: path is the listening socket.
func Connect(path string) (*Stage, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making the start socket: %w", err)
	}
	if err := IgnoringEINTR(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) }); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connecting to the start socket: %w", err)
	}
	return &Stage{sock: fd}, nil
}

// Listen makes the listening socket of the start barrier at path, for Options.Handed.
func Listen(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making the start socket: %w", err)
	}
	// The directory is 0700 already; the mode of the socket itself must not depend on the umask (CVE-2020-15257's lesson).
	if err := unix.Fchmod(fd, 0o600); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("restricting the start socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("binding the start socket: %w", err)
	}
	if err := unix.Listen(fd, 8); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listening on the start socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "start.sock"), nil
}

// Next returns the stage's next report, and the descriptor that came with it or nil. A socket that was closed without a word is
// plan.ReportStarted: execve(2) closed it, or the process died; the caller tells them apart by the process.
func (s *Stage) Next() (plan.Report, *os.File, error) {
	buf := make([]byte, plan.ReportSize+1)
	oob := make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	receive := func() (err error) {
		n, oobn, _, _, err = unix.Recvmsg(s.sock, buf, oob, unix.MSG_CMSG_CLOEXEC)
		return err
	}
	err := IgnoringEINTR(receive)
	// The stage ended before it read an answer. The kernel says so once, ahead of the reports that the stage has sent.
	if errors.Is(err, unix.ECONNRESET) {
		err = IgnoringEINTR(receive)
	}
	if err != nil {
		return plan.Report{}, nil, fmt.Errorf("reading the stage's report: %w", err)
	}
	if n == 0 {
		return plan.Report{Kind: plan.ReportStarted}, nil, nil
	}
	file, err := passedFile(oob[:oobn])
	if err != nil {
		return plan.Report{}, nil, err
	}
	r, err := plan.DecodeReport(buf[:n])
	if err != nil && file != nil {
		file.Close()
	}
	return r, file, err
}

// Ack lets the stage go on behind a Sync, or starts it at WaitStart.
func (s *Stage) Ack() error {
	err := IgnoringEINTR(func() error { return unix.Send(s.sock, plan.EncodeAck(), unix.MSG_NOSIGNAL) })
	if err != nil {
		return fmt.Errorf("answering the stage: %w", err)
	}
	return nil
}

// Reap waits for the stage's first process, which ends once it has made the init process (or failed).
func (s *Stage) Reap() {
	if s.outer == 0 {
		return
	}
	var status unix.WaitStatus
	_ = IgnoringEINTR(func() error {
		_, err := unix.Wait4(s.outer, &status, 0, nil)
		return err
	})
	s.outer = 0
}

// Outer is the pid of the stage's first process, 0 once it was reaped.
func (s *Stage) Outer() int { return s.outer }

// Close closes the report socket: a stage that still works on its plan gives up at its next report.
func (s *Stage) Close() { unix.Close(s.sock) }

// passedFile takes the descriptor out of a control message, if there is one.
func passedFile(oob []byte) (*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, errors.New("report of the stage carries a damaged control message")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("report of the stage carries no descriptor")
	}
	return os.NewFile(uintptr(fds[0]), "stage"), nil
}
