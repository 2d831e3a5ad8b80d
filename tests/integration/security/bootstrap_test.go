package security

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/tests/integration"
)

// runc handed its first stage attributes whose lengths were cut to 16 bits; what was behind the cut became further attributes.
func TestLongConfigurationIsNeverCut_CVE_2021_43784(t *testing.T) {
	mappings := func(count int) func(*specs.Spec) {
		return func(s *specs.Spec) {
			integration.WithNamespace(specs.UserNamespace, "")(s)
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
			for n := range uint32(count) {
				one := specs.LinuxIDMapping{ContainerID: n, HostID: 100000 + n, Size: 1}
				s.Linux.UIDMappings, s.Linux.GIDMappings = append(s.Linux.UIDMappings, one), append(s.Linux.GIDMappings, one)
			}
		}
	}
	longPath := "/proc/self/ns/net" + strings.Repeat("/x", 35000)
	for _, test := range []struct {
		name   string
		mutate func(*specs.Spec)
	}{
		{"6000 id mappings", mappings(6000)},
		{"namespace path of 70 KB", func(s *specs.Spec) {
			integration.WithoutNamespace(specs.NetworkNamespace)(s)
			integration.WithNamespace(specs.NetworkNamespace, longPath)(s)
		}},
		{"cwd of 70 KB", func(s *specs.Spec) { s.Process.Cwd = strings.Repeat("/x", 35000) }},
		{"mount target of 70 KB", integration.Mount(tmpfsAt(strings.Repeat("/x", 35000)))},
		{"argument beyond what the kernel takes", integration.Args("/bin/true", strings.Repeat("x", 140_000))},
	} {
		t.Run("refused: "+test.name, func(t *testing.T) {
			integration.New(t).RefuseRun(integration.NewBundle(t, test.mutate))
		})
	}
	t.Run("control: 200 id mappings", func(t *testing.T) {
		b := integration.NewBundle(t, mappings(200), integration.Shell("wc -l </proc/self/uid_map; tail -n 1 /proc/self/gid_map"))
		symlink(t, "busybox", b.Rootfs("bin/tail"))
		out := integration.New(t).MustRun(b)
		if want := "200 199 100199 1"; strings.Join(strings.Fields(out), " ") != want {
			t.Errorf("maps %q, want %q", out, want)
		}
	})
	t.Run("control: 1 MB of environment and 90 KB in one variable", func(t *testing.T) {
		long := strings.Repeat("y", 90_000)
		seen := integration.New(t).RunProbe(integration.NewBundle(t, func(s *specs.Spec) {
			s.Process.Env = append(s.Process.Env, "LONG="+long)
			for n := range 1000 {
				s.Process.Env = append(s.Process.Env, fmt.Sprintf("V%d=%s", n, strings.Repeat("z", 1000)))
			}
		}))
		values := map[string]string{}
		for _, variable := range seen.Env {
			name, value, _ := strings.Cut(variable, "=")
			values[name] = value
		}
		if values["LONG"] != long || values["V999"] != strings.Repeat("z", 1000) || len(seen.Env) < 1003 {
			t.Errorf("%d variables, LONG of %d bytes, V999 of %d", len(seen.Env), len(values["LONG"]), len(values["V999"]))
		}
	})
}
