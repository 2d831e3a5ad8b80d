package shim

import (
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A process is the init of a container, or one of exec.
type process struct {
	container *container
	execID    string         // "" for init
	spec      *specs.Process // nil for init
	stdio     stdio

	// starting is held while the process is started. Its exit is told behind it: never before its start.
	starting sync.Mutex

	// killing is held, shared, while a signal is sent. The exit is told behind it: containerd deletes the task then and hangs up, and the
	// answer would be lost.
	killing sync.RWMutex

	mu       sync.Mutex
	status   task.Status
	child    *child // nil until there is a process
	streams  *streams
	code     uint32 // exit status
	exitedAt time.Time
	ended    chan struct{} // closed when code is known
}

func newProcess(c *container, execID string, o stdio) *process {
	return &process{container: c, execID: execID, stdio: o, ended: make(chan struct{})}
}

// made notes that there is a process now.
func (p *process) made(c *child, st *streams, status task.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.child, p.streams, p.status = c, st, status
}

func (p *process) setStatus(status task.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// An exit that comes first stays.
	if p.status != task.Status_STOPPED {
		p.status = status
	}
}

// exit notes the end of the process.
func (p *process) exit(code uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.code, p.exitedAt, p.status = code, time.Now(), task.Status_STOPPED
	close(p.ended)
}

// discard ends an init that waits for its start, or is to be restored and is not there yet.
func (p *process) discard() error {
	p.starting.Lock()
	p.mu.Lock()
	child, status := p.child, p.status
	p.mu.Unlock()
	if child == nil && status == task.Status_CREATED {
		p.exit(killed)
	}
	p.starting.Unlock()
	if status == task.Status_RUNNING { // started meanwhile
		return precondition("container %s still runs", p.container.id)
	}
	if child != nil {
		_ = child.signal(unix.SIGKILL) // it may be ending
		<-p.ended
	}
	return nil
}

func (p *process) currentStatus() task.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// pid is 0 while there is no process; it stays when the process has ended.
func (p *process) pid() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == nil {
		return 0
	}
	return uint32(p.child.pid)
}

func (p *process) openedStreams() *streams {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.streams
}

// exitStatus is 0 and nil until the process has ended.
func (p *process) exitStatus() (uint32, *timestamppb.Timestamp) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status != task.Status_STOPPED {
		return 0, nil
	}
	return p.code, timestamppb.New(p.exitedAt)
}

// state is what the task API tells of a process.
func (p *process) state() *taskapi.StateResponse {
	code, at := p.exitStatus()
	status := p.currentStatus()
	if p.execID == "" && status == task.Status_RUNNING && p.container.paused.Load() {
		status = task.Status_PAUSED
	}
	return &taskapi.StateResponse{
		ID: p.container.id, Bundle: p.container.bundle, Pid: p.pid(), Status: status, ExecID: p.execID,
		Stdin: p.stdio.stdin, Stdout: p.stdio.stdout, Stderr: p.stdio.stderr, Terminal: p.stdio.terminal,
		ExitStatus: code, ExitedAt: at,
	}
}
