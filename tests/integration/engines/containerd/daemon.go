//go:build engines

// Package containerd starts a containerd for tests, with root, state, sockets and images of its own, in the namespaces of engines.Enter.
// It is Debian's, or the one in the directory CONTAINERD (see the target engines-containerd2 of the Makefile).
package containerd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration/engines"
)

const (
	dir = "/run/engines/containerd"

	// Socket is where containerd listens.
	Socket = dir + "/containerd.sock"

	// Image is the name of busybox in containerd's store.
	Image = "docker.io/library/img:latest"

	// shims is where containerd 1.6 keeps the sockets of its shims, whatever its configuration says.
	shims = "/run/containerd/s"

	// marks is where the shim of zbox marks them while it starts.
	marks = "/run/containerd/zbox/.starting"
)

// The snapshotters that are left out need other file systems than there are.
const config = `version = 2
root = "` + dir + `/root"
state = "` + dir + `/state"
disabled_plugins = [%s
	"io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
	"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "` + Socket + `"
[debug]
level = "trace"
`

// withoutCRI is for the tests that drive containerd with ctr.
const withoutCRI = `"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
	"io.containerd.tracing.processor.v1.otlp", `

// Namespace is the test's own in containerd, and with that the parent of its containers' cgroups: other tests may run beside it.
var Namespace = fmt.Sprintf("zbox-test-%d", os.Getpid())

// Daemon is a containerd that the test has started.
type Daemon struct {
	cmd *exec.Cmd
	log *os.File
}

// Start writes the configuration, with what is given of plugins (without any, the CRI is off), starts containerd and imports Image.
func Start(plugins string) (*Daemon, error) {
	disabled := ""
	if plugins == "" {
		disabled = withoutCRI
	}
	err := errors.Join(
		os.MkdirAll(dir, 0o711),
		os.WriteFile(dir+"/config.toml", []byte(fmt.Sprintf(config, disabled)+plugins), 0o644),
		writeImage(dir+"/image.tar"))
	if err != nil {
		return nil, err
	}
	d := &Daemon{}
	if d.log, err = os.Create(dir + "/log"); err != nil {
		return nil, err
	}
	if err := d.Restart(); err != nil {
		return nil, err
	}
	for _, namespace := range []string{Namespace, "k8s.io"} {
		if out, err := exec.Command(program("ctr"), "-a", Socket, "-n", namespace, "images", "import", dir+"/image.tar").CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("importing the image: %w: %s", err, out), d.Stop())
		}
	}
	return d, nil
}

// program is the path or name of one of containerd's programs.
func program(name string) string { return filepath.Join(os.Getenv("CONTAINERD"), name) }

// Restart starts containerd again after Stop or Kill, and waits until it answers.
func (d *Daemon) Restart() error {
	d.cmd = exec.Command(program("containerd"), "-c", dir+"/config.toml")
	// containerd looks for shims on its PATH: that of zbox, and its own.
	path := []string{filepath.Dir(engines.Zbox()), os.Getenv("PATH")}
	if own := os.Getenv("CONTAINERD"); own != "" {
		path = append([]string{own}, path...)
	}
	d.cmd.Env = append(os.Environ(), "PATH="+strings.Join(path, ":"))
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(engines.Patience); exec.Command(program("ctr"), "-a", Socket, "version").Run() != nil; {
		if time.Now().After(deadline) {
			err := fmt.Errorf("containerd does not answer: %s", Complaints(d.Log()))
			return errors.Join(err, d.Stop())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// Log is what containerd has logged.
func (d *Daemon) Log() string {
	text, _ := os.ReadFile(d.log.Name())
	return string(text)
}

// Complaints are the lines of a log that are more than information and than the end of a shim, which is a warning in containerd 1.6.
func Complaints(log string) string {
	var found []string
	for line := range strings.Lines(log) {
		if !strings.Contains(line, " level=trace ") && !strings.Contains(line, " level=debug ") && !strings.Contains(line, " level=info ") && !strings.Contains(line, "cleaning up after shim disconnected") {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

// Stop ends containerd as a service manager does; the shims of containers that run stay.
func (d *Daemon) Stop() error { return d.end(unix.SIGTERM) }

// RemoveCgroups removes the cgroups, empty by now, that were the parents of those of containers.
func RemoveCgroups(parent string) error {
	var err error
	for _, pattern := range []string{"/sys/fs/cgroup/*/" + parent, "/sys/fs/cgroup/" + parent} {
		dirs, _ := filepath.Glob(pattern) // the only error is a bad pattern
		for _, dir := range dirs {
			err = errors.Join(err, os.Remove(dir))
		}
	}
	return err
}

// Kill ends containerd without any warning.
func (d *Daemon) Kill() error { return d.end(unix.SIGKILL) }

func (d *Daemon) end(sig unix.Signal) error {
	err := d.cmd.Process.Signal(sig)
	_ = d.cmd.Wait() // what ended by a signal is an error for exec
	return err
}

// Ctr is a command of containerd's own client.
func Ctr(args ...string) *exec.Cmd {
	return exec.Command(program("ctr"), append([]string{"-a", Socket, "-n", Namespace}, args...)...)
}

// Run runs a command of ctr and returns what it printed, whether it succeeds or not.
func Run(t *testing.T, args ...string) engines.Result {
	t.Helper()
	return engines.Call(t, Ctr(args...).Args...)
}

// Must is Run for what has to succeed; it returns the output without the space around it.
func Must(t *testing.T, args ...string) string {
	t.Helper()
	res := Run(t, args...)
	if res.Code != 0 {
		t.Errorf("ctr %q: exit %d: %s%s", args, res.Code, res.Stdout, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

// Root is where a running container's root file system is mounted.
func Root(namespace, id string) string {
	return filepath.Join(dir, "state/io.containerd.runtime.v2.task", namespace, id, "rootfs")
}

// Layers are the files of that name in the layers of the images.
func Layers(t *testing.T, name string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "root/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs", name))
	if err != nil || len(files) == 0 {
		t.Errorf("no layer has %s (%v)", name, err)
	}
	return files
}

// Shims are the processes of shims in this mount namespace: no other test has one there.
func Shims() []int {
	return processes("/usr/bin/containerd-shim-*", filepath.Dir(engines.Zbox())+"/containerd-shim-*", program("containerd-shim-*"))
}

// processes are those of this mount namespace whose program's path matches one of the patterns.
func processes(patterns ...string) []int {
	var found []int
	own, _ := os.Readlink("/proc/self/ns/mnt")
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		program, _ := os.Readlink(dir + "/exe") // empty for what has ended
		ns, _ := os.Readlink(dir + "/ns/mnt")
		matches := func(pattern string) bool { ok, _ := filepath.Match(pattern, program); return ok }
		if ns == own && slices.ContainsFunc(patterns, matches) {
			pid, _ := strconv.Atoi(filepath.Base(dir)) // the pattern says that it is a number
			found = append(found, pid)
		}
	}
	return found
}

// bundles are the directories of tasks.
func bundles() []string {
	found, _ := filepath.Glob(dir + "/state/io.containerd.runtime.v2.task/*/*") // the only error is a bad pattern
	return found
}

// Sockets counts the sockets of shims, and their marks, when containerd has done with killed ones. It is for storms that run one container
// at a time.
func Sockets(t *testing.T) int {
	t.Helper()
	engines.Eventually(t, "the killed shims and their bundles are gone", func() bool { return len(Shims())+len(bundles()) == 0 })
	return len(socketFiles())
}

// RemoveSockets removes what Sockets counts.
func RemoveSockets(t *testing.T) (removed int) {
	t.Helper()
	removed = Sockets(t)
	for _, socket := range socketFiles() {
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
	return removed
}

func socketFiles() []string {
	sockets, _ := filepath.Glob(shims + "/*") // the only error is a bad pattern
	marked, _ := filepath.Glob(marks + "/*")
	return append(sockets, marked...)
}

// NothingLeft waits until no container of the namespace is known to containerd or to the runtime, and until no shim, socket, bundle, root
// file system, stream or cgroup (cgroups is their pattern below a hierarchy) is there.
func NothingLeft(t *testing.T, namespace, cgroups string) {
	t.Helper()
	var left []string
	engines.Eventually(t, "nothing is left", func() bool {
		left = nil
		for _, args := range [][]string{{"tasks", "ls", "-q"}, {"containers", "ls", "-q"}} {
			list := engines.Call(t, append([]string{program("ctr"), "-a", Socket, "-n", namespace}, args...)...)
			left = append(left, strings.Fields(list.Stdout)...)
			if list.Code != 0 { // ctr 2.2 warns of cgroup v1 at every call
				left = append(left, list.Stderr)
			}
		}
		for _, state := range runtimeStates(namespace) {
			list := engines.Call(t, engines.Zbox(), "--root", state, "list", "-q")
			left = append(left, strings.Fields(list.Stdout+list.Stderr)...)
		}
		left = append(left, bundles()...)
		for _, pid := range Shims() {
			left = append(left, fmt.Sprint("shim ", pid))
		}
		for _, pattern := range []string{
			shims + "/*", marks + "/*", "/sys/fs/cgroup/*/" + cgroups + "/cgroup.procs", "/sys/fs/cgroup/" + cgroups + "/cgroup.procs",
		} {
			files, _ := filepath.Glob(pattern) // the only error is a bad pattern
			left = append(left, files...)
		}
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(mounts)) {
			if strings.Contains(line, " "+dir+"/") || strings.Contains(line, "/run/netns/") {
				left = append(left, line)
			}
		}
		return len(left) == 0
	})
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// runtimeStates are the directories in which the shims let the runtime keep the namespace's containers.
func runtimeStates(namespace string) []string {
	states, _ := filepath.Glob("/run/containerd/*/" + namespace)
	return slices.DeleteFunc(states, func(dir string) bool { return filepath.Dir(dir) == shims })
}
