//go:build engines

// Package engines holds what the tests of container engines share. The engines are Debian's, started here in a mount and a network
// namespace of the test's own with a private /run, so that the machine's containers, links and packet filter stay as they are.
package engines

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
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

const view = `mount -t tmpfs tmpfs /run && mkdir -p /run/lock /run/tmp && ip link set lo up && exec "$@"`

// patience is far beyond what a slow machine needs.
const patience = 30 * time.Second

// others are the cgroups of containers that were there before the engine: another engine of the machine may use the same parent.
var others []string

func glob(pattern string) []string {
	found, _ := filepath.Glob(pattern) // the only error is a bad pattern
	return found
}

// Enter runs the tests behind setup, which starts the engine and returns what ends it, in namespaces of their own; it never returns.
func Enter(m *testing.M, setup func() (end func(), err error)) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the engines' tests need root: run them with sudo")
		os.Exit(1)
	}
	if os.Getenv("ENGINES") != "entered" {
		cmd := exec.Command("unshare", append([]string{"-m", "-n", "--propagation", "private", "sh", "-c", view, "sh"}, os.Args...)...)
		cmd.Env = append(os.Environ(), "ENGINES=entered", "TMPDIR=/run/tmp")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "tests in namespaces of their own: %v\n", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	others = glob("/sys/fs/cgroup/*/*/*")
	end, err := setup()
	if err != nil {
		fmt.Fprintf(os.Stderr, "starting the engine: %v\n", err)
		os.Exit(1)
	}
	code := m.Run()
	end()
	os.Exit(code)
}

// Zbox is the runtime under test.
func Zbox() string {
	if path := os.Getenv("RUNTIME"); path != "" {
		return path
	}
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "bin", "zbox")
}

// Containers is how many containers the long tests run: a few, or ENGINES_CONTAINERS.
func Containers(t *testing.T) int {
	t.Helper()
	text := os.Getenv("ENGINES_CONTAINERS")
	if text == "" {
		return 24
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("ENGINES_CONTAINERS: %v", err)
	}
	return n
}

// Image writes an image of busybox as the archive of a root filesystem.
func Image(path string) error {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return err
	}
	names, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	add := func(h tar.Header, content string) {
		h.Size = int64(len(content))
		err = errors.Join(err, w.WriteHeader(&h))
		_, werr := w.Write([]byte(content))
		err = errors.Join(err, werr)
	}
	for _, dir := range []string{"bin", "dev", "etc", "proc", "root", "sys", "tmp"} {
		add(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, "")
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, string(busybox))
	for name := range strings.FieldsSeq(string(names)) {
		if name != "busybox" {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}, "")
		}
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, "root:x:0:0:root:/root:/bin/sh\n")
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Mode: 0o644}, "root:x:0:\n")
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return os.WriteFile(path, archive.Bytes(), 0o644)
}

// Result is what one call of an engine left.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Call runs one command of an engine's client and waits for it.
func Call(t *testing.T, args ...string) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = patience
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Errorf("%q: %v", args, err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
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
	res := Call(t, append(client, Words(c.Args)...)...)
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
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			t.Errorf("after %v still not: %s", patience, what)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// NothingLeft waits until no container of zbox below root, no cgroup that the pattern matches in any hierarchy and no mount of a
// container's root is there.
func NothingLeft(t *testing.T, root, cgroups string) {
	t.Helper()
	var left []string
	Eventually(t, "nothing is left", func() bool {
		left = nil
		if list := Call(t, Zbox(), "--root", root, "list", "-q"); list.Code != 0 || strings.TrimSpace(list.Stdout) != "" {
			left = append(left, list.Stdout+list.Stderr)
		}
		for _, dir := range glob("/sys/fs/cgroup/*/" + cgroups) {
			if !slices.Contains(others, dir) {
				left = append(left, dir)
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

// Kill ends a process that the test knows by its number; that it is gone already is no error.
func Kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Errorf("killing %d: %v", pid, err)
	}
}
