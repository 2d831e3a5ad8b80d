package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func withTerminal(s *specs.Spec) { s.Process.Terminal = true }

func TestConsoleSocketReceivesTheTerminal(t *testing.T) {
	r := New(t)
	path, receive := ConsoleSocket(t)
	b := NewBundle(t, withTerminal, Shell(`tty; stty size; stat -c '%u %F' /dev/console; read line; echo "got $line"; read line`), func(s *specs.Spec) {
		s.Process.ConsoleSize = &specs.Box{Width: 101, Height: 37}
		s.Process.User.UID = 1000
	})
	c := r.Create(b, "--console-socket", path)
	term := receive()
	r.Must("start", c.ID)
	term.Expect("/dev/pts/0\r\n37 101\r\n1000 character special file\r\n")
	term.Send("hello\n")
	term.Expect("got hello")
	term.Send("\n")
	c.WaitStopped()
}

func TestTerminalIsTheControllingOne(t *testing.T) {
	r := New(t)
	path, receive := ConsoleSocket(t)
	c := r.Start(NewBundle(t, withTerminal, Shell(`trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.05; done`)), "--console-socket", path)
	term := receive()
	term.Expect("ready")
	term.Send("\x03")
	term.Expect("interrupted")
	c.WaitStopped()
}

func TestTerminalInAUserNamespace(t *testing.T) {
	r := New(t)
	path, receive := ConsoleSocket(t)
	c := r.Start(NewBundle(t, WithUserNamespace, withTerminal, Shell("stat -c '%u %t' /dev/console; tty")), "--console-socket", path)
	receive().Expect("0 88\r\n/dev/pts/0")
	c.WaitStopped()
}

func TestDetachedTerminalNeedsASocket(t *testing.T) {
	r := New(t)
	b := NewBundle(t, withTerminal)
	id := r.Marker + "-none"
	b.PlaceCgroup(id)
	r.Refuse([]string{"console"}, "create", "--bundle", b.Dir, id)
}

func TestConsoleSocketWithoutATerminalIsRefused(t *testing.T) {
	r := New(t)
	path, _ := ConsoleSocket(t)
	b := NewBundle(t)
	id := r.Marker + "-none"
	b.PlaceCgroup(id)
	r.Refuse([]string{"console"}, "create", "--bundle", b.Dir, "--console-socket", path, id)
}

// onTerminal makes a command whose stdio and controlling terminal is the given one.
func onTerminal(cmd *exec.Cmd, pts *os.File) *exec.Cmd {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = pts, pts, pts
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return cmd
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	settings, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *settings
}

func TestForegroundRunOnATerminal(t *testing.T) {
	r := New(t)
	term, pts := NewTerminal(t)
	defer pts.Close()
	term.Resize(80, 24)
	before := termios(t, pts)
	sized := ""    // from the first moment on
	if !IsZbox() { // runc 1.1 sets the size when the program runs already
		sized = "until stty size >/dev/null 2>&1; do sleep 0.02; done; "
	}
	b := NewBundle(t, withTerminal, Shell(sized+`stty size; echo ready; read line; echo "got $line"
		while [ "$(stty size)" = "24 80" ]; do sleep 0.02; done; stty size; read line; exit 9`))
	cmd := onTerminal(r.RunCommand(b), pts)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term.Expect("24 80\r\nready\r\n")
	if raw := termios(t, pts); raw.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
		t.Errorf("the caller's terminal is not raw: lflag %#x", raw.Lflag)
	}
	term.Send("first\r")
	term.Expect("got first")
	term.Resize(132, 50)
	term.Expect("50 132")
	term.Send("end\r")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 9 {
		t.Errorf("exit %d, want 9; terminal %q", code, term.Text())
	}
	if after := termios(t, pts); after != before {
		t.Errorf("the terminal's settings are %+v, before the run they were %+v", after, before)
	}
}

func TestForegroundRunForwardsSignals(t *testing.T) {
	r := New(t)
	out := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := r.RunCommand(NewBundle(t, Shell(`trap 'echo hup' HUP; trap 'echo term; exit 44' TERM; echo ready; while :; do sleep 0.05; done`)))
	cmd.Stdout = f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	saw := func(text string) func() bool {
		return func() bool { return strings.Contains(r.read(out), text) }
	}
	Eventually(t, "it is ready", saw("ready"))
	_ = cmd.Process.Signal(unix.SIGHUP)
	Eventually(t, "HUP arrived", saw("hup"))
	_ = cmd.Process.Signal(unix.SIGTERM)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 44 {
		t.Errorf("exit %d, want 44", code)
	}
}

func TestExecOnATerminal(t *testing.T) {
	r := New(t)
	c := running(t, r)
	term, pts := NewTerminal(t)
	defer pts.Close()
	term.Resize(90, 30)
	cmd := onTerminal(r.Command("exec", "-t", c.ID, "/bin/sh", "-c", "tty; stty size; exit 6"), pts)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 6 {
		t.Errorf("exit %d, want 6; terminal %q", code, term.Text())
	}
	term.Expect("/dev/pts/")
	term.Expect("30 90")
}

func TestExecDetachedWithAConsoleSocket(t *testing.T) {
	r := New(t)
	c := running(t, r)
	path, receive := ConsoleSocket(t)
	r.Must("exec", "--detach", "--tty", "--console-socket", path, c.ID, "/bin/sh", "-c", "tty; read line; echo done")
	term := receive()
	term.Expect("/dev/pts/")
	term.Send("\n")
	term.Expect("done")
}

func TestPidfdSocketReceivesAPidfdOfTheProcess(t *testing.T) {
	r := New(t)
	ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket"), "runc has --pidfd-socket since 1.2")
	path, receive := DescriptorSocket(t)
	c := r.Create(NewBundle(t, Sleep), "--pidfd-socket", path)
	f := receive()
	defer f.Close()
	if link, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd()))); !strings.Contains(link, "pidfd") {
		t.Errorf("the descriptor is %q, want a pidfd", link)
	}
	if err := unix.PidfdSendSignal(int(f.Fd()), unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	c.WaitStopped()
}
