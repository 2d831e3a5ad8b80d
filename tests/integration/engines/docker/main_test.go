//go:build engines

package docker

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration/engines"
)

const (
	socket  = "unix:///run/engines/docker.sock"
	pidFile = engines.Dir + "/docker.pid"
	execDir = engines.Dir + "/docker-exec"

	configFile = engines.Dir + "/daemon.json"
)

// configure names the runtimes, and the default one, in the daemon's configuration. docker has a runtime runc of its own.
func configure(defaultRuntime string) error {
	runtimes := fmt.Sprintf(`"recorder": {"path": %q}`, engines.Recorder)
	if engines.Name() != "runc" {
		runtimes += fmt.Sprintf(`, %q: {"path": %q}`, engines.Name(), engines.Runtime())
	}
	return os.WriteFile(configFile, fmt.Appendf(nil, `{"runtimes": {%s}, "default-runtime": %q}`, runtimes, defaultRuntime), 0o644)
}

// dockerd is the daemon of all tests; a test may start it again.
var dockerd *exec.Cmd

func TestMain(m *testing.M) {
	engines.Enter(m, func() (func(), error) {
		if err := os.MkdirAll(engines.Dir+"/tmp/context", 0o755); err != nil {
			return nil, err
		}
		for path, text := range map[string]string{
			engines.Dir + "/tmp/context/Dockerfile": dockerfile,
			engines.Dir + "/tmp/seccomp.json":       engines.NoMkdir,
		} {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return nil, err
			}
		}
		if err := errors.Join(configure(engines.Name()), start()); err != nil {
			return nil, err
		}
		if out, err := client("import", engines.Dir+"/image.tar", "img").CombinedOutput(); err != nil {
			stop()
			return nil, fmt.Errorf("importing the image: %w: %s", err, out)
		}
		return end, nil
	})
}

// start starts dockerd, with the runtime as its default one, and waits for its answer. Containers outlive it.
func start() error { return startWith("--config-file", configFile) }

func startWith(flags ...string) error {
	log, err := os.OpenFile(engines.Dir+"/dockerd.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	flags = append(flags, "--data-root", engines.Dir+"/docker-data", "--exec-root", execDir, "-H", socket, "--pidfile", pidFile,
		"--live-restore", "--default-ulimit", "nofile=1024:1024")
	dockerd = exec.Command("dockerd", flags...)
	dockerd.Stdout, dockerd.Stderr = log, log
	if err := dockerd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(engines.Patience); client("version").Run() != nil; {
		if time.Now().After(deadline) {
			stop()
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("dockerd does not answer: %s", text[max(0, len(text)-3000):])
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// stop ends dockerd, which ends its containerd.
func stop() {
	_ = dockerd.Process.Signal(unix.SIGTERM)
	_ = dockerd.Wait()
}

// end is stop, and ends what failed tests have left.
func end() {
	_ = exec.Command("sh", "-c", "docker -H "+socket+" rm -f $(docker -H "+socket+" ps -a -q)").Run()
	stop()
	for _, name := range []string{"containerd", "containerd-shim"} {
		for _, pid := range processes(name) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// crash ends dockerd and its containerd as a failure of the machine's memory would, and starts dockerd again.
func crash(t *testing.T) {
	t.Helper()
	_ = dockerd.Process.Kill()
	_ = dockerd.Wait()
	for _, pid := range processes("containerd") {
		engines.Kill(t, pid)
	}
	// dockerd takes a process of that number, even a dead one that nobody has waited for, for its containerd.
	if err := errors.Join(os.RemoveAll(pidFile), os.RemoveAll(execDir+"/containerd/containerd.pid"), start()); err != nil {
		t.Fatal(err)
	}
}

// processes are those of this test whose name is that one: they have its mount namespace.
func processes(name string) []int {
	var pids []int
	own, _ := os.Readlink("/proc/self/ns/mnt")
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, _ := os.ReadFile("/proc/" + e.Name() + "/comm")
		if theirs, _ := os.Readlink("/proc/" + e.Name() + "/ns/mnt"); theirs == own && strings.TrimSpace(string(text)) == name {
			pids = append(pids, pid)
		}
	}
	return pids
}

func client(args ...string) *exec.Cmd {
	return exec.Command("docker", append([]string{"-H", socket}, args...)...)
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	res := engines.Run(t, client(args...))
	if res.Code != 0 {
		t.Errorf("docker %q: exit %d: %s%s", args, res.Code, res.Stdout, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

func check(t *testing.T, cases ...engines.Case) {
	t.Helper()
	for _, c := range cases {
		c.CheckAs(t, client)
	}
}

// run is check for `docker run`, without network where none is asked for: that takes time.
func run(t *testing.T, cases ...engines.Case) {
	t.Helper()
	for _, c := range cases {
		if !strings.Contains(c.Args, "--network") {
			c.Args = "--network none " + c.Args
		}
		c.Args = "run --rm " + c.Args
		check(t, c)
	}
}

// begin fails the test if anything of its containers stays.
func begin(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		engines.Eventually(t, "all containers are removed", func() bool {
			ids := docker(t, "ps", "-a", "-q")
			for id := range strings.FieldsSeq(ids) {
				engines.Run(t, client("rm", "-f", id)) // fails where docker is about to remove it
			}
			return ids == ""
		})
		nothingLeft(t)
	})
}

func nothingLeft(t *testing.T) {
	t.Helper()
	if ids := docker(t, "ps", "-a", "-q"); ids != "" {
		t.Errorf("docker still has %s", ids)
	}
	engines.NothingLeft(t, func() *exec.Cmd { return runtime("list", "-q") })
	engines.Eventually(t, "no shim is left", func() bool { return len(processes("containerd-shim")) == 0 })
}

// runtime prepares a call of the runtime where docker has it keep its containers, whatever the runtime's name.
func runtime(args ...string) *exec.Cmd {
	return exec.Command(engines.Runtime(), append([]string{"--root", execDir + "/runtime-runc/moby"}, args...)...)
}
