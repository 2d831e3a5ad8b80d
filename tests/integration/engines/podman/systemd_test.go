//go:build engines

package podman

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bxrne/zbox/tests/integration/engines"
)

func (e *engine) systemdImage() {
	e.t.Helper()
	image := engines.Dir + "/systemd.tar"
	if _, err := os.Stat(image); err != nil {
		if err := engines.SystemdImage(image); err != nil {
			e.t.Fatal(err)
		}
	}
	if engines.Run(e.t, e.podman("image", "exists", "systemd")).Code != 0 {
		e.must("import", image, "systemd")
	}
}

// systemd comes up, runs units in cgroups of their own, and halts as podman asks it to (SIGRTMIN+3).
func TestSystemdAsInit(t *testing.T) {
	forEachUser(t, func(e *engine) {
		if !e.limited() {
			e.t.Skip("systemd needs a cgroup that it may write to")
		}
		e.systemdImage()
		for _, flags := range []string{"--systemd=always", "--systemd=true"} {
			e.must("run", "-d", "--name", "init", "--network", "none", flags, "systemd", "/lib/systemd/systemd")
			engines.Eventually(e.t, "systemd is up", func() bool {
				return engines.Run(e.t, e.podman("exec", "init", "systemctl", "is-system-running")).Stdout == "running\n"
			})
			e.check(
				engines.Case{Args: `exec init ls /ready`, Stdout: "/ready"},
				engines.Case{Args: `exec init systemctl is-active default.service`, Stdout: "active"},
				engines.Case{Args: `stop -t 60 init`, Stdout: "init"},
				engines.Case{Args: `inspect --format {{.State.ExitCode}} init`, Stdout: "7"},
				engines.Case{Args: `rm init`, Stdout: "init"},
			)
		}
	})
}

func TestSystemdMode(t *testing.T) {
	mounts := `for d in /run /run/lock /tmp /var/log/journal; do grep -q " $d tmpfs rw" /proc/mounts && echo $d; done; echo $container`
	forEachUser(t, func(e *engine) {
		e.run(
			engines.Case{Args: `--systemd=always img sh -c '` + mounts + `'`, Stdout: "/run\n/run/lock\n/tmp\n/var/log/journal\npodman"},
			engines.Case{Args: `--systemd=false img sh -c '` + mounts + `'`, Stdout: "podman"},
		)
	})
}

// manager listens where a service manager would (sd_notify(3)).
func (e *engine) manager() (path string, next func() string) {
	e.t.Helper()
	path = e.dir("x") + "/notify"
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { conn.Close() })
	if err := os.Chmod(path, 0o777); err != nil {
		e.t.Fatal(err)
	}
	return path, func() string {
		buf := make([]byte, 4096)
		_ = conn.SetReadDeadline(time.Now().Add(engines.Patience))
		n, err := conn.Read(buf)
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(string(buf[:n]))
	}
}

func TestSdnotify(t *testing.T) {
	forEachUser(t, func(e *engine) {
		e.systemdImage()
		for _, tt := range []struct{ mode, script string }{
			{"conmon", "test -z $NOTIFY_SOCKET && echo unset; exec sleep 1000"},
			{"ignore", "test -z $NOTIFY_SOCKET && echo unset; exec sleep 1000"},
			{"container", "systemd-notify --ready --status=serving && echo told; exec sleep 1000"},
		} {
			path, next := e.manager()
			cmd := e.podman("run", "-d", "--name", tt.mode, "--network", "none", "--sdnotify", tt.mode, "systemd", "sh", "-c", tt.script)
			if cmd.Env == nil {
				cmd.Env = os.Environ()
			}
			cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path)
			if res := engines.Run(e.t, cmd); res.Code != 0 {
				e.t.Fatalf("%s: %s", tt.mode, res.Stderr)
			}
			conmon := "MAINPID=" + e.must("inspect", "--format", "{{.State.ConmonPid}}", tt.mode)
			if tt.mode != "ignore" {
				e.expect(next, conmon, "READY=1")
			}
			logged := map[string]string{"container": "told"}[tt.mode]
			if logged == "" {
				logged = "unset"
			}
			engines.Eventually(e.t, tt.mode+" has run", func() bool { return e.must("logs", tt.mode) == logged })
			e.must("rm", "-f", "-t", "0", tt.mode)
		}
	})
}

// expect reads messages until all of the lines have come, in whatever order: where the container tells for itself, podman's word about
// conmon may come behind it.
func (e *engine) expect(next func() string, lines ...string) {
	e.t.Helper()
	var got []string
	for _, line := range lines {
		for !strings.Contains(fmt.Sprint(got), line) {
			message := next()
			got = append(got, message)
			if strings.Contains(message, "timeout") {
				e.t.Errorf("the manager was told %q, want %q", got, lines)
				return
			}
		}
	}
}
