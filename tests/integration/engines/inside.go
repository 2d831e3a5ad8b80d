//go:build engines

package engines

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bxrne/zbox/tests/integration"
)

// NoMkdir is a seccomp profile that forbids what mkdir(1) calls, with EOPNOTSUPP.
const NoMkdir = `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}`

// Limits is a command that prints three limits of its container, and what it prints then.
func Limits(pids, memory, quota string) (show, want string) {
	if integration.CgroupV2() {
		return "cd /sys/fs/cgroup; cat pids.max memory.max cpu.max", strings.Join([]string{pids, memory, quota + " 100000"}, "\n")
	}
	return "cd /sys/fs/cgroup; cat pids/pids.max memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us", strings.Join([]string{pids, memory, quota}, "\n")
}

// OnTerminal starts the command with a terminal of its own, as a login shell would.
func OnTerminal(t *testing.T, cmd *exec.Cmd) *integration.Terminal {
	t.Helper()
	term, peer := integration.NewTerminal(t)
	term.Resize(90, 33)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = peer, peer, peer
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = peer.Close()
	return term
}

// UseShell types into the container's shell behind the command's terminal what a user would, and wants what a user would see.
func UseShell(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	term := OnTerminal(t, cmd)
	term.Expect("# ")
	term.Send("tty; test -t 0 && test -t 1 && test -t 2 && echo all-$((40+2))\n")
	term.Expect("/dev/pts/0")
	term.Expect("all-42")
	term.Send("stty -echo; until stty size | grep '33 9[0]'; do :; done\n")
	term.Expect("33 90")
	term.Resize(101, 44)
	// The new size comes a moment after the terminal's change.
	term.Send("until stty size | grep '44 101'; do :; done; sleep 1000\n")
	term.Expect("44 101")
	// ctrl-c ends sleep, and not the shell. One that comes before sleep has begun ends nothing.
	for deadline := time.Now().Add(Patience); !strings.Contains(term.Text(), "still-43") && time.Now().Before(deadline); {
		term.Send("\x03")
		term.Send("echo still-$((40+3))\n")
		time.Sleep(200 * time.Millisecond)
	}
	term.Expect("still-43")
	term.Send("exit 6\n")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 6 {
		t.Errorf("%q: exit %d, want 6; the terminal shows %q", cmd.Args, code, term.Text())
	}
}
