package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

// openPTY returns both ends of a new terminal.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		master.Close()
		slave.Close()
	})
	return master, slave
}

// silence is an input where nothing is ever typed.
func silence(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Close()
		r.Close()
	})
	return r
}

func outputFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func content(t *testing.T, f *os.File) string {
	t.Helper()
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTerminalOutputIsCompleteWhenTheProcessHasEnded(t *testing.T) {
	master, slave := openPTY(t)
	out := outputFile(t)
	terminal, err := carry(master, silence(t), out)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("0123456789abcde."), 1<<16)
	if _, err := slave.Write(want); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	terminal.end()
	if got := content(t, out); got != string(want) {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

// A daemon that the process has left behind keeps the terminal open.
func TestTerminalEndsAlthoughSomebodyHoldsIt(t *testing.T) {
	master, slave := openPTY(t)
	out := outputFile(t)
	terminal, err := carry(master, silence(t), out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slave.WriteString("last words"); err != nil {
		t.Fatal(err)
	}
	terminal.end()
	if got := content(t, out); got != "last words" {
		t.Errorf("got %q", got)
	}
}

func TestEndOfInputIsTyped(t *testing.T) {
	for _, text := range []string{"", "line\n", "no line end"} {
		master, slave := openPTY(t)
		input := writeFile(t, text)
		in, err := os.Open(input)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		terminal, err := carry(master, in, outputFile(t))
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for buf := make([]byte, 100); ; {
			n, err := unix.Read(int(slave.Fd()), buf)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			got = append(got, buf[:n]...)
		}
		if string(got) != text {
			t.Errorf("got %q, want %q", got, text)
		}
		slave.Close()
		terminal.end()
	}
}

func settings(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func TestCallersTerminalIsRawMeanwhile(t *testing.T) {
	_, callers := openPTY(t)
	before := settings(t, callers)
	master, slave := openPTY(t)
	terminal, err := carry(master, callers, outputFile(t))
	if err != nil {
		t.Fatal(err)
	}
	if raw := settings(t, callers); raw.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
		t.Errorf("the terminal is not raw: %#x", raw.Lflag)
	}
	slave.Close()
	terminal.end()
	if after := settings(t, callers); after != before {
		t.Errorf("got %+v, want %+v", after, before)
	}
}

func TestCallersTerminalIsRestoredByAPanic(t *testing.T) {
	_, callers := openPTY(t)
	before := settings(t, callers)
	master, _ := openPTY(t)
	terminal, err := carry(master, callers, outputFile(t))
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		defer terminal.restoreOnPanic()
		panic("a bug")
	}()
	if after := settings(t, callers); after != before {
		t.Errorf("got %+v, want %+v", after, before)
	}
}

func TestLostOutputHangsUp(t *testing.T) {
	master, slave := openPTY(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	terminal, err := carry(master, silence(t), full)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slave.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	<-terminal.copied
	poll := []unix.PollFd{{Fd: int32(slave.Fd())}}
	if n, err := unix.Poll(poll, 10_000); n != 1 || poll[0].Revents&unix.POLLHUP == 0 {
		t.Errorf("no hang-up: %d, %v, %#x", n, err, poll[0].Revents)
	}
	terminal.end()
}

// startProcess starts a shell script the way libzbox would, and waits for its first line.
func startProcess(t *testing.T, script string) func() (*libzbox.Process, error) {
	return func() (*libzbox.Process, error) {
		cmd := exec.Command("/bin/sh", "-c", script)
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			return nil, err
		}
		t.Cleanup(func() { out.Close() })
		return &libzbox.Process{Pid: cmd.Process.Pid}, nil
	}
}

func TestAttend(t *testing.T) {
	// Some ten seconds, so that a signal that is lost fails the test instead of hanging it.
	const loop = "for i in $(seq 1000); do sleep 0.01; done; exit 99"
	tests := []struct {
		name, script string
		signal       unix.Signal
		want         int
	}{
		{"returns the exit code", "echo; exit 7", 0, 7},
		{"returns 128+n for a signal", "echo; kill -9 $$", 0, 137},
		{"passes SIGTERM on", "trap 'exit 3' TERM; echo; " + loop, unix.SIGTERM, 3},
		{"passes SIGINT on", "trap 'exit 4' INT; echo; " + loop, unix.SIGINT, 4},
		{"passes SIGWINCH on without a terminal", "trap 'exit 5' WINCH; echo; " + loop, unix.SIGWINCH, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := startProcess(t, tt.script)
			status, err := attend(func(meanwhile func()) (*libzbox.Process, error) {
				meanwhile()
				p, err := start()
				if tt.signal != 0 {
					// To this process: attend has to pass it on.
					err = unix.Kill(os.Getpid(), tt.signal)
				}
				return p, err
			})
			if err != nil || status != tt.want {
				t.Errorf("got %d, %v, want %d", status, err, tt.want)
			}
		})
	}
}

func TestForwardableLeavesOutWhatIsOurs(t *testing.T) {
	var names []string
	for _, s := range forwardable() {
		names = append(names, unix.SignalName(s.(unix.Signal)))
	}
	list := " " + strings.Join(names, " ") + " "
	for _, name := range []string{"SIGKILL", "SIGSTOP", "SIGCHLD", "SIGURG", "SIGTTIN", "SIGTTOU"} {
		if strings.Contains(list, " "+name+" ") {
			t.Errorf("%s is forwarded", name)
		}
	}
	for _, name := range []string{"SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTSTP", "SIGCONT"} {
		// What the test was started to ignore (nohup) stays ignored.
		if !strings.Contains(list, " "+name+" ") && !signal.Ignored(unix.SignalNum(name)) {
			t.Errorf("%s is not forwarded", name)
		}
	}
}
