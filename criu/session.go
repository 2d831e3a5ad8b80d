// Package criu drives CRIU (Checkpoint/Restore In Userspace, criu.org): it starts `criu swrk`, which serves one caller over a socket that it
// inherits, and speaks its RPC.
package criu

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// The types of requests and answers (criu_req_type).
const (
	typeDump         = 1
	typeRestore      = 2
	typePreDump      = 4
	typeNotify       = 6
	typeFeatureCheck = 9
	typeVersion      = 10
)

// minVersion is the oldest CRIU whose every option here is known to it (3.16: lsm_mount_context); unknown ones it would pass over.
const minVersion = 31600

// socketFD is where criu finds its end of the socket; the descriptors of Hand come behind it.
const socketFD = 3

// maxAnswer bounds an answer, in bytes; criu's own limit is 1 MiB for requests, and answers are a few lines.
const maxAnswer = 64 << 10

// Session is one criu process. It serves one dump or restore.
type Session struct {
	cmd  *exec.Cmd
	conn *net.UnixConn
	peer *os.File // criu's end, until it is started
	// ended is closed when criu has ended; nil before it is started.
	ended chan struct{}
}

// Notification tells how far criu has got; criu waits for the answer.
type Notification struct {
	Script string   // the name of the action script, see criu(8), --action-script
	Pid    int      // of the root of the restored tree; 0 where there is none yet
	File   *os.File // the terminal's master with orphan-pts-master, which is the receiver's; else nil
}

// New prepares a criu process. Path is a program, or a name to be looked up; "" is criu. It gets stdio as its own: what is restored takes its
// pipes from there.
func New(path string, stdio [3]*os.File) (*Session, error) {
	if path == "" {
		path = "criu"
	}
	program, err := exec.LookPath(path)
	if err != nil {
		return nil, fmt.Errorf("%w; checkpoints need CRIU (the package criu)", err)
	}
	s := &Session{}
	if s.conn, s.peer, err = socketPair(); err != nil {
		return nil, fmt.Errorf("making criu's socket: %w", err)
	}
	s.cmd = exec.Command(program, "swrk", fmt.Sprint(socketFD))
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = stdio[0], stdio[1], stdio[2]
	s.cmd.ExtraFiles = []*os.File{s.peer}
	return s, nil
}

// socketPair makes our end of the socket, and criu's.
func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	own, peer := os.NewFile(uintptr(fds[0]), "criu"), os.NewFile(uintptr(fds[1]), "criu")
	defer own.Close()
	conn, err := net.FileConn(own)
	if err != nil {
		peer.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), peer, nil
}

// Program is the path of criu's program.
func (s *Session) Program() string { return s.cmd.Path }

// Hand gives criu one more descriptor and returns its number there. It must come before Start.
func (s *Session) Hand(f *os.File) int {
	s.cmd.ExtraFiles = append(s.cmd.ExtraFiles, f)
	return socketFD + len(s.cmd.ExtraFiles) - 1
}

// Apart has criu start in a cgroup namespace of its own, in which it sees all below root, the root of cgroup v2. It must come before Start.
func (s *Session) Apart(root *os.File) {
	// The child is in root's cgroup when it makes the namespace.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(root.Fd()), Unshareflags: unix.CLONE_NEWCGROUP}
}

// Start starts criu, which waits for a request, and returns its pid. An older one than is needed is an error.
func (s *Session) Start() (int, error) {
	if err := s.cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting criu: %w", err)
	}
	s.peer.Close() // so that the end of criu is the end of the socket
	s.peer = nil
	s.ended = make(chan struct{})
	go s.wait()
	return s.cmd.Process.Pid, s.checkVersion()
}

// wait ends the reading when criu ends: its children have the socket, too, and may outlive a criu that is killed. What criu has sent before is
// still read.
func (s *Session) wait() {
	_ = s.cmd.Wait()
	_ = s.conn.CloseRead()
	close(s.ended)
}

// Close ends the session, and criu with it.
func (s *Session) Close() {
	if s.peer != nil {
		s.peer.Close()
	}
	s.conn.Close()
	if s.ended != nil {
		<-s.ended
	}
}

func (s *Session) checkVersion() error {
	a, err := s.ask(typeVersion, nil)
	if err != nil {
		return fmt.Errorf("asking %s for its version: %w", s.cmd.Path, err)
	}
	if a.version < minVersion {
		return fmt.Errorf("%s is CRIU %d.%d: 3.16 or newer is needed", s.cmd.Path, a.version/10000, a.version/100%100)
	}
	return nil
}

// Dump saves the process tree.
func (s *Session) Dump(o *Options, notify func(Notification) error) error {
	_, err := s.perform(typeDump, o, notify)
	return err
}

// PreDump saves the tree's memory, and lets it go on.
func (s *Session) PreDump(o *Options, notify func(Notification) error) error {
	if err := s.require(1, "the kernel does not track changed memory"); err != nil {
		return err
	}
	_, err := s.perform(typePreDump, o, notify)
	return err
}

// Restore restores the tree and returns the pid of its root, which is a child of the caller.
func (s *Session) Restore(o *Options, notify func(Notification) error) (int, error) {
	a, err := s.perform(typeRestore, o, notify)
	return a.pid, err
}

// perform sends the request and answers criu's notifications to the end.
func (s *Session) perform(kind int, o *Options, notify func(Notification) error) (answer, error) {
	if o.LazyPages {
		if err := s.require(2, "criu or the kernel cannot hand over memory on demand"); err != nil {
			return answer{}, err
		}
	}
	var m message
	m.integer(1, kind)
	m.bytes(2, o.encode(kind == typeRestore))
	if err := s.send(m); err != nil {
		return answer{}, err
	}
	for {
		a, err := s.receive()
		if err != nil {
			return a, err
		}
		if a.kind != typeNotify {
			return a, a.failure()
		}
		// Told of the failure, criu undoes what it did; its answer to that says no more than the reason here.
		failed := notify(a.notification)
		if err := s.acknowledge(failed == nil); err != nil && failed == nil {
			return a, err
		}
		if failed != nil {
			return a, failed
		}
	}
}

func (s *Session) acknowledge(success bool) error {
	var m message
	m.integer(1, typeNotify)
	m.number(3, map[bool]uint64{true: 1}[success])
	return s.send(m)
}

// require asks whether a feature is there: 1 is mem_track, 2 is lazy_pages (criu_features).
func (s *Session) require(feature int, otherwise string) error {
	var wanted message
	wanted.flag(feature, true)
	a, err := s.ask(typeFeatureCheck, func(m *message) { m.bytes(5, wanted) })
	if err == nil && a.features&(1<<feature) == 0 {
		err = errors.New(otherwise)
	}
	return err
}

// ask sends a request behind which criu waits for the next one.
func (s *Session) ask(kind int, fill func(*message)) (answer, error) {
	var m message
	m.integer(1, kind)
	m.flag(4, true) // keep_open
	if fill != nil {
		fill(&m)
	}
	if err := s.send(m); err != nil {
		return answer{}, err
	}
	a, err := s.receive()
	if err == nil {
		err = a.failure()
	}
	return a, err
}

func (s *Session) send(m message) error {
	if _, err := s.conn.Write(m); err != nil {
		return fmt.Errorf("writing to criu: %w", err)
	}
	return nil
}

// receive reads the next answer, with the descriptor that may come with it.
func (s *Session) receive() (answer, error) {
	data := make([]byte, maxAnswer)
	control := make([]byte, unix.CmsgSpace(4))
	n, controlled, _, _, err := s.conn.ReadMsgUnix(data, control)
	if errors.Is(err, io.EOF) || err == nil && n == 0 {
		return answer{}, errors.New("criu has ended without an answer")
	}
	if err != nil {
		return answer{}, fmt.Errorf("reading from criu: %w", err)
	}
	a, err := decodeAnswer(data[:n])
	if err != nil {
		return a, err
	}
	a.notification.File, err = descriptor(control[:controlled])
	return a, err
}

// descriptor takes the descriptor out of a message, nil when there is none.
func descriptor(control []byte) (*os.File, error) {
	if len(control) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return nil, errDamaged
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errDamaged
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}
