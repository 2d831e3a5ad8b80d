//go:build engines

package podman

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// Limits stay below the machine's: its root may not have CAP_SYS_RESOURCE.
const containersConf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "zbox"
runtime_supports_json = ["runc", "zbox"]
runtime_supports_nocgroup = ["zbox"]
[engine.runtimes]
zbox = [%q]
runc = ["/usr/sbin/runc", "/usr/bin/runc"]
[network]
network_backend = "netavark"
network_config_dir = "/run/networks"
`

const storageConf = `[storage]
driver = "overlay"
graphroot = "/run/graph"
runroot = "/run/rungraph"
`

func TestMain(m *testing.M) {
	engines.Enter(m, func() (func(), error) {
		for name, text := range map[string]string{
			"CONTAINERS_CONF":         fmt.Sprintf(containersConf, engines.Zbox()),
			"CONTAINERS_STORAGE_CONF": storageConf,
		} {
			path := filepath.Join("/run", strings.ToLower(name))
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return nil, err
			}
			if err := os.Setenv(name, path); err != nil {
				return nil, err
			}
		}
		return func() {}, engines.Image("/run/image.tar")
	})
}

// podman calls podman and fails the test unless it exits with 0.
func podman(t *testing.T, args ...string) string {
	t.Helper()
	res := engines.Call(t, append([]string{"podman"}, args...)...)
	if res.Code != 0 {
		t.Errorf("podman %q: exit %d: %s%s", args, res.Code, res.Stdout, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

// begin makes the image, and fails the test if anything of its containers stays.
func begin(t *testing.T) {
	t.Helper()
	if engines.Call(t, "podman", "image", "exists", "img").Code != 0 {
		podman(t, "import", "/run/image.tar", "img")
	}
	t.Cleanup(func() {
		podman(t, "pod", "rm", "-f", "-a")
		podman(t, "rm", "-f", "-a", "-t", "0")
		nothingLeft(t)
	})
}

func nothingLeft(t *testing.T) {
	t.Helper()
	if ids := podman(t, "ps", "-a", "-q"); ids != "" {
		t.Errorf("podman still has %s", ids)
	}
	engines.NothingLeft(t, "/run/zbox", "libpod_parent/libpod-*")
}

func TestRunGivesWhatIsAskedFor(t *testing.T) {
	begin(t)
	for _, c := range []engines.Case{
		{Args: `img sh -c 'echo out; exit 3'`, Code: 3, Stdout: "out"},
		{Args: `img nosuch`, Code: 127, Stderr: "executable file not found in $PATH"},
		{Args: `img /nosuch/x`, Code: 127, Stderr: "no such file or directory"},
		{Args: `img /etc/passwd`, Code: 126, Stderr: "permission denied"},
		{Args: `-u 1000:1001 --group-add 7 img sh -c 'id -u; id -G'`, Stdout: "1000\n1001 7"},
		{Args: `--group-add keep-groups img id -u`, Stdout: "0"},
		{Args: `--cap-drop all --cap-add net_raw img grep CapPrm /proc/self/status`, Stdout: "CapPrm:\t0000000000002000"},
		{Args: `--security-opt no-new-privileges img grep NoNewPrivs /proc/self/status`, Stdout: "NoNewPrivs:\t1"},
		{Args: `--security-opt seccomp=unconfined img grep Seccomp: /proc/self/status`, Stdout: "Seccomp:\t0"},
		{Args: `--security-opt mask=/etc img ls /etc`},
		{Args: `--pids-limit 33 --memory 30m --cpus 0.5 img sh -c 'cd /sys/fs/cgroup; cat pids/pids.max memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us'`, Stdout: "33\n31457280\n50000"},
		{Args: `--read-only img sh -c 'touch /x || touch /tmp/x && echo written'`, Stdout: "written", Stderr: "/x: Read-only file system"},
		{Args: `--tmpfs /t:size=1m img sh -c 'grep /t.tmpfs /proc/mounts | grep -o size=1024k'`, Stdout: "size=1024k"},
		{Args: `-v /etc/hostname:/h:ro,Z img sh -c 'test -s /h && echo there; echo x >/h'`, Code: 1, Stdout: "there", Stderr: "Read-only file system"},
		{Args: `--uidmap 0:100000:5000 -v /run/tmp:/e:idmap img stat -c %u /e`, Stdout: "0"},
		{Args: `--uidmap 0:100000:5000 img sh -c 'cat /proc/self/uid_map | tr -s \ '`, Stdout: "0 100000 5000"},
		{Args: `--device /dev/fuse img stat -c %t:%T /dev/fuse`, Stdout: "a:e5"},
		{Args: `--init img sh -c 'tr \\0 \\n </proc/1/cmdline | head -n 1'`, Stdout: "/run/podman-init"},
		{Args: `--cgroups disabled img sh -c 'grep -c libpod /proc/self/cgroup'`, Code: 1, Stdout: "0"},
		{Args: `--network none img sh -c 'ls /sys/class/net'`, Stdout: "lo"},
		{Args: `--hostname foo --sysctl net.ipv4.ip_forward=1 img sh -c 'hostname; cat /proc/sys/net/ipv4/ip_forward'`, Stdout: "foo\n1"},
		{Args: `--ulimit nofile=100:200 --ulimit nproc=900:900 img sh -c 'ulimit -n; ulimit -Hn'`, Stdout: "100\n200"},
		{Args: `--umask 0077 img sh -c umask`, Stdout: "0077"},
	} {
		c.Args = "run --rm " + c.Args
		c.Check(t, "podman")
	}
}

func TestLifeOfAContainer(t *testing.T) {
	begin(t)
	podman(t, "run", "-d", "--name", "life", "img", "sh", "-c", "trap 'echo term; exit 7' TERM; echo started; while :; do sleep 0.1; done")
	engines.Eventually(t, "the container has started", func() bool { return podman(t, "logs", "life") == "started" })
	for _, c := range []engines.Case{
		{Args: `exec life echo hello`, Stdout: "hello"},
		{Args: `exec life sh -c 'exit 5'`, Code: 5},
		{Args: `exec life nosuch`, Code: 127, Stderr: "executable file not found in $PATH"},
		{Args: `exec -u 1000 -w /etc -e A=b life sh -c 'id -u; pwd; echo $A'`, Stdout: "1000\n/etc\nb"},
		{Args: `exec -t life tty`, Stdout: "/dev/pts/0"},
		{Args: `inspect --format '{{.State.Status}} {{.OCIRuntime}}' life`, Stdout: "running zbox"},
		{Args: `pause life`, Stdout: "life"},
		{Args: `inspect --format {{.State.Status}} life`, Stdout: "paused"},
		{Args: `unpause life`, Stdout: "life"},
		{Args: `stats --no-stream --format {{.Name}} life`, Stdout: "life"},
		{Args: `top life args`, Stdout: ""},
		{Args: `stop -t 5 life`, Stdout: "life"},
		{Args: `inspect --format '{{.State.Status}} {{.State.ExitCode}}' life`, Stdout: "exited 7"},
		{Args: `logs life`, Stdout: "started\nterm"},
		{Args: `start life`, Stdout: "life"},
		{Args: `kill life`, Stdout: "life"},
		{Args: `wait life`, Stdout: "137"},
		{Args: `rm life`, Stdout: "life"},
	} {
		if strings.HasPrefix(c.Args, "top") {
			if top := podman(t, engines.Words(c.Args)...); !strings.Contains(top, "trap") {
				t.Errorf("top: %q", top)
			}
			continue
		}
		c.Check(t, "podman")
	}
}

func TestPodServesItsPort(t *testing.T) {
	begin(t)
	podman(t, "pod", "create", "--name", "pod", "-p", "127.0.0.1:18080:80")
	podman(t, "run", "-d", "--pod", "pod", "img", "sh", "-c", "mkdir /w; echo content >/w/index.html; exec httpd -f -p 80 -h /w")
	engines.Eventually(t, "the pod answers on its port", func() bool {
		return engines.Call(t, "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:18080/").Stdout == "content\n"
	})
	podman(t, "pod", "rm", "-f", "-t", "0", "pod")
}

func TestManyContainersLeaveNothing(t *testing.T) {
	begin(t)
	engines.Parallel(engines.Containers(t), func(i int) {
		engines.Case{Args: fmt.Sprintf("run --rm --network none img echo %d", i), Stdout: strconv.Itoa(i)}.Check(t, "podman")
	})
	nothingLeft(t)
}

// podman 4.3 ends a container whose conmon was killed, but has no runtime delete it (it is the same with runc). What is left is a stopped
// container that zbox knows of and removes.
func TestKilledConmonLeavesWhatDeleteRemoves(t *testing.T) {
	begin(t)
	for i := range engines.Containers(t) / 4 {
		name := fmt.Sprintf("k%d", i)
		podman(t, "run", "-d", "--network", "none", "--name", name, "img", "sleep", "1000")
		time.Sleep(time.Duration(rand.Intn(100)) * time.Millisecond) // the moment is what is random
		pids := conmons(name)
		if len(pids) == 0 {
			t.Errorf("%s has no conmon to kill", name)
		}
		for _, pid := range pids {
			engines.Kill(t, pid)
		}
		podman(t, "rm", "-f", "-t", "0", name)
		for id := range strings.FieldsSeq(engines.Call(t, engines.Zbox(), "--root", "/run/zbox", "list", "-q").Stdout) {
			if state := engines.Call(t, engines.Zbox(), "--root", "/run/zbox", "state", id); !strings.Contains(state.Stdout, `"stopped"`) {
				t.Errorf("podman rm left a process: %s%s", state.Stdout, state.Stderr)
			}
			if res := engines.Call(t, engines.Zbox(), "--root", "/run/zbox", "delete", "--force", id); res.Code != 0 {
				t.Errorf("delete --force: %s", res.Stderr)
			}
		}
	}
	nothingLeft(t)
}

// conmons are the processes of conmon for the container name.
func conmons(name string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		args := strings.Split(string(text), "\x00")
		for i := range args[:len(args)-1] {
			if filepath.Base(args[0]) == "conmon" && args[i] == "-n" && args[i+1] == name {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Side by side, so that the machine's noise is in both. The target is 0.85; the test fails where zbox would be the slower one.
func TestRunTakesLessTimeThanWithRunc(t *testing.T) {
	begin(t)
	took := map[string]time.Duration{}
	for range engines.Containers(t) {
		for _, runtime := range []string{"zbox", "runc"} {
			began := time.Now()
			podman(t, "--runtime", runtime, "run", "--rm", "--network", "none", "img", "true")
			took[runtime] += time.Since(began)
		}
	}
	ratio := float64(took["zbox"]) / float64(took["runc"])
	t.Logf("podman run --rm: %.3f of the time with runc (%v for %d)", ratio, took["zbox"], engines.Containers(t))
	if ratio > 1 {
		t.Errorf("podman with zbox takes %.2f of the time with runc", ratio)
	}
}
