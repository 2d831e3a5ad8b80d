//go:build engines

package cri

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/bxrne/zbox/tests/integration/engines"
	"github.com/bxrne/zbox/tests/integration/engines/containerd"
)

// inAUserNamespace is what the kubelet asks for with "hostUsers: false".
func inAUserNamespace(c *cri.PodSandboxConfig) {
	ids := []*cri.IDMapping{{HostId: 700000, ContainerId: 0, Length: 65536}}
	c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: ids, Gids: ids}
}

// containerd 1.6 does not know the field of the CRI, and passes over it as protobuf has it. containerd 2 takes it where the runtime's
// features name user namespaces and idmapped mounts.
func TestPodInAUserNamespace(t *testing.T) {
	version, err := service.Version(t.Context(), &cri.VersionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	uids, owner := "0 700000 65536", uint32(700000)
	if strings.HasPrefix(version.RuntimeVersion, "1.") {
		uids, owner = "0 0 4294967295", 0
	}
	dir := t.TempDir()
	forEachHandler(t, inAUserNamespace, func(t *testing.T, p *pod) {
		ids := p.config.Linux.SecurityContext.NamespaceOptions.UsernsOptions
		id := p.start("mapped", &cri.ContainerConfig{
			Command: []string{"sleep", "1000"},
			Linux:   &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: &cri.NamespaceOption{UsernsOptions: ids}}},
			Mounts:  []*cri.Mount{{HostPath: dir, ContainerPath: "/d", UidMappings: ids.Uids, GidMappings: ids.Gids}},
		})
		got := strings.Join(strings.Fields(string(p.exec(id, "cat", "/proc/self/uid_map").Stdout)), " ")
		if got != uids {
			t.Errorf("the ids are %q, want %q", got, uids)
		}
		script := "touch /made /d/made && stat -c %u /made /d/made /bin"
		if res := p.exec(id, "sh", "-c", script); string(res.Stdout) != "0\n0\n0\n" {
			t.Errorf("%s: %q, %s", script, res.Stdout, res.Stderr)
		}
		root := containerd.Root("k8s.io", id)
		owned(t, owner, filepath.Join(root, "made"), filepath.Join(root, "bin"))
		owned(t, 0, filepath.Join(dir, "made"))
		owned(t, 0, containerd.Layers(t, "bin")...)
	})
}

// owned compares the owner of files, as the host sees it.
func owned(t *testing.T, uid uint32, paths ...string) {
	t.Helper()
	for _, path := range paths {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil || st.Uid != uid {
			t.Errorf("%s: owner %d (%v), want %d", path, st.Uid, err, uid)
		}
	}
}

// The shim is killed while it makes the pod, its root file system over idmapped layers among other things, or behind that.
func TestKilledShimsOfPodsInUserNamespacesLeaveNothing(t *testing.T) {
	killed := 0
	for i := range engines.Kills(t) {
		run := func() error {
			_, err := service.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: podConfig(t, "own", inAUserNamespace), RuntimeHandler: "own"})
			return err
		}
		ran := make(chan error, 1)
		go func() { ran <- run() }()
		engines.Eventually(t, "there is a shim", func() bool { return len(containerd.Shims()) > 0 || len(ran) > 0 })
		delay := rand.N(100 * time.Millisecond) // such a pod takes that long
		time.Sleep(delay)
		for _, pid := range containerd.Shims() {
			engines.Kill(t, pid)
			killed++
		}
		<-ran // whatever became of it
		removePods(t)
		if containerd.Sockets(t) > 0 { // of a shim that could not tell its address: the next one removes it
			if err := run(); err != nil {
				t.Error(err)
			}
			removePods(t)
		}
		_, ofContainers := cgroups()
		containerd.NothingLeft(t, "k8s.io", ofContainers)
		if t.Failed() {
			t.Fatalf("in round %d, after %v", i, delay)
		}
	}
	if killed == 0 {
		t.Error("no shim was there to be killed")
	}
}

func removePods(t *testing.T) {
	t.Helper()
	list, err := service.ListPodSandbox(t.Context(), &cri.ListPodSandboxRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range list.Items {
		removePod(t, pod.Id)
	}
}
