package cgroup

import (
	"bytes"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var denyAll = specs.LinuxDeviceCgroup{Allow: false, Access: "rwm"}

func TestDeviceRulesAreEnforced(t *testing.T) {
	tests := []struct {
		name  string
		rules []specs.LinuxDeviceCgroup
		want  string
	}{
		{
			name: "no rules deny all but the default devices", // GHSA-g54h-m393-cpwq
			want: "null: mknod <nil>, open true\npts: mknod <nil>, open true\nsda: mknod <nil>, open false\nmem: mknod <nil>, open false\n",
		},
		{
			name:  "deny all",
			rules: []specs.LinuxDeviceCgroup{denyAll},
			want:  "null: mknod <nil>, open true\npts: mknod <nil>, open true\nsda: mknod <nil>, open false\nmem: mknod <nil>, open false\n",
		},
		{
			name: "one device more",
			rules: []specs.LinuxDeviceCgroup{
				denyAll, {Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(1)), Access: "mr"},
			},
			want: "null: mknod <nil>, open true\npts: mknod <nil>, open true\nsda: mknod <nil>, open false\nmem: mknod <nil>, open true\n",
		},
		{
			name:  "allow all",
			rules: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}},
			want:  "null: mknod <nil>, open true\npts: mknod <nil>, open true\nsda: mknod <nil>, open true\nmem: mknod <nil>, open true\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := create(t, Config{Resources: &specs.LinuxResources{Devices: tt.rules}})
			if got := tryDevices(t, c); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// tryDevices makes and opens device nodes in the cgroup.
func tryDevices(t *testing.T, c *Cgroup) string {
	t.Helper()
	var out bytes.Buffer
	cmd, stdin := inhabitant(t, c, "devices", &out, t.TempDir())
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestUpdateReplacesDeviceRulesOnlyWhenItHasSome(t *testing.T) {
	allow := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(1)), Access: "rwm"}
	c := create(t, Config{Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{denyAll, allow}}})
	with := "null: mknod <nil>, open true\npts: mknod <nil>, open true\nsda: mknod <nil>, open false\nmem: mknod <nil>, open true\n"
	without := "null: mknod <nil>, open true\npts: mknod <nil>, open true\nsda: mknod <nil>, open false\nmem: mknod <nil>, open false\n"
	for _, step := range []struct {
		rules []specs.LinuxDeviceCgroup
		want  string
	}{{nil, with}, {[]specs.LinuxDeviceCgroup{denyAll}, without}, {nil, without}, {[]specs.LinuxDeviceCgroup{denyAll, allow}, with}} {
		again, err := Load(c.Saved())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Update(&specs.LinuxResources{Devices: step.rules}); err != nil {
			t.Fatal(err)
		}
		if got := tryDevices(t, c); got != step.want {
			t.Errorf("after %+v got\n%swant\n%s", step.rules, got, step.want)
		}
	}
}

func TestDeviceRules(t *testing.T) {
	tests := []struct {
		name string
		rule specs.LinuxDeviceCgroup
		want string
		err  string
	}{
		{name: "wildcard by default", rule: denyAll, want: "a *:* rwm"},
		{name: "letters are sorted", rule: specs.LinuxDeviceCgroup{Type: "b", Major: ptr(int64(8)), Access: "mwr"}, want: "b 8:* rwm"},
		{
			name: "major and minor", want: "c 10:200 rw",
			rule: specs.LinuxDeviceCgroup{Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(200)), Access: "rw"},
		},
		{
			name: "unknown type", rule: specs.LinuxDeviceCgroup{Type: "p", Access: "r"},
			err: `linux.resources.devices[0].type: "p" is not a, b or c`,
		},
		{
			name: "unknown access", rule: specs.LinuxDeviceCgroup{Access: "rx"},
			err: `linux.resources.devices[0].access: "rx" is not made of r, w and m`,
		},
		{
			name: "no access", rule: specs.LinuxDeviceCgroup{},
			err: `linux.resources.devices[0].access: "" is not made of r, w and m`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := deviceRules(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{tt.rule}})
			if text(err) != tt.err {
				t.Fatalf("error %q, want %q", text(err), tt.err)
			}
			if err != nil {
				return
			}
			if got := rules[0].CgroupString(); got != tt.want {
				t.Errorf("rule %q, want %q", got, tt.want)
			}
			if !slices.Equal(rules[1:], alwaysAllowed) {
				t.Error("the rules that always hold do not come last")
			}
		})
	}
}
