//go:build engines

package podman

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
	"github.com/bxrne/zbox/tests/integration/engines"
)

// Limits stay below the machine's: its root may not have CAP_SYS_RESOURCE.
const containersConf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "%[4]s"
events_logger = "file"
runtime = "%[1]s"
runtime_supports_json = ["zbox", "runc", "crun", "recorder"]
runtime_supports_nocgroup = ["zbox", "crun"]
[engine.runtimes]
%[1]s = ["%[2]s"]
recorder = ["%[3]s"]
control = ["/usr/sbin/runc", "/usr/bin/runc"]
[network]
network_backend = "netavark"
`

const (
	rootNetworks = "network_config_dir = \"" + engines.Dir + "/networks\"\n"
	rootStorage  = `[storage]
driver = "overlay"
graphroot = "` + engines.Dir + `/graph"
runroot = "` + engines.Dir + `/rungraph"
[storage.options]
root-auto-userns-user = "containers"
`
)

func TestMain(m *testing.M) {
	engines.Enter(m, func() (func(), error) {
		manager := "cgroupfs"
		if engines.Managed() {
			manager = "systemd"
		}
		conf := fmt.Sprintf(containersConf, engines.Name(), engines.Runtime(), engines.Recorder, manager)
		for path, text := range map[string]string{
			engines.Dir + "/rootless.conf":             conf,
			engines.Dir + "/root.conf":                 conf + rootNetworks,
			engines.Dir + "/storage.conf":              rootStorage,
			engines.Dir + "/tmp/context/Containerfile": containerfile,
			engines.Dir + "/tmp/seccomp.json":          engines.NoMkdir,
			engines.Dir + "/tmp/pod.yaml":              podYAML,
		} {
			if err := os.MkdirAll(engines.Dir+"/tmp/context", 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return nil, err
			}
		}
		return endPause, engines.Users()
	})
}

// endPause ends the process that keeps the namespaces of the rootless podman.
func endPause() {
	text, _ := os.ReadFile(engines.Tester().Runtime + "/libpod/tmp/pause.pid")
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		_ = exec.Command("kill", "-9", strconv.Itoa(pid)).Run()
	}
}

// engine is podman as one user runs it.
type engine struct {
	t    *testing.T
	user *integration.User // nil for root
}

// The groups that rootless podman is called with.
const extraGroup = 61005

// asRoot is podman as root runs it. It fails the test if anything of its containers stays.
func asRoot(t *testing.T) *engine {
	t.Helper()
	return begin(&engine{t: t})
}

// rootless is podman as an ordinary user runs it. Where there is systemd it is a user with a session.
func rootless(t *testing.T) *engine {
	t.Helper()
	user := engines.Tester()
	if engines.Managed() {
		user = integration.NeedsUser(t, "tester")
		user.EnterSession(t, "podman")
	}
	user.Groups = []uint32{extraGroup}
	return begin(&engine{t: t, user: user})
}

// forEachUser runs the test with podman as root and rootless.
func forEachUser(t *testing.T, test func(e *engine)) {
	t.Run("root", func(t *testing.T) { test(asRoot(t)) })
	t.Run("rootless", func(t *testing.T) { test(rootless(t)) })
}

func begin(e *engine) *engine {
	e.t.Helper()
	if engines.Run(e.t, e.podman("image", "exists", "img")).Code != 0 {
		e.must("import", engines.Dir+"/image.tar", "img")
	}
	e.t.Cleanup(func() {
		e.removeAll("pod", "rm")
		e.removeAll("rm")
		e.nothingLeft()
	})
	return e
}

// removeAll removes all containers, or pods. podman 4.3 gets in its own way: it can find the /dev/shm of one busy that its clean-up process
// is about to unmount.
func (e *engine) removeAll(command ...string) {
	e.t.Helper()
	complained := ""
	engines.Eventually(e.t, fmt.Sprintf("podman %q removes all", command), func() bool {
		res := engines.Run(e.t, e.podman(append(command, "-f", "-a", "-t", "0")...))
		if res.Code != 0 && res.Stderr != complained {
			complained = res.Stderr
			e.t.Logf("podman %q: exit %d: %s", command, res.Code, complained)
		}
		return res.Code == 0
	})
}

// podman prepares a call of podman.
func (e *engine) podman(args ...string) *exec.Cmd {
	cmd := exec.Command("podman", args...)
	cmd.Dir = engines.Dir // conmon makes the file oom of a killed container where it was called
	if e.user == nil {
		cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+engines.Dir+"/root.conf", "CONTAINERS_STORAGE_CONF="+engines.Dir+"/storage.conf")
		return cmd
	}
	e.user.Dress(cmd)
	cmd.Env = append(cmd.Env, "CONTAINERS_CONF="+engines.Dir+"/rootless.conf", "TMPDIR="+engines.Dir+"/tmp")
	if !engines.Managed() {
		cmd.Env = append(cmd.Env, "HOME="+engines.Dir+"/home")
	}
	return cmd
}

// must calls podman and fails the test unless it exits with 0.
func (e *engine) must(args ...string) string {
	e.t.Helper()
	res := engines.Run(e.t, e.podman(args...))
	if res.Code != 0 {
		e.t.Errorf("podman %q: exit %d: %s%s", args, res.Code, res.Stdout, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

// check runs the cases one by one.
func (e *engine) check(cases ...engines.Case) {
	e.t.Helper()
	for _, c := range cases {
		c.CheckAs(e.t, e.podman)
	}
}

// runtime prepares a call of the runtime where podman has it keep its containers.
func (e *engine) runtime(args ...string) *exec.Cmd {
	cmd := exec.Command(engines.Runtime(), append([]string{"--root", e.state()}, args...)...)
	if e.user != nil {
		e.user.Dress(cmd)
	}
	return cmd
}

func (e *engine) state() string {
	if e.user != nil {
		return e.user.Runtime + "/" + engines.Name()
	}
	return "/run/" + engines.Name()
}

func (e *engine) nothingLeft() {
	e.t.Helper()
	if ids := e.must("ps", "-a", "-q"); ids != "" {
		e.t.Errorf("podman still has %s", ids)
	}
	engines.NothingLeft(e.t, func() *exec.Cmd { return e.runtime("list", "-q") })
}

// limited reports whether podman can limit this user's containers: on cgroup v1 it does so for root only.
func (e *engine) limited() bool { return e.user == nil || engines.Managed() }
