package integration

import (
	"encoding/json"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func withSeccomp(profile specs.LinuxSeccomp) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Linux.Seccomp = &profile }
}

// rule is a profile that allows all but the named calls.
func rule(action specs.LinuxSeccompAction, errno *uint, args []specs.LinuxSeccompArg, names ...string) specs.LinuxSeccomp {
	return specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
		Syscalls:      []specs.LinuxSyscall{{Names: names, Action: action, ErrnoRet: errno, Args: args}},
	}
}

func TestSeccompActions(t *testing.T) {
	const mkdir = "mkdir /tmp/x 2>&1; echo $?"
	for _, test := range []struct {
		name    string
		profile specs.LinuxSeccomp
		script  string
		want    string
	}{
		{"errno is EPERM", rule(specs.ActErrno, nil, nil, "mkdir", "mkdirat"), mkdir, "mkdir: can't create directory '/tmp/x': Operation not permitted\n1\n"},
		{"errno of the rule", rule(specs.ActErrno, pointer(uint(unix.ENOSPC)), nil, "mkdir", "mkdirat"), mkdir, "mkdir: can't create directory '/tmp/x': No space left on device\n1\n"},
		{"kill", rule(specs.ActKillProcess, nil, nil, "mkdir", "mkdirat"), mkdir, "159\n"},
		{"kill thread", rule(specs.ActKillThread, nil, nil, "mkdir", "mkdirat"), mkdir, "159\n"},
		{"trap", rule(specs.ActTrap, nil, nil, "mkdir", "mkdirat"), mkdir, "159\n"},
		{"log lets it pass", rule(specs.ActLog, nil, nil, "mkdir", "mkdirat"), mkdir, "0\n"},
		{"trace without a tracer", rule(specs.ActTrace, pointer(uint(7)), nil, "mkdir", "mkdirat"), mkdir, "mkdir: can't create directory '/tmp/x': Function not implemented\n1\n"},
		{"unknown names are left out", rule(specs.ActErrno, nil, nil, "nosuchcall", "mkdir", "mkdirat"), mkdir, "mkdir: can't create directory '/tmp/x': Operation not permitted\n1\n"},
		{"argument equal", rule(specs.ActErrno, nil, []specs.LinuxSeccompArg{{Index: 1, Value: 0o600, Op: specs.OpEqualTo}}, "chmod"), "touch /tmp/f; chmod 600 /tmp/f 2>/dev/null; echo $?; chmod 644 /tmp/f; echo $?", "1\n0\n"},
		{"argument greater", rule(specs.ActErrno, nil, []specs.LinuxSeccompArg{{Index: 1, Value: 0o640, Op: specs.OpGreaterThan}}, "chmod"), "touch /tmp/f; chmod 600 /tmp/f; echo $?; chmod 644 /tmp/f 2>/dev/null; echo $?", "0\n1\n"},
		{"argument masked", rule(specs.ActErrno, nil, []specs.LinuxSeccompArg{{Index: 1, Value: 0o4000, ValueTwo: 0o4000, Op: specs.OpMaskedEqual}}, "chmod"), "touch /tmp/f; chmod 755 /tmp/f; echo $?; chmod 4755 /tmp/f 2>/dev/null; echo $?", "0\n1\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			res := r.Run(NewBundle(t, withSeccomp(test.profile), Shell(test.script)))
			got := strings.ReplaceAll(res.Stdout, "Bad system call\n", "")
			if got != test.want {
				t.Errorf("saw %q, want %q; stderr %s", got, test.want, res.Stderr)
			}
		})
	}
}

func TestSeccompFlagsAreTakenByTheKernel(t *testing.T) {
	for _, flag := range []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, "SECCOMP_FILTER_FLAG_TSYNC"} {
		for name, nnp := range map[string]bool{"with": true, "without": false} {
			t.Run(string(flag)+" "+name+" no_new_privs", func(t *testing.T) {
				r := New(t)
				ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket"), "runc has flags since 1.2")
				profile := rule(specs.ActErrno, nil, nil, "mkdir")
				profile.Flags = []specs.LinuxSeccompFlag{flag}
				if seen := r.RunProbe(NewBundle(t, withSeccomp(profile), func(s *specs.Spec) { s.Process.NoNewPrivileges = nnp })); seen.Seccomp != 2 {
					t.Errorf("Seccomp %d, want a filter", seen.Seccomp)
				}
			})
		}
	}
}

// Not even exit_group(2) is allowed.
func TestSeccompThatRefusesEverythingEndsTheContainer(t *testing.T) {
	ZboxOnly(t, "runc 1.1 does not come back")
	for _, action := range []specs.LinuxSeccompAction{specs.ActErrno, specs.ActKillProcess} {
		r := New(t)
		if res := r.Run(NewBundle(t, withSeccomp(specs.LinuxSeccomp{DefaultAction: action}))); res.Code == 0 {
			t.Errorf("%s: exit 0", action)
		}
	}
}

func TestSeccompIsInForceWithAndWithoutNoNewPrivileges(t *testing.T) {
	for name, nnp := range map[string]bool{"with": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			seen := r.RunProbe(NewBundle(t, withSeccomp(rule(specs.ActErrno, nil, nil, "mkdir")), func(s *specs.Spec) { s.Process.NoNewPrivileges = nnp }))
			if seen.Seccomp != 2 || (seen.NoNewPrivs == 1) != nnp {
				t.Errorf("Seccomp %d, NoNewPrivs %d; want a filter and %v", seen.Seccomp, seen.NoNewPrivs, nnp)
			}
		})
	}
}

func TestSeccompHoldsForExec(t *testing.T) {
	r := New(t)
	c := r.Start(NewBundle(t, withSeccomp(rule(specs.ActErrno, nil, nil, "mkdir", "mkdirat")), Sleep))
	if res := c.Exec(c.ID, "/bin/mkdir", "/tmp/x"); res.Code != 1 || !strings.Contains(res.Stderr, "Operation not permitted") {
		t.Errorf("exit %d, stderr %q", res.Code, res.Stderr)
	}
}

func TestSeccompCallsNewerThanTheProfileAreENOSYS(t *testing.T) {
	r := New(t)
	// An allow list of the calls of a static busybox, all of them old: the probe's clone3 or rseq would be refused with EPERM
	// by the default action, which makes libraries give up instead of falling back.
	profile := specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64},
		Syscalls: []specs.LinuxSyscall{{Names: oldCalls, Action: specs.ActAllow}},
	}
	res := r.Run(NewBundle(t, withSeccomp(profile), Args("/bin/echo", "hello")))
	if res.Stdout != "hello\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", res.Code, res.Stdout, res.Stderr)
	}
}

var oldCalls = []string{
	"access", "arch_prctl", "brk", "capget", "capset", "chdir", "close", "dup", "dup2", "execve", "exit", "fstatfs", "exit_group", "fchown", "fcntl",
	"fstat", "futex", "getcwd", "getdents64", "getegid", "geteuid", "getgid", "getpid", "getppid", "getrandom", "getuid", "ioctl", "lseek",
	"mmap", "mprotect", "munmap", "nanosleep", "newfstatat", "open", "openat", "prctl", "prlimit64", "read", "readlink", "readlinkat",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "set_robust_list", "set_tid_address", "setgid", "setgroups", "setuid", "sigaltstack",
	"stat", "statfs", "tgkill", "uname", "wait4", "write", "writev", "epoll_ctl", "epoll_pwait", "clone", "sched_getaffinity", "mincore", "madvise",
	"sched_yield", "getsockopt", "recvmsg", "sendmsg", "accept4", "poll", "connect", "socket", "epoll_create1", "pipe2", "sendto", "recvfrom",
}

func TestInvalidSeccompIsRefused(t *testing.T) {
	for _, test := range []struct {
		name    string
		profile specs.LinuxSeccomp
	}{
		{"unknown action", rule("SCMP_ACT_NOSUCH", nil, nil, "mkdir")},
		{"unknown default action", specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_NOSUCH"}},
		{"unknown architecture", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"SCMP_ARCH_NOSUCH"}}},
		{"unknown operator", rule(specs.ActErrno, nil, []specs.LinuxSeccompArg{{Op: "SCMP_CMP_NOSUCH"}}, "mkdir")},
		{"unknown flag", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_NOSUCH"}, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}}},
		{"notify without a listener", rule(specs.ActNotify, nil, nil, "mkdir")},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			want := "seccomp"
			if test.profile.Syscalls != nil && test.profile.Syscalls[0].Action == specs.ActNotify {
				want = "listenerPath"
			}
			r.RefuseRun(NewBundle(t, withSeccomp(test.profile)), want)
		})
	}
}

// processState is what an agent receives over one connection: the container process state, and the descriptors.
func processState(t *testing.T, l *net.UnixListener) (state specs.ContainerProcessState, fds []int) {
	t.Helper()
	if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf, oob := make([]byte, 65536), make([]byte, 4096)
	n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v, want one", len(messages), err)
	}
	fds, _ = syscall.ParseUnixRights(&messages[0])
	if err := json.Unmarshal(buf[:n], &state); err != nil {
		t.Fatalf("%v: %s", err, buf[:n])
	}
	return state, fds
}

func TestSeccompListenerReceivesTheNotifyDescriptor(t *testing.T) {
	r := New(t)
	path := filepath.Join(shortDir(t), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	profile := rule(specs.ActNotify, nil, nil, "mkdir")
	profile.ListenerPath, profile.ListenerMetadata = path, "meta data"
	var c *Container
	check := func(status ...specs.ContainerState) specs.ContainerProcessState {
		t.Helper()
		state, fds := processState(t, l)
		for _, fd := range fds {
			unix.Close(fd)
		}
		if len(fds) != 1 || len(state.Fds) != 1 || state.Fds[0] != specs.SeccompFdName {
			t.Errorf("descriptors %v named %v, want one named %s", fds, state.Fds, specs.SeccompFdName)
		}
		if state.Metadata != "meta data" || state.State.Pid != c.Pid || state.State.ID != c.ID || state.State.Bundle != c.Bundle.Dir {
			t.Errorf("process state %+v", state)
		}
		if IsZbox() {
			status = status[:1]
		}
		if !slices.Contains(status, state.State.Status) {
			t.Errorf("status %s, want one of %v", state.State.Status, status)
		}
		return state
	}
	c = r.Start(NewBundle(t, withSeccomp(profile), Sleep))
	if state := check(specs.StateCreated, specs.StateCreating); state.Pid != c.Pid {
		t.Errorf("the process is %d, want the container's, %d", state.Pid, c.Pid)
	}
	c.Must("exec", c.ID, "/bin/true")
	if state := check(specs.StateRunning); state.Pid == c.Pid {
		t.Error("the process is the container's, want that of exec")
	}
}
