package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration/report"
)

// Runtime runs the runtime under test with a state root of its own.
type Runtime struct {
	Path string
	Root string
	// Marker is part of the name of all that the test makes.
	Marker string
	// Globals are flags before every command.
	Globals []string
	// User runs the runtime, nil for root.
	User *User
	t    *testing.T
	dir  string
	ids  []string
}

// Result is what one call of the runtime left.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// State is what `state` prints.
type State struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      string            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     string            `json:"created"`
	Annotations map[string]string `json:"annotations"`
	Owner       string            `json:"owner"`
}

var serial atomic.Int64

// New makes a runtime for one test. At the test's end its containers are deleted by force and leaks fail the test.
func New(t *testing.T) *Runtime {
	t.Helper()
	dir := t.TempDir()
	r := &Runtime{
		Path:   runtimePath(),
		Root:   filepath.Join(dir, "state"),
		Marker: fmt.Sprintf("zbt%d-%d", os.Getpid(), serial.Add(1)),
		t:      t,
		dir:    dir,
	}
	CheckLeaks(t, r.Marker, r.Root)
	// Runs before the leak check: clean-ups go backwards.
	t.Cleanup(r.removeAll)
	return r
}

// removeAll deletes the containers of the test by force.
func (r *Runtime) removeAll() {
	for _, id := range r.ids {
		if res := r.doReaping(r.Command("delete", "--force", id)); res.Code != 0 {
			r.t.Errorf("delete --force %s: exit %d: %s", id, res.Code, res.Stderr)
		}
	}
	r.ids = nil
}

// ID makes a container id that is deleted by force at the end of the test.
func (r *Runtime) ID(name string) string {
	id := r.Marker + "-" + name
	r.ids = append(r.ids, id)
	return id
}

// Command prepares a call of the runtime; stdio is the caller's to set.
func (r *Runtime) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(r.Path, append(append([]string{"--root", r.Root}, r.Globals...), args...)...)
	if r.User != nil {
		r.User.Dress(cmd)
	}
	return cmd
}

// Do calls the runtime and waits for it to exit. Output goes to files, not pipes, which a container that stays would hold open.
func (r *Runtime) Do(args ...string) Result {
	r.t.Helper()
	return r.DoCommand(r.Command(args...))
}

// DoCommand is Do for a prepared command; stdin defaults to /dev/null.
func (r *Runtime) DoCommand(cmd *exec.Cmd) Result {
	r.t.Helper()
	var files [2]*os.File
	for i := range files {
		f, err := os.CreateTemp(r.dir, "output-")
		if err == nil {
			err = f.Chmod(0o644) // as a shell makes it: CRIU wants a file in place of another to have the same mode
		}
		if err != nil {
			r.t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("running %v: %v", cmd.Args, err)
	}
	return Result{Stdout: r.read(files[0].Name()), Stderr: r.read(files[1].Name()), Code: exitCode(cmd.ProcessState)}
}

// doReaping is Do for a command that ends processes: dead ones that the test has adopted would keep their pid namespace,
// and so the container's first process, from going away.
func (r *Runtime) doReaping(cmd *exec.Cmd) Result {
	r.t.Helper()
	stop := keepReaping()
	defer stop()
	return r.DoCommand(cmd)
}

func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(interface{ Signaled() bool }); ok && ws.Signaled() {
		return -1
	}
	return s.ExitCode()
}

func (r *Runtime) read(path string) string {
	r.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// Must calls the runtime, fails the test unless it exits with 0, and returns its output.
func (r *Runtime) Must(args ...string) string {
	r.t.Helper()
	res := r.Do(args...)
	if res.Code != 0 {
		r.t.Fatalf("%s: exit %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), res.Code, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// Refuse calls the runtime and fails the test unless it exits with 1 and says all texts on stderr.
func (r *Runtime) Refuse(texts []string, args ...string) Result {
	r.t.Helper()
	res := r.Do(args...)
	if res.Code != 1 {
		r.t.Fatalf("%s: exit %d, want 1\nstdout: %s\nstderr: %s", strings.Join(args, " "), res.Code, res.Stdout, res.Stderr)
	}
	for _, text := range texts {
		if !strings.Contains(res.Stderr, text) {
			r.t.Errorf("%s: stderr %q does not say %q", strings.Join(args, " "), res.Stderr, text)
		}
	}
	return res
}

// Container is a container made by Create or Start.
type Container struct {
	*Runtime
	ID     string
	Pid    int
	Bundle *Bundle
	stdout string
	stderr string
}

// Create makes a container of the bundle. Its output can be read with Output.
func (r *Runtime) Create(b *Bundle, flags ...string) *Container {
	r.t.Helper()
	return r.makeBy("create", b, flags...)
}

// makeBy makes a container by a command that returns and leaves it.
func (r *Runtime) makeBy(command string, b *Bundle, flags ...string) *Container {
	r.t.Helper()
	id := r.ID("c" + strconv.Itoa(len(r.ids)))
	r.placeCgroup(b, id)
	pidFile := filepath.Join(r.dir, id+".pid")
	c := &Container{Runtime: r, ID: id, Bundle: b, stdout: filepath.Join(r.dir, id+".out"), stderr: filepath.Join(r.dir, id+".err")}
	args := append([]string{command, "--bundle", b.Dir, "--pid-file", pidFile}, flags...)
	c.runDetached(r.Command(append(args, id)...))
	pid, err := strconv.Atoi(r.read(pidFile))
	if err != nil {
		r.t.Fatalf("pid file: %v", err)
	}
	c.Pid = pid
	return c
}

func (c *Container) runDetached(cmd *exec.Cmd) {
	c.t.Helper()
	out, err := os.OpenFile(c.stdout, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		c.t.Fatal(err)
	}
	defer out.Close()
	errOut, err := os.OpenFile(c.stderr, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		c.t.Fatal(err)
	}
	defer errOut.Close()
	cmd.Stdout, cmd.Stderr = out, errOut
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("%v: %v\n%s", cmd.Args, err, c.read(c.stderr))
	}
}

// Start makes a container of the bundle and starts its process.
func (r *Runtime) Start(b *Bundle, flags ...string) *Container {
	r.t.Helper()
	c := r.Create(b, flags...)
	r.Must("start", c.ID)
	return c
}

// Output is what the container's process has written so far.
func (c *Container) Output() string {
	c.t.Helper()
	return c.read(c.stdout)
}

// Errors is what the container's process has written to stderr so far.
func (c *Container) Errors() string {
	c.t.Helper()
	return c.read(c.stderr)
}

// State asks for the container's state.
func (c *Container) State() State {
	c.t.Helper()
	var s State
	if err := json.Unmarshal([]byte(c.Must("state", c.ID)), &s); err != nil {
		c.t.Fatalf("state: %v", err)
	}
	return s
}

// WaitStopped waits until the container's process is dead, and reaps it as the engine above a runtime would.
func (c *Container) WaitStopped() unix.WaitStatus {
	c.t.Helper()
	var ws unix.WaitStatus
	Eventually(c.t, fmt.Sprintf("process %d of %s is dead", c.Pid, c.ID), func() bool {
		pid, err := unix.Wait4(c.Pid, &ws, unix.WNOHANG, nil)
		return pid == c.Pid || errors.Is(err, unix.ECHILD)
	})
	return ws
}

// Kill ends the container's process and waits for its death.
func (c *Container) Kill() {
	c.t.Helper()
	c.Must("kill", c.ID, "KILL")
	c.WaitStopped()
}

// Delete deletes the stopped container.
func (c *Container) Delete() {
	c.t.Helper()
	c.Must("delete", c.ID)
}

// Exec runs a command in the container and returns what it left.
func (c *Container) Exec(args ...string) Result {
	c.t.Helper()
	return c.Do(append([]string{"exec"}, args...)...)
}

// Probe runs the probe in the container with exec's flags and returns its report.
func (c *Container) Probe(flags ...string) report.Report {
	c.t.Helper()
	args := append([]string{"exec"}, flags...)
	return decodeReport(c.t, c.Must(append(args, c.ID, "/bin/probe")...))
}

// Run runs the bundle in the foreground.
func (r *Runtime) Run(b *Bundle, flags ...string) Result {
	r.t.Helper()
	return r.DoCommand(r.RunCommand(b, flags...))
}

// RunCommand prepares Run.
func (r *Runtime) RunCommand(b *Bundle, flags ...string) *exec.Cmd {
	id := r.ID("r" + strconv.Itoa(len(r.ids)))
	r.placeCgroup(b, id)
	return r.Command(append(append([]string{"run", "--bundle", b.Dir}, flags...), id)...)
}

// MustRun runs the bundle in the foreground, fails the test unless it exits with 0, and returns its output.
func (r *Runtime) MustRun(b *Bundle, flags ...string) string {
	r.t.Helper()
	res := r.Run(b, flags...)
	if res.Code != 0 {
		r.t.Fatalf("run: exit %d\nstdout: %s\nstderr: %s", res.Code, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// RefuseRun runs the bundle and fails the test unless the runtime refuses it with all texts on stderr.
func (r *Runtime) RefuseRun(b *Bundle, texts ...string) {
	r.t.Helper()
	res := r.Run(b)
	if res.Code != 1 {
		r.t.Fatalf("run: exit %d, want 1\nstdout: %s\nstderr: %s", res.Code, res.Stdout, res.Stderr)
	}
	for _, text := range texts {
		if !strings.Contains(strings.ToLower(res.Stderr), strings.ToLower(text)) {
			r.t.Errorf("stderr %q does not say %q", res.Stderr, text)
		}
	}
}

// RunProbe runs the bundle, whose process is the probe, and returns its report.
func (r *Runtime) RunProbe(b *Bundle, flags ...string) report.Report {
	r.t.Helper()
	return decodeReport(r.t, r.MustRun(b, flags...))
}

func decodeReport(t *testing.T, text string) report.Report {
	t.Helper()
	var seen report.Report
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	if err := dec.Decode(&seen); err != nil {
		t.Fatalf("report of the probe: %v\n%s", err, text)
	}
	return seen
}

// placeCgroup gives the container a cgroup that carries its id, at the root of the hierarchy where the runtime may make one there.
func (r *Runtime) placeCgroup(b *Bundle, id string) {
	if r.User == nil && !slices.Contains(r.Globals, "--systemd-cgroup") {
		b.PlaceCgroup(id)
	}
}

// PlaceCgroup gives the bundle's container a cgroup that carries its id, unless the configuration names one.
func (b *Bundle) PlaceCgroup(id string) {
	b.t.Helper()
	if b.Spec.Linux == nil || b.Spec.Linux.CgroupsPath != "" {
		return
	}
	raw, err := os.ReadFile(filepath.Join(b.Dir, "config.json"))
	if err != nil {
		b.t.Fatal(err)
	}
	var config map[string]any
	if json.Unmarshal(raw, &config) != nil {
		return // a test of broken JSON
	}
	linux, ok := config["linux"].(map[string]any)
	if !ok {
		return
	}
	linux["cgroupsPath"] = "/" + id
	out, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		b.t.Fatal(err)
	}
	b.WriteConfig(string(out))
}

// Has reports whether the help of a command names a flag.
func (r *Runtime) Has(command, flag string) bool {
	r.t.Helper()
	return strings.Contains(r.Do(command, "--help").Stdout, flag)
}
