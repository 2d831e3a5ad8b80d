//go:build engines

package docker

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration/engines"
)

func TestRunGivesWhatIsAskedFor(t *testing.T) {
	begin(t)
	run(
		t,
		engines.Case{Args: `img sh -c 'echo out; echo err >&2; exit 3'`, Code: 3, Stdout: "out", Stderr: "err"},
		engines.Case{Args: `img nosuch`, Code: 127, Stderr: "executable file not found in $PATH"},
		engines.Case{Args: `img /nosuch/x`, Code: 127, Stderr: "no such file or directory"},
		engines.Case{Args: `img /etc/passwd`, Code: 126, Stderr: "permission denied"},
		engines.Case{Args: `-u 1000:1001 --group-add 7 img sh -c 'id -u; id -G'`, Stdout: "1000\n1001 7"},
		engines.Case{Args: `--init img sh -c 'tr \\0 \\n </proc/1/cmdline | head -n 1'`, Stdout: "/sbin/docker-init"},
		engines.Case{Args: `--hostname foo --sysctl net.ipv4.ip_forward=1 img sh -c 'hostname; cat /proc/sys/net/ipv4/ip_forward'`, Stdout: "foo\n1"},
		engines.Case{Args: `--ulimit nofile=100:200 --ulimit nproc=900:900 img sh -c 'ulimit -n; ulimit -Hn; grep -c "processes.*900.*900" /proc/self/limits'`, Stdout: "100\n200\n1"},
		engines.Case{Args: `--device /dev/fuse:/dev/other:r img stat -c %t:%T /dev/other`, Stdout: "a:e5"},
		engines.Case{Args: `--shm-size 1m img sh -c 'grep -o size=1024k /proc/mounts'`, Stdout: "size=1024k"},
		engines.Case{Args: `-t img tty`, Stdout: "/dev/pts/0"},
	)
}

func TestRunConfines(t *testing.T) {
	begin(t)
	if engines.Managed() {
		check(t, engines.Case{Args: `info --format '{{.CgroupDriver}} {{.CgroupVersion}}'`, Stdout: "systemd 2"})
	}
	show, want := engines.Limits("33", "31457280", "50000")
	run(
		t,
		engines.Case{Args: `--pids-limit 33 --memory 30m --cpus 0.5 img sh -c '` + show + `'`, Stdout: want},
		engines.Case{Args: `--cap-drop all --cap-add net_raw img grep CapPrm /proc/self/status`, Stdout: "CapPrm:\t0000000000002000"},
		engines.Case{Args: `--security-opt no-new-privileges img grep NoNewPrivs /proc/self/status`, Stdout: "NoNewPrivs:\t1"},
		engines.Case{Args: `img grep Seccomp: /proc/self/status`, Stdout: "Seccomp:\t2"},
		engines.Case{Args: `--security-opt seccomp=unconfined img grep Seccomp: /proc/self/status`, Stdout: "Seccomp:\t0"},
		engines.Case{Args: `--security-opt seccomp=` + engines.Dir + `/tmp/seccomp.json img mkdir /new`, Code: 1, Stderr: "Operation not supported"},
		engines.Case{Args: `img sh -c 'ls /proc/acpi; echo x >/proc/sys/kernel/domainname'`, Code: 1, Stderr: "Read-only file system"},
		engines.Case{Args: `--read-only --tmpfs /t img sh -c 'touch /x || touch /t/x && echo written'`, Stdout: "written", Stderr: "/x: Read-only file system"},
		engines.Case{Args: `--cap-add sys_admin --security-opt apparmor=unconfined img sh -c 'mount -t tmpfs t /tmp && echo mounted'`, Stdout: "mounted"},
	)
}

// docker is told of it by an event, which may come behind the exit.
func TestOutOfMemory(t *testing.T) {
	begin(t)
	check(t, engines.Case{Args: `run --name oom --network none --memory 16m --memory-swap 16m --tmpfs /t img dd if=/dev/zero of=/t/x bs=1M count=30`, Code: 137})
	engines.Eventually(t, "docker knows why", func() bool {
		return docker(t, "inspect", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}", "oom") == "true 137"
	})
}

func TestRunMounts(t *testing.T) {
	begin(t)
	dir := t.TempDir()
	run(
		t,
		engines.Case{Args: `--tmpfs /t:size=1m img sh -c 'grep /t.tmpfs /proc/mounts | grep -o size=1024k'`, Stdout: "size=1024k"},
		engines.Case{Args: `-v ` + dir + `:/d img sh -c 'echo content >/d/file'`},
		engines.Case{Args: `-v ` + dir + `:/d:ro img sh -c 'cat /d/file; echo x >/d/file'`, Code: 1, Stdout: "content", Stderr: "Read-only file system"},
		engines.Case{Args: `-v vol:/v img sh -c 'echo kept >/v/file'`},
		engines.Case{Args: `-v vol:/v img cat /v/file`, Stdout: "kept"},
	)
	docker(t, "volume", "rm", "vol")
}

const serve = "mkdir /w; echo content >/w/index.html; exec httpd -f -p 80 -h /w"

func TestNetworksAndPorts(t *testing.T) {
	begin(t)
	docker(t, "run", "-d", "--name", "server", "-p", "127.0.0.1:18081:80", "img", "sh", "-c", serve)
	engines.Eventually(t, "the container answers on its port", func() bool {
		return engines.Call(t, "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:18081/").Stdout == "content\n"
	})
	run(
		t,
		engines.Case{Args: `--network none img ls /sys/class/net`, Stdout: "lo"},
		engines.Case{Args: `--network bridge img ls /sys/class/net`, Stdout: "eth0\nlo"},
		engines.Case{Args: `--network host img readlink /proc/self/ns/net`, Stdout: engines.Call(t, "readlink", "-n", "/proc/self/ns/net").Stdout},
		engines.Case{Args: `--network container:server img wget -q -O - http://127.0.0.1/`, Stdout: "content"},
	)
}

func TestSharedNamespaces(t *testing.T) {
	begin(t)
	docker(t, "run", "-d", "--name", "first", "--network", "none", "--ipc", "shareable", "img", "sleep", "1000")
	pid, ipc := docker(t, "exec", "first", "readlink", "/proc/self/ns/pid"), docker(t, "exec", "first", "readlink", "/proc/self/ns/ipc")
	run(
		t,
		engines.Case{Args: `--pid container:first --ipc container:first img sh -c 'readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc'`, Stdout: pid + "\n" + ipc},
		engines.Case{Args: `--pid container:first img sh -c 'tr \\0 \  </proc/1/cmdline'`, Stdout: "sleep 1000"},
		engines.Case{Args: `--pid host img readlink /proc/self/ns/pid`, Stdout: engines.Call(t, "readlink", "-n", "/proc/self/ns/pid").Stdout},
	)
}

func TestTerminal(t *testing.T) {
	begin(t)
	docker(t, "run", "-d", "--name", "life", "--network", "none", "img", "sleep", "1000")
	for _, args := range []string{"run --rm -it --network none img sh", "exec -it life sh"} {
		engines.UseShell(t, client(engines.Words(args)...))
	}
}

const dockerfile = `FROM img
RUN echo built >/b && id -u >/id
USER 1000
WORKDIR /tmp
RUN pwd >/tmp/where && id -u >>/tmp/where
CMD cat /b /id /tmp/where
`

// The steps of the classic builder go through the daemon's default runtime, which the recorder proves.
func TestBuild(t *testing.T) {
	begin(t)
	becomeDefault(t, "recorder")
	defer becomeDefault(t, engines.Name())
	if err := os.RemoveAll(engines.Argv); err != nil {
		t.Fatal(err)
	}
	cmd := client("build", "-q", "--network", "none", "-t", "built", engines.Dir+"/tmp/context")
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	if res := engines.Run(t, cmd); res.Code != 0 {
		t.Fatalf("build: %s%s", res.Stdout, res.Stderr)
	}
	argv, err := os.ReadFile(engines.Argv)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(argv), " create "); n != 2 {
		t.Errorf("the runtime was called to create %d containers, want 2:\n%s", n, argv)
	}
	run(t, engines.Case{Args: `built`, Stdout: "built\n0\n/tmp\n1000"})
	docker(t, "rmi", "built")
}

// becomeDefault has the daemon read a configuration with that default runtime.
func becomeDefault(t *testing.T, name string) {
	t.Helper()
	if err := configure(name); err != nil {
		t.Fatal(err)
	}
	if err := dockerd.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	engines.Eventually(t, "the default runtime is "+name, func() bool {
		return docker(t, "info", "--format", "{{.DefaultRuntime}}") == name
	})
}

// Without a file of configuration, and beside docker's own default runtime.
func TestAddedRuntime(t *testing.T) {
	if !engines.IsZbox() {
		t.Skip("docker has runc of itself")
	}
	begin(t)
	stop()
	if err := startWith("--add-runtime", "zbox="+engines.Runtime()); err != nil {
		t.Fatal(err)
	}
	defer again(t)
	docker(t, "run", "-d", "--name", "added", "--runtime", "zbox", "--network", "none", "img", "sleep", "1000")
	check(
		t,
		engines.Case{Args: `info --format {{.DefaultRuntime}}`, Stdout: "runc"},
		engines.Case{Args: `inspect --format {{.HostConfig.Runtime}} added`, Stdout: "zbox"},
		engines.Case{Args: `exec added echo hello`, Stdout: "hello"},
	)
	listed := func() string {
		t.Helper()
		return engines.Run(t, runtime("list", "-q")).Stdout
	}
	if id := docker(t, "inspect", "--format", "{{.Id}}", "added"); listed() != id+"\n" {
		t.Errorf("zbox has the containers %q, want %s", listed(), id)
	}
	docker(t, "rm", "-f", "added")
	engines.Eventually(t, "zbox has no container", func() bool { return listed() == "" })
}
