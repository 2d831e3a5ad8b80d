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
	socket = "unix:///run/docker.sock"
	state  = "/run/docker-exec/runtime-zbox/moby"
)

func TestMain(m *testing.M) { engines.Enter(m, start) }

// start starts dockerd with zbox as its default runtime and makes the image.
func start() (func(), error) {
	log, err := os.Create("/run/dockerd.log")
	if err != nil {
		return nil, err
	}
	dockerd := exec.Command("dockerd", "--data-root", "/run/docker-data", "--exec-root", "/run/docker-exec", "-H", socket,
		"--pidfile", "/run/docker.pid", "--add-runtime", "zbox="+engines.Zbox(), "--default-runtime", "zbox", "--default-ulimit", "nofile=1024:1024")
	dockerd.Stdout, dockerd.Stderr = log, log
	if err := dockerd.Start(); err != nil {
		return nil, err
	}
	end := func() {
		_ = dockerd.Process.Signal(unix.SIGTERM)
		_ = dockerd.Wait()
	}
	for deadline := time.Now().Add(time.Minute); exec.Command("docker", "-H", socket, "version").Run() != nil; {
		if time.Now().After(deadline) {
			end()
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("dockerd does not answer: %s", text)
		}
		time.Sleep(20 * time.Millisecond)
	}
	err = errors.Join(engines.Image("/run/image.tar"), exec.Command("docker", "-H", socket, "import", "/run/image.tar", "img").Run())
	if err != nil {
		end()
	}
	return end, err
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	res := engines.Call(t, append([]string{"docker", "-H", socket}, args...)...)
	if res.Code != 0 {
		t.Errorf("docker %q: exit %d: %s%s", args, res.Code, res.Stdout, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

func begin(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		for id := range strings.FieldsSeq(docker(t, "ps", "-a", "-q")) {
			docker(t, "rm", "-f", id)
		}
		engines.NothingLeft(t, state, "docker/????????????????????????????????????????????????????????????????")
	})
}

func TestRunGivesWhatIsAskedFor(t *testing.T) {
	begin(t)
	for _, c := range []engines.Case{
		{Args: `img sh -c 'echo out; exit 3'`, Code: 3, Stdout: "out"},
		{Args: `img nosuch`, Code: 127, Stderr: "executable file not found in $PATH"},
		{Args: `img /etc/passwd`, Code: 126, Stderr: "permission denied"},
		{Args: `-u 1000:1001 --group-add 7 img sh -c 'id -u; id -G'`, Stdout: "1000\n1001 7"},
		{Args: `--cap-drop all --cap-add net_raw img grep CapPrm /proc/self/status`, Stdout: "CapPrm:\t0000000000002000"},
		{Args: `--security-opt no-new-privileges img grep NoNewPrivs /proc/self/status`, Stdout: "NoNewPrivs:\t1"},
		{Args: `--pids-limit 33 --memory 30m --cpus 0.5 img sh -c 'cd /sys/fs/cgroup; cat pids/pids.max memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us'`, Stdout: "33\n31457280\n50000"},
		{Args: `--read-only --tmpfs /t img sh -c 'touch /x || touch /t/x && echo written'`, Stdout: "written", Stderr: "/x: Read-only file system"},
		{Args: `-v /etc/hostname:/h:ro img sh -c 'test -s /h && echo there; echo x >/h'`, Code: 1, Stdout: "there", Stderr: "Read-only file system"},
		{Args: `--init img sh -c 'tr \\0 \\n </proc/1/cmdline | head -n 1'`, Stdout: "/sbin/docker-init"},
		{Args: `--network none img ls /sys/class/net`, Stdout: "lo"},
		{Args: `--hostname foo --sysctl net.ipv4.ip_forward=1 img sh -c 'hostname; cat /proc/sys/net/ipv4/ip_forward'`, Stdout: "foo\n1"},
		{Args: `-t img tty`, Stdout: "/dev/pts/0"},
	} {
		c.Args = "run --rm " + c.Args
		c.Check(t, "docker", "-H", socket)
	}
}

func TestLifeOfAContainer(t *testing.T) {
	begin(t)
	docker(t, "run", "-d", "--name", "life", "-p", "127.0.0.1:18081:80", "--memory", "50m", "img", "sh", "-c",
		"mkdir /w; echo content >/w/index.html; exec httpd -f -p 80 -h /w")
	engines.Eventually(t, "the container answers on its port", func() bool {
		return engines.Call(t, "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:18081/").Stdout == "content\n"
	})
	if top := docker(t, "top", "life", "-eo", "pid,comm"); !strings.HasSuffix(top, "httpd") {
		t.Errorf("top: %q", top)
	}
	for _, c := range []engines.Case{
		{Args: `inspect --format '{{.State.Status}} {{.HostConfig.Runtime}}' life`, Stdout: "running zbox"},
		{Args: `exec life sh -c 'exit 5'`, Code: 5},
		{Args: `exec -u 1000 -w /etc -e A=b life sh -c 'id -u; pwd; echo $A'`, Stdout: "1000\n/etc\nb"},
		{Args: `exec -t life tty`, Stdout: "/dev/pts/0"},
		{Args: `pause life`, Stdout: "life"},
		{Args: `inspect --format {{.State.Status}} life`, Stdout: "paused"},
		{Args: `unpause life`, Stdout: "life"},
		{Args: `update --memory 60m --memory-swap 70m --pids-limit 22 life`, Stdout: "life"},
		{Args: `exec life sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max'`, Stdout: "62914560\n22"},
		{Args: `restart -t 1 life`, Stdout: "life"},
		{Args: `kill life`, Stdout: "life"},
		{Args: `inspect --format {{.State.ExitCode}} life`, Stdout: "137"},
		{Args: `rm life`, Stdout: "life"},
	} {
		c.Check(t, "docker", "-H", socket)
	}
}

func TestManyContainersLeaveNothing(t *testing.T) {
	begin(t)
	engines.Parallel(engines.Containers(t), func(i int) {
		engines.Case{Args: fmt.Sprintf("run --rm --network none img echo %d", i), Stdout: strconv.Itoa(i)}.Check(t, "docker", "-H", socket)
	})
}
