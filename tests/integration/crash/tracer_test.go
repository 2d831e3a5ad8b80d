package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

// tracerName as first argument makes this test binary a tracer.
const tracerName = "kill-at-system-call"

// An actor is one of the programs that work on a container.
type actor string

const (
	zbox  actor = "zbox"
	stage actor = "stage" // all processes of the stage together
)

// A point is the moment at which an actor enters a system call for the nth time, from 1.
type point struct {
	Actor actor
	Call  string
	N     int
}

func (p point) String() string { return fmt.Sprintf("%s_enters_%s_%d", p.Actor, p.Call, p.N) }

// calls are the system calls by which zbox and the stage change something that others see, or talk to each other.
var calls = map[uint64]string{
	unix.SYS_ACCEPT4: "accept4", unix.SYS_BIND: "bind", unix.SYS_BPF: "bpf", unix.SYS_CHROOT: "chroot",
	unix.SYS_CLOSE_RANGE: "close_range", unix.SYS_CONNECT: "connect", unix.SYS_EXECVE: "execve",
	unix.SYS_EXECVEAT: "execveat", unix.SYS_EXIT_GROUP: "exit_group", unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHMODAT: "fchmodat",
	unix.SYS_FCHOWNAT: "fchownat", unix.SYS_FLOCK: "flock", unix.SYS_FSCONFIG: "fsconfig", unix.SYS_FSMOUNT: "fsmount",
	unix.SYS_FSOPEN: "fsopen", unix.SYS_KEYCTL: "keyctl", unix.SYS_KILL: "kill", unix.SYS_LINKAT: "linkat", unix.SYS_LISTEN: "listen",
	unix.SYS_MKDIRAT: "mkdirat", unix.SYS_MKNODAT: "mknodat", unix.SYS_MOUNT: "mount", unix.SYS_MOUNT_SETATTR: "mount_setattr",
	unix.SYS_MOVE_MOUNT: "move_mount", unix.SYS_OPENAT2: "openat2", unix.SYS_OPEN_TREE: "open_tree",
	unix.SYS_PIDFD_SEND_SIGNAL: "pidfd_send_signal", unix.SYS_PIVOT_ROOT: "pivot_root", unix.SYS_PPOLL: "ppoll",
	unix.SYS_RECVFROM: "recvfrom", unix.SYS_RECVMSG: "recvmsg", unix.SYS_RENAMEAT: "renameat",
	unix.SYS_RENAMEAT2: "renameat2", unix.SYS_SECCOMP: "seccomp", unix.SYS_SENDMSG: "sendmsg", unix.SYS_SENDTO: "sendto",
	unix.SYS_SETGROUPS: "setgroups", unix.SYS_SETHOSTNAME: "sethostname", unix.SYS_SETNS: "setns", unix.SYS_SETSID: "setsid",
	unix.SYS_SETRESUID: "setresuid", unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_UMOUNT2: "umount2", unix.SYS_UNLINKAT: "unlinkat",
	unix.SYS_UNSHARE: "unshare", unix.SYS_WAIT4: "wait4", unix.SYS_WAITID: "waitid", unix.SYS_WRITE: "write",
}

// A trace is what the tracer saw.
type trace struct {
	Killed bool
	Hung   bool
	Code   int     // zbox's exit code, -1 when it was killed
	Points []point // in their order, up to the kill
}

// kill runs zbox with args and kills p.Actor at p; the zero point kills nothing. attached is the pid of a stage that is
// there already, or 0.
func kill(t *testing.T, r *integration.Runtime, p point, attached int, args ...string) (trace, integration.Result) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "trace.json")
	traced := r.Command(args...)
	self := []string{tracerName, out, string(p.Actor), p.Call, strconv.Itoa(p.N), strconv.Itoa(attached)}
	cmd := osexec.Command("/proc/self/exe", append(self, traced.Args...)...)
	res := r.DoCommand(cmd)
	var seen trace
	data, err := os.ReadFile(out)
	if err != nil || json.Unmarshal(data, &seen) != nil {
		t.Fatalf("tracing %v: exit %d: %s%s", traced.Args, res.Code, res.Stderr, data)
	}
	if seen.Hung {
		t.Errorf("%v hangs behind %v", traced.Args, seen.Points)
	}
	return seen, res
}

// tracer follows zbox, its children and an attached process.
type tracer struct {
	target point
	root   int
	actors map[int]actor // by process
	groups map[int]int   // process by thread
	counts map[string]int
	seen   trace
}

// tracerMain is the process that traces: its end detaches whatever still lives.
func tracerMain(args []string) int {
	runtime.LockOSThread()
	out := args[0]
	n, _ := strconv.Atoi(args[3])
	attached, _ := strconv.Atoi(args[4])
	t := &tracer{
		target: point{actor(args[1]), args[2], n}, actors: map[int]actor{}, groups: map[int]int{},
		counts: map[string]int{},
	}
	time.AfterFunc(patience, func() {
		t.seen.Hung = true
		writeTrace(out, t.seen)
		os.Exit(1)
	})
	if err := t.run(args[5:], attached); err != nil {
		fmt.Fprintf(os.Stderr, "tracing: %v\n", err)
		return 1
	}
	writeTrace(out, t.seen)
	return 0
}

func writeTrace(path string, seen trace) {
	data, _ := json.Marshal(seen)
	_ = os.WriteFile(path, data, 0o600)
}

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
	unix.PTRACE_O_TRACEEXEC

func (t *tracer) run(argv []string, attached int) error {
	if attached != 0 {
		if err := seize(attached); err != nil {
			return fmt.Errorf("attaching: %w", err)
		}
	}
	// Stopped before its first instruction, so that it can be seized: other than the children of a tracee of PTRACE_TRACEME, those
	// of a seized one are not left with a pending SIGSTOP when the tracer goes.
	attr := &unix.SysProcAttr{Ptrace: true}
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: attr})
	if err != nil {
		return err
	}
	t.root = p.Pid
	var ws unix.WaitStatus
	if _, err := unix.Wait4(t.root, &ws, unix.WALL, nil); err != nil {
		return err
	}
	const ptraceDetach = 17
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, ptraceDetach, uintptr(t.root), 0, uintptr(unix.SIGSTOP), 0, 0); errno != 0 {
		return errno
	}
	if err := seize(t.root); err != nil {
		return err
	}
	t.groups[t.root], t.actors[t.root] = t.root, zbox
	if err := unix.Kill(t.root, unix.SIGCONT); err != nil {
		return err
	}
	return t.follow()
}

func seize(pid int) error {
	if err := unix.PtraceSeize(pid); err != nil {
		return err
	}
	if err := unix.PtraceInterrupt(pid); err != nil {
		return err
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, unix.WALL, nil); err != nil {
		return err
	}
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		return err
	}
	return unix.PtraceSyscall(pid, 0)
}

// follow handles stops until zbox has ended.
func (t *tracer) follow() error {
	for {
		var ws unix.WaitStatus
		tid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if tid == t.root && (ws.Exited() || ws.Signaled()) {
			t.seen.Code = ws.ExitStatus()
			return nil
		}
		if ws.Stopped() {
			// The thread may have been killed meanwhile: then there is nothing to continue.
			_ = unix.PtraceSyscall(tid, t.stopped(tid, ws))
		}
	}
}

// stopped handles one stop and returns the signal to deliver.
func (t *tracer) stopped(tid int, ws unix.WaitStatus) int {
	if t.groups[tid] == 0 {
		t.groups[tid] = threadGroup(tid)
	}
	pid := t.groups[tid]
	switch sig := ws.StopSignal(); {
	case sig == unix.SIGTRAP|0x80:
		t.systemCall(tid, pid)
		return 0
	case ws>>16 == unix.PTRACE_EVENT_EXEC:
		delete(t.actors, pid)
		return 0
	case ws>>16 != 0:
		return 0
	default:
		return int(sig)
	}
}

func threadGroup(tid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	_, rest, _ := strings.Cut(string(status), "\nTgid:\t")
	line, _, _ := strings.Cut(rest, "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return tid
	}
	return pid
}

func (t *tracer) actor(pid int) actor {
	if pid == t.root {
		return zbox
	}
	if _, known := t.actors[pid]; !known {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		t.actors[pid] = "other"
		if strings.HasPrefix(exe, "/memfd:zbox-nsexec") {
			t.actors[pid] = stage
		}
	}
	return t.actors[pid]
}

// syscallInfo is struct ptrace_syscall_info (ptrace(2), PTRACE_GET_SYSCALL_INFO) of an entry.
type syscallInfo struct {
	Op   uint8
	_    [3]uint8
	Arch uint32
	_    [2]uint64
	Nr   uint64
	Args [6]uint64
	_    [8]uint64
}

func (t *tracer) systemCall(tid, pid int) {
	const getSyscallInfo, entry = 0x420e, 1
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	who := t.actor(pid)
	if errno != 0 || info.Op != entry || who == "other" {
		return
	}
	name, ok := nameOf(who, &info)
	if !ok || t.seen.Killed {
		return
	}
	key := string(who) + name
	t.counts[key]++
	p := point{who, name, t.counts[key]}
	t.seen.Points = append(t.seen.Points, p)
	if p == t.target {
		t.seen.Killed = unix.Kill(pid, unix.SIGKILL) == nil
	}
}

// nameOf names a system call of the list; making a file and forking belong to it, opening one and new threads do not.
func nameOf(who actor, info *syscallInfo) (string, bool) {
	switch info.Nr {
	case unix.SYS_OPENAT:
		return "openat", info.Args[2]&unix.O_CREAT != 0
	case unix.SYS_CLONE:
		return "clone", info.Args[0]&unix.CLONE_THREAD == 0
	case unix.SYS_CLONE3: // its flags are in memory
		return "clone3", who == stage
	}
	name, ok := calls[info.Nr]
	return name, ok
}
