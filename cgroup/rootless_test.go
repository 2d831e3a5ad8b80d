package cgroup

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/host"
)

// rootless is a user without privileges who makes a cgroup; see TestMain. The limit is set when what is "limit".
func rootless(id, what string) {
	f, err := host.Probe()
	cfg := Config{ID: id, Rootless: true, Facts: f.Cgroup}
	switch what {
	case "limit":
		cfg.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(10))}}
	case "path":
		cfg.Path = "/" + id
	}
	var c *Cgroup
	if err == nil {
		c, err = New(cfg)
	}
	if err == nil {
		err = c.Create()
	}
	fmt.Printf("create: %v\n", err)
	if err != nil {
		return
	}
	dir, err := c.Dir()
	fmt.Printf("dir: %v %v\n", dir, err)
	fmt.Printf("none: %v\n", c.Saved().None)
	fmt.Printf("freeze: %v\n", c.Freeze())
	fmt.Printf("destroy: %v %v\n", c.Kill(), c.Destroy())
}

func TestRootlessWithoutPermission(t *testing.T) {
	unpermitted := "create: linux.resources.cpu: a cgroup cannot be made without privileges; a systemd user session delegates one (--systemd-cgroup)\n"
	if !probe(t).Unified {
		unpermitted = "create: linux.resources.cpu: a cgroup cannot be made without privileges, and on cgroup v1 systemd delegates none; " +
			"boot with systemd.unified_cgroup_hierarchy=1\n"
	}
	tests := []struct{ what, want string }{
		{"nothing", "create: <nil>\ndir: <nil> <nil>\nnone: true\nfreeze: freezing cgroup: container has no cgroup\ndestroy: <nil> <nil>\n"},
		{"limit", unpermitted},
		{"path", "create: creating cgroup: mkdir ROOT/ID: permission denied\n"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			id := testID(t)
			root := mountpoint
			if !probe(t).Unified {
				root += "/cpuset"
			}
			cmd := exec.Command("/proc/self/exe", id, tt.what)
			cmd.Env = []string{viewVariable + "=rootless"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			want := strings.NewReplacer("ID", id, "ROOT", root).Replace(tt.want)
			if string(out) != want {
				t.Errorf("got\n%swant\n%s", out, want)
			}
		})
	}
}
