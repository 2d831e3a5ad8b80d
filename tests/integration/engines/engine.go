//go:build engines

// Package engines holds what the tests of container engines share. The engines are Debian's, started here in a mount and a network
// namespace of the test's own with a private /run, so that the machine's containers, links and packet filter stay as they are.
package engines

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is a tmpfs of the test's own, with all files of the engines, their images, the runtime and what is in /etc of users.
const Dir = "/run/engines"

// The machine's /run stays only where systemd is to be asked for cgroups, without its containerd.
const view = `[ "$MACHINE" = systemd ] || mount -t tmpfs -o mode=755 run /run
	mkdir -p /run/containerd && mount -t tmpfs -o mode=711 containerd /run/containerd
	mkdir -p /run/lock /run/engines && mount -t tmpfs -o mode=755 engines /run/engines && mkdir -m 1777 /run/engines/tmp
	ip link set lo up && exec "$@"`

// Patience is far beyond what a slow machine needs, even one whose processor is emulated.
const Patience = 2 * time.Minute

// others are the cgroups that were there before the engine.
var others []string

// Enter runs the tests behind setup, which starts the engine and returns what ends it, in namespaces of their own; it never returns.
func Enter(m *testing.M, setup func() (end func(), err error)) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the engines' tests need root: run them with sudo")
		os.Exit(1)
	}
	if os.Getenv("ENGINES") != "entered" {
		os.Exit(enterNamespaces())
	}
	others = cgroups()
	end, err := prepare(setup)
	if err != nil {
		fmt.Fprintf(os.Stderr, "starting the engine: %v\n", err)
		os.Exit(1)
	}
	code := m.Run()
	end()
	os.Exit(code)
}

// enterNamespaces runs this test binary again. The engines are those of the distribution.
func enterNamespaces() int {
	cmd := exec.Command("unshare", append([]string{"-m", "-n", "--propagation", "private", "sh", "-ec", view, "sh"}, os.Args...)...)
	cmd.Env = append(os.Environ(), "ENGINES=entered", "TMPDIR="+Dir+"/tmp", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "tests in namespaces of their own: %v\n", err)
		return 1
	}
	return 0
}

func prepare(setup func() (func(), error)) (func(), error) {
	runtime, err := os.ReadFile(Zbox())
	if err != nil {
		return nil, fmt.Errorf("runtime to test (run `make build`, or set RUNTIME): %w", err)
	}
	recorder := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s\nexec %s \"$@\"\n", Argv, Runtime())
	if err := errors.Join(os.WriteFile(Runtime(), runtime, 0o755), os.WriteFile(Recorder, []byte(recorder), 0o755), Image(Dir+"/image.tar")); err != nil {
		return nil, err
	}
	return setup()
}

// Zbox is the runtime under test.
func Zbox() string {
	if path := os.Getenv("RUNTIME"); path != "" {
		return path
	}
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "bin", "zbox")
}

// Name is what the engines call the runtime under test: zbox, or that of a control.
func Name() string { return filepath.Base(Zbox()) }

// Runtime is a copy of the runtime under test that every user may execute.
func Runtime() string { return filepath.Join(Dir, Name()) }

// Recorder is a runtime that writes its arguments to the file Argv, a line for each call, and is Runtime then.
const (
	Recorder = Dir + "/recorder"
	Argv     = Dir + "/argv"
)

// IsZbox reports whether the runtime under test is zbox.
func IsZbox() bool { return Name() == "zbox" }

// Managed reports whether this is a machine with systemd and cgroup v2, where limits are there for everyone.
func Managed() bool { return os.Getenv("MACHINE") == "systemd" }

// Containers is how many containers the long tests run: a few, or ENGINES_CONTAINERS.
func Containers(t *testing.T) int { return knob(t, "ENGINES_CONTAINERS", 24) }

// Kills is how often the tests kill what watches a container: a few times, or ENGINES_KILLS.
func Kills(t *testing.T) int { return knob(t, "ENGINES_KILLS", 8) }

func knob(t *testing.T, name string, short int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Result is what one call of an engine left.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Call runs one command of an engine's client and waits for it.
func Call(t *testing.T, args ...string) Result {
	t.Helper()
	return Run(t, exec.Command(args[0], args[1:]...))
}

// Run is Call for a prepared command, whose output it collects.
func Run(t *testing.T, cmd *exec.Cmd) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = Patience
	if err := cmd.Start(); err != nil {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	hangs := time.AfterFunc(2*Patience, func() { _ = cmd.Process.Kill() })
	defer hangs.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// Over waits for a started command, however it ends, and returns what tells whether it has ended; a command that has not in that time
// is killed, unless the time is 0.
func Over(cmd *exec.Cmd) func(time.Duration) bool {
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	return func(limit time.Duration) bool {
		select {
		case <-done:
			return true
		case <-time.After(limit):
			if limit > 0 {
				_ = cmd.Process.Kill()
			}
			return false
		}
	}
}

// Case is one command line of an engine and what a user sees of it.
type Case struct {
	Args   string // split like a shell does, without expansions
	Code   int
	Stdout string // the whole output, without space around it
	Stderr string // part of it
}

// Check runs the case's command line behind client.
func (c Case) Check(t *testing.T, client ...string) {
	t.Helper()
	c.CheckAs(t, func(args ...string) *exec.Cmd {
		return exec.Command(client[0], append(client[1:len(client):len(client)], args...)...)
	})
}

// CheckAs is Check with a client that is prepared in other ways.
func (c Case) CheckAs(t *testing.T, client func(args ...string) *exec.Cmd) {
	t.Helper()
	c.compare(t, Run(t, client(Words(c.Args)...)))
}

// CheckLossy is CheckAs with a client that may lose all of a short program's output: what comes without any is run again.
func (c Case) CheckLossy(t *testing.T, client func(args ...string) *exec.Cmd) {
	t.Helper()
	var res Result
	for range 10 {
		res = Run(t, client(Words(c.Args)...))
		if (c.Stdout == "" || res.Stdout != "") && (c.Stderr == "" || res.Stderr != "") {
			break
		}
	}
	c.compare(t, res)
}

func (c Case) compare(t *testing.T, res Result) {
	t.Helper()
	if res.Code != c.Code || strings.TrimSpace(res.Stdout) != c.Stdout || !strings.Contains(res.Stderr, c.Stderr) {
		t.Errorf("%s: exit %d, want %d\nstdout %q, want %q\nstderr %q, want %q in it", c.Args, res.Code, c.Code, res.Stdout, c.Stdout, res.Stderr, c.Stderr)
	}
}

// Words splits a line at spaces outside of single quotes.
func Words(line string) []string {
	var words []string
	quoted, begun := false, false
	var word strings.Builder
	for _, c := range line + " " {
		switch {
		case c == '\'':
			quoted, begun = !quoted, true
		case c == ' ' && !quoted:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	return words
}

// Parallel calls do for 0 to n-1, four at a time.
func Parallel(n int, do func(i int)) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range n {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wait.Wait()
}

// Eventually polls until the condition holds and fails the test when it never does.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !holds(); {
		if time.Now().After(deadline) {
			t.Errorf("after %v still not: %s", Patience, what)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// NothingLeft waits until list, a call of the runtime as one of its users, prints no container, and no cgroup of a container and no mount of its root is there.
func NothingLeft(t *testing.T, list func() *exec.Cmd) {
	t.Helper()
	var left []string
	Eventually(t, "nothing is left", func() bool {
		left = nil
		if res := Run(t, list()); res.Code != 0 || strings.TrimSpace(res.Stdout) != "" {
			left = append(left, res.Stdout+res.Stderr)
		}
		for _, dir := range cgroups() {
			if !slices.Contains(others, dir) {
				left = append(left, dir+members(dir))
			}
		}
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(mounts)) {
			if strings.Contains(line, "/merged ") {
				left = append(left, line)
			}
		}
		return len(left) == 0
	})
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// cgroups are those of containers: podman's and docker's carry an id, buildah's a number.
func cgroups() []string {
	var found []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		engine := strings.Contains(path, "libpod") || strings.Contains(path, "/docker")
		podOfRunc := !IsZbox() && filepath.Base(filepath.Dir(path)) == "libpod_parent" && len(d.Name()) == 64 // runc leaves some of them
		container := engine && hasID(d.Name()) || strings.HasPrefix(d.Name(), "buildah-buildah")
		if err == nil && d.IsDir() && container && !podOfRunc {
			found = append(found, path)
		}
		return nil // a cgroup of somebody else may go away under the walk
	})
	return found
}

// members names the processes in a cgroup.
func members(dir string) string {
	pids, _ := os.ReadFile(dir + "/cgroup.procs")
	text := ""
	for pid := range strings.FieldsSeq(string(pids)) {
		args, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		text += fmt.Sprintf(" with %q", strings.ReplaceAll(string(args), "\x00", " "))
	}
	return text
}

// hasID reports whether the name has the 64 hexadecimal digits of an id in it.
func hasID(name string) bool {
	digits := 0
	for _, c := range name {
		if digits++; !strings.ContainsRune("0123456789abcdef", c) {
			digits = 0
		}
		if digits == 64 {
			return true
		}
	}
	return false
}

// Kill ends a process that the test knows by its number; that it is gone already is no error.
func Kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Errorf("killing %d: %v", pid, err)
	}
}
