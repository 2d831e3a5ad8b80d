//go:build engines

// Package cri drives zbox through containerd's CRI, as Kubernetes' kubelet does. It is a module of its own for the clients of Kubernetes.
package cri

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/bxrne/zbox/tests/integration/engines"
	"github.com/bxrne/zbox/tests/integration/engines/containerd"
)

// plugins configures the runtime handlers: zbox below containerd's own shim; the shim of zbox by its runtime's name, to which containerd 1.6
// gives no options but the path of a file with them; and by its path, with the options of the stock shim.
const plugins = `[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/engines/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "stock"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.stock]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.stock.options]
      BinaryName = %q
      SystemdCgroup = %t
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.own]
    runtime_type = "io.containerd.zbox.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.path]
    runtime_type = "io.containerd.runc.v2"
    runtime_path = %q
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.path.options]
      SystemdCgroup = %t
`

// ofAFile are options for the runtime that has its name: without any, containerd 2 makes user namespaces.
const ofAFile = `[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.own.options]
  ConfigPath = "/run/engines/own.toml"
`

const network = `{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
	"ipam": {"type": "host-local", "dataDir": "/run/engines/ipam", "ranges": [[{"subnet": "10.88.77.0/24"}]]}}]}`

var service cri.RuntimeServiceClient

func TestMain(m *testing.M) {
	engines.Enter(m, func() (func(), error) {
		err := errors.Join(
			os.MkdirAll("/run/engines/cni", 0o755),
			os.WriteFile("/run/engines/cni/pods.conflist", []byte(network), 0o644),
			os.WriteFile("/run/engines/own.toml", []byte("SystemdCgroup = true\n"), 0o644))
		if err != nil {
			return nil, err
		}
		shim := filepath.Join(filepath.Dir(engines.Zbox()), "containerd-shim-zbox-v2")
		config := fmt.Sprintf(plugins, containerd.Image, engines.Zbox(), engines.Managed(), shim, engines.Managed())
		if engines.Managed() {
			config += ofAFile
		}
		daemon, err := containerd.Start(config)
		if err != nil {
			return nil, err
		}
		conn, err := grpc.NewClient("unix://"+containerd.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		service = cri.NewRuntimeServiceClient(conn)
		return func() {
			if err := errors.Join(conn.Close(), daemon.Stop(), containerd.RemoveCgroups(containerd.Namespace)); err != nil {
				fmt.Fprintf(os.Stderr, "ending containerd: %v\n", err)
			}
		}, err
	})
}

// cgroups is where the pods' cgroups go: below a slice, as the kubelet has it, where systemd makes them.
func cgroups() (parent, ofContainers string) {
	if engines.Managed() {
		return "engines.slice", "engines.slice/cri-containerd-*"
	}
	return "/" + containerd.Namespace, containerd.Namespace + "/*"
}

// cgroup is that of a container below its hierarchy on cgroup v1, and on v2.
func cgroup(id string) string {
	if parent, _ := cgroups(); engines.Managed() {
		return parent + "/cri-containerd-" + id + ".scope"
	}
	return containerd.Namespace + "/" + id
}

// pod is a sandbox that the test made.
type pod struct {
	t      *testing.T
	id     string
	config *cri.PodSandboxConfig
}

// forEachHandler runs the test with a pod of every runtime handler, and fails it if anything of it stays.
func forEachHandler(t *testing.T, change func(*cri.PodSandboxConfig), test func(t *testing.T, p *pod)) {
	t.Helper()
	for _, handler := range []string{"stock", "own", "path"} {
		t.Run(handler, func(t *testing.T) {
			_, ofContainers := cgroups()
			t.Cleanup(func() { containerd.NothingLeft(t, "k8s.io", ofContainers) })
			config := podConfig(t, handler, change)
			ran, err := service.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: config, RuntimeHandler: handler})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				removePod(t, ran.PodSandboxId)
			})
			test(t, &pod{t, ran.PodSandboxId, config})
		})
	}
}

// podConfig is that of a pod of the handler.
func podConfig(t *testing.T, handler string, changes ...func(*cri.PodSandboxConfig)) *cri.PodSandboxConfig {
	parent, _ := cgroups()
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "pod", Namespace: "tests", Uid: handler},
		Hostname:     "in-a-pod",
		LogDirectory: t.TempDir(),
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent:    parent,
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{}},
		},
	}
	for _, change := range changes {
		change(config)
	}
	return config
}

// removePod stops and removes a pod, and tries again where the kubelet has to.
//
// A containerd 1.6 that is told of a container's exit deletes it and closes the connection, on which the shim may be about to answer the kill.
// The stock shim hardly ever loses that race, that of zbox does. And it deletes the task of a container that has ended before it writes that
// down, and takes one whose task is gone for stopped, but not for removable.
func removePod(t *testing.T, id string) {
	until(t, "stopped", "ttrpc: closed", func() error {
		_, err := service.StopPodSandbox(context.Background(), &cri.StopPodSandboxRequest{PodSandboxId: id})
		return err
	})
	until(t, "removed", "container is still running, to stop first", func() error {
		_, err := service.RemovePodSandbox(context.Background(), &cri.RemovePodSandboxRequest{PodSandboxId: id})
		return err
	})
}

// until makes a request about a pod again as long as it fails with a passing reason.
func until(t *testing.T, done, passing string, request func() error) {
	engines.Eventually(t, "the pod is "+done, func() bool {
		err := request()
		if err != nil && strings.Contains(err.Error(), passing) {
			t.Logf("the pod is not %s yet: %v", done, err)
			return false
		}
		if err != nil {
			t.Error(err)
		}
		return true
	})
}

// start starts a container of the pod and returns its id.
func (p *pod) start(name string, c *cri.ContainerConfig) string {
	p.t.Helper()
	c.Metadata, c.Image, c.LogPath = &cri.ContainerMetadata{Name: name}, &cri.ImageSpec{Image: containerd.Image}, name
	made, err := service.CreateContainer(p.t.Context(), &cri.CreateContainerRequest{PodSandboxId: p.id, Config: c, SandboxConfig: p.config})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := service.StartContainer(p.t.Context(), &cri.StartContainerRequest{ContainerId: made.ContainerId}); err != nil {
		p.t.Fatal(err)
	}
	return made.ContainerId
}

// run runs a script in a container of the pod, and returns the lines of its log without their times.
func (p *pod) run(name, script string, security *cri.LinuxContainerSecurityContext) string {
	p.t.Helper()
	id := p.start(name, &cri.ContainerConfig{Command: []string{"sh", "-c", script}, Linux: &cri.LinuxContainerConfig{SecurityContext: security}})
	engines.Eventually(p.t, "the container has exited", func() bool {
		return p.status(id).State == cri.ContainerState_CONTAINER_EXITED
	})
	return p.log(name)
}

func (p *pod) status(id string) *cri.ContainerStatus {
	p.t.Helper()
	res, err := service.ContainerStatus(p.t.Context(), &cri.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		p.t.Fatal(err)
	}
	return res.Status
}

// log is a container's log in the format of Kubernetes (kubernetes/design-proposals-archive, kubelet-cri-logging), without the times.
func (p *pod) log(name string) string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.config.LogDirectory, name))
	if err != nil {
		p.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		at, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
			p.t.Errorf("log line %q: %v", line, err)
		}
		lines = append(lines, rest)
	}
	return strings.Join(lines, "\n")
}

func (p *pod) exec(id string, command ...string) *cri.ExecSyncResponse {
	p.t.Helper()
	res, err := service.ExecSync(p.t.Context(), &cri.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 120})
	if err != nil {
		p.t.Fatal(err)
	}
	return res
}

func ofTheHost(c *cri.PodSandboxConfig) {
	c.Hostname = ""
	c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
}

func ofItsOwn(*cri.PodSandboxConfig) {}

func TestLifeOfAContainer(t *testing.T) {
	forEachHandler(t, ofItsOwn, func(t *testing.T, p *pod) {
		id := p.start("life", &cri.ContainerConfig{
			Command: []string{"sh", "-c", "trap 'echo term; exit 7' TERM; echo out; echo err >&2; while :; do sleep 0.1; done"},
			Linux:   &cri.LinuxContainerConfig{Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, CpuPeriod: 100000, CpuQuota: 50000}},
		})
		engines.Eventually(t, "the log has both streams", func() bool {
			log := p.log("life")
			return strings.Contains(log, "stdout F out") && strings.Contains(log, "stderr F err")
		})
		if state := p.status(id).State; state != cri.ContainerState_CONTAINER_RUNNING {
			t.Errorf("state %v", state)
		}
		res := p.exec(id, "sh", "-c", "echo o; echo e >&2; exit 5")
		if res.ExitCode != 5 || string(res.Stdout) != "o\n" || string(res.Stderr) != "e\n" {
			t.Errorf("exec: %v", res)
		}
		if out := p.exec(id, "hostname").Stdout; string(out) != "in-a-pod\n" {
			t.Errorf("hostname %q", out)
		}
		p.limited(id, "67108864", "50000")
		_, err := service.UpdateContainerResources(t.Context(), &cri.UpdateContainerResourcesRequest{
			ContainerId: id, Linux: &cri.LinuxContainerResources{MemoryLimitInBytes: 80 << 20, CpuPeriod: 100000, CpuQuota: 70000},
		})
		if err != nil {
			t.Error(err)
		}
		p.limited(id, "83886080", "70000")
		stats, err := service.ContainerStats(t.Context(), &cri.ContainerStatsRequest{ContainerId: id})
		if err != nil || stats.Stats.Memory.WorkingSetBytes.GetValue() == 0 || stats.Stats.Cpu.UsageCoreNanoSeconds.GetValue() == 0 {
			t.Errorf("stats %v, %v", stats, err)
		}
		if _, err := service.StopContainer(t.Context(), &cri.StopContainerRequest{ContainerId: id, Timeout: 60}); err != nil {
			t.Error(err)
		}
		if status := p.status(id); status.State != cri.ContainerState_CONTAINER_EXITED || status.ExitCode != 7 {
			t.Errorf("stopped, the status is %v", status)
		}
		if _, err := service.RemoveContainer(t.Context(), &cri.RemoveContainerRequest{ContainerId: id}); err != nil {
			t.Error(err)
		}
	})
}

// limited reads the limits back from the container's cgroup.
func (p *pod) limited(id, memory, quota string) {
	p.t.Helper()
	files := map[string]string{"memory/CGROUP/memory.limit_in_bytes": memory, "cpu/CGROUP/cpu.cfs_quota_us": quota}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		files = map[string]string{"CGROUP/memory.max": memory, "CGROUP/cpu.max": quota + " 100000"}
	}
	for file, want := range files {
		text, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", strings.ReplaceAll(file, "CGROUP", cgroup(id))))
		if err != nil || strings.TrimSpace(string(text)) != want {
			p.t.Errorf("%s: %q (%v), want %s", file, text, err, want)
		}
	}
}

// The kubelet tells users the reason, which the CRI has from the shim's event. Where systemd makes the cgroups, the stock shim may miss the memory
// that runs out in a container that ends with it.
func TestOutOfMemoryIsTheReason(t *testing.T) {
	forEachHandler(t, ofTheHost, func(t *testing.T, p *pod) {
		id := p.start("oom", &cri.ContainerConfig{
			Command: []string{"sh", "-c", "wait_for() { while ! test -e $1; do sleep 0.1; done; }; wait_for /go; dd if=/dev/zero of=/dev/null bs=64M; wait_for /stop; exit 3"},
			Linux:   &cri.LinuxContainerConfig{Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 16 << 20}},
		})
		p.exec(id, "touch", "/go") // the stock shim begins to watch a container only after its start
		engines.Eventually(t, "the reason is known", func() bool { return p.status(id).Reason == "OOMKilled" })
		p.exec(id, "touch", "/stop")
		engines.Eventually(t, "the container has exited", func() bool { return p.status(id).State == cri.ContainerState_CONTAINER_EXITED })
		if status := p.status(id); status.ExitCode != 3 || status.Reason != "OOMKilled" {
			t.Errorf("status %v", status)
		}
	})
}

func TestContainersOfAPodShareItsNetwork(t *testing.T) {
	forEachHandler(t, ofItsOwn, func(t *testing.T, p *pod) {
		res, err := service.PodSandboxStatus(t.Context(), &cri.PodSandboxStatusRequest{PodSandboxId: p.id})
		if err != nil {
			t.Fatal(err)
		}
		ip := res.Status.Network.Ip
		p.start("server", &cri.ContainerConfig{Command: []string{"sh", "-c", "mkdir /w; echo content >/w/index.html; exec httpd -f -p 80 -h /w"}})
		engines.Eventually(t, "the pod answers at its address", func() bool {
			return engines.Call(t, "busybox", "wget", "-q", "-O", "-", "http://"+ip+"/").Stdout == "content\n"
		})
		if log := p.run("client", "wget -q -O - http://127.0.0.1/", nil); log != "stdout F content" {
			t.Errorf("the other container's log: %q", log)
		}
	})
}

func TestPodInTheHostsNetwork(t *testing.T) {
	forEachHandler(t, ofTheHost, func(t *testing.T, p *pod) {
		own, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		if log := p.run("net", "readlink /proc/self/ns/net", nil); log != "stdout F "+own {
			t.Errorf("network namespace %q, want %s", log, own)
		}
	})
}

func TestSecurityContexts(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile.json")
	text := `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}`
	if err := os.WriteFile(profile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	seccomp := func(kind cri.SecurityProfile_ProfileType, path string) *cri.LinuxContainerSecurityContext {
		return &cri.LinuxContainerSecurityContext{Seccomp: &cri.SecurityProfile{ProfileType: kind, LocalhostRef: path}}
	}
	forEachHandler(t, ofTheHost, func(t *testing.T, p *pod) {
		for i, test := range []struct {
			security *cri.LinuxContainerSecurityContext
			script   string
			want     string
		}{
			{
				&cri.LinuxContainerSecurityContext{Capabilities: &cri.Capability{AddCapabilities: []string{"SYS_TIME"}, DropCapabilities: []string{"MKNOD"}}},
				"grep CapBnd /proc/self/status", "CapBnd:\t00000000a20425fb",
			},
			{seccomp(cri.SecurityProfile_RuntimeDefault, ""), "unshare -m true 2>&1; grep Seccomp: /proc/self/status", "unshare: unshare(0x20000): Operation not permitted\nSeccomp:\t2"},
			{seccomp(cri.SecurityProfile_Unconfined, ""), "grep Seccomp: /proc/self/status", "Seccomp:\t0"},
			{seccomp(cri.SecurityProfile_Localhost, profile), "mkdir /x 2>&1", "mkdir: can't create directory '/x': Operation not permitted"},
			{&cri.LinuxContainerSecurityContext{ReadonlyRootfs: true}, "touch /x 2>&1; touch /dev/shm/x && echo written", "touch: /x: Read-only file system\nwritten"},
			{&cri.LinuxContainerSecurityContext{MaskedPaths: []string{"/etc"}, ReadonlyPaths: []string{"/tmp"}}, "ls /etc; touch /tmp/x 2>&1", "touch: /tmp/x: Read-only file system"},
			{
				&cri.LinuxContainerSecurityContext{RunAsUser: &cri.Int64Value{Value: 1000}, RunAsGroup: &cri.Int64Value{Value: 1001}, SupplementalGroups: []int64{7, 8}},
				"id -u; id -G", "1000\n1001 7 8",
			},
			{&cri.LinuxContainerSecurityContext{NoNewPrivs: true}, "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"},
			{&cri.LinuxContainerSecurityContext{}, "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0"},
		} {
			log := strings.NewReplacer("stdout F ", "", "stderr F ", "").Replace(p.run(fmt.Sprintf("security-%d", i), test.script, test.security))
			if log != test.want {
				t.Errorf("%v: %s: %q, want %q", test.security, test.script, log, test.want)
			}
		}
	})
}

func TestPrivilegedContainer(t *testing.T) {
	privileged := func(c *cri.PodSandboxConfig) { ofTheHost(c); c.Linux.SecurityContext.Privileged = true }
	forEachHandler(t, privileged, func(t *testing.T, p *pod) {
		log := p.run("privileged", "test -c /dev/kmsg && mount -t tmpfs x /tmp && echo all", &cri.LinuxContainerSecurityContext{Privileged: true})
		if log != "stdout F all" {
			t.Errorf("log %q", log)
		}
	})
}
