//go:build engines

package cri

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
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
	uids := "0 700000 65536"
	if strings.HasPrefix(version.RuntimeVersion, "1.") {
		uids = "0 0 4294967295"
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
		var made unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, "made"), &made); err != nil || made.Uid != 0 {
			t.Errorf("what root of the pod makes in a volume: %v, of %d; want it root's", err, made.Uid)
		}
	})
}
