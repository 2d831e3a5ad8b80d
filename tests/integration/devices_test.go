package integration

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestDefaultDevicesAndLinksAreThere(t *testing.T) {
	for name, mutate := range map[string]func(*specs.Spec){"as root": func(*specs.Spec) {}, "in a user namespace": WithUserNamespace} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			got := r.MustRun(NewBundle(t, mutate, Shell(
				`cd /dev; for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' $d; done; for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done
				echo x > null && head -c 4 zero | wc -c && head -c 3 urandom | wc -c; echo x > full 2>/dev/null || echo full`)))
			want := `null character special file 1:3 666
zero character special file 1:5 666
full character special file 1:7 666
random character special file 1:8 666
urandom character special file 1:9 666
tty character special file 5:0 666
fd /proc/self/fd
stdin /proc/self/fd/0
stdout /proc/self/fd/1
stderr /proc/self/fd/2
ptmx pts/ptmx
4
3
full
`
			if got != want {
				t.Errorf("saw\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestListedDevicesAreMade(t *testing.T) {
	mode := func(m os.FileMode) *os.FileMode { return &m }
	id := func(n uint32) *uint32 { return &n }
	for _, test := range []struct {
		name   string
		device specs.LinuxDevice
		want   string
	}{
		{"character", specs.LinuxDevice{Path: "/dev/my", Type: "c", Major: 1, Minor: 5, FileMode: mode(0o640), UID: id(3), GID: id(4)}, "character special file 1:5 640 3 4"},
		{"unbuffered", specs.LinuxDevice{Path: "/dev/my", Type: "u", Major: 10, Minor: 200, FileMode: mode(0o600)}, "character special file a:c8 600 0 0"},
		{"block", specs.LinuxDevice{Path: "/dev/my", Type: "b", Major: 7, Minor: 300, FileMode: mode(0o660)}, "block special file 7:12c 660 0 0"},
		{"pipe", specs.LinuxDevice{Path: "/dev/my", Type: "p", FileMode: mode(0o622), UID: id(9)}, "fifo 0:0 622 9 0"},
		{"outside dev", specs.LinuxDevice{Path: "/srv/deep/my", Type: "c", Major: 1, Minor: 3, FileMode: mode(0o666)}, "character special file 1:3 666 0 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			b := NewBundle(t, Args("/bin/stat", "-c", "%F %t:%T %a %u %g", test.device.Path), func(s *specs.Spec) {
				s.Linux.Devices = []specs.LinuxDevice{test.device}
			})
			if got := r.MustRun(b); got != test.want+"\n" {
				t.Errorf("saw %q, want %q", got, test.want)
			}
		})
	}
}

func TestDeviceThatIsAlreadyThereWithAnotherTypeIsRefused(t *testing.T) {
	ZboxOnly(t, "runc takes what is there")
	r := New(t)
	b := NewBundle(t, func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/srv/file", Type: "c", Major: 1, Minor: 3}}
	})
	b.WriteFile("srv/file", "a file", 0o644)
	r.RefuseRun(b, "/srv/file")
}

func TestInvalidDeviceIsRefused(t *testing.T) {
	r := New(t)
	r.RefuseRun(NewBundle(t, func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/my", Type: "x", Major: 1, Minor: 3}}
	}))
}

func TestDeviceAccessIsDeniedUnlessAllowed(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	for _, test := range []struct {
		name  string
		rules []specs.LinuxDeviceCgroup
		want  string
	}{
		{"nothing allowed", nil, "denied"},
		{"making allowed but not opening", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: number(1), Minor: number(11), Access: "m"}}, "made open denied"},
		{"all of it", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: number(1), Minor: number(11), Access: "rwm"}}, "made opened"},
		{"any minor", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: number(1), Access: "rwm"}}, "made opened"},
		{"other type", []specs.LinuxDeviceCgroup{{Allow: true, Type: "b", Major: number(1), Minor: number(11), Access: "rwm"}}, "denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			b := NewBundle(t,
				Shell(`mknod /tmp/kmsg c 1 11 2>/dev/null || { echo mknod denied; exit; }; (: > /tmp/kmsg) 2>/dev/null && echo made opened || echo made open denied`),
				func(s *specs.Spec) {
					s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, test.rules...)
					caps := append(slices.Clone(s.Process.Capabilities.Bounding), "CAP_MKNOD", "CAP_SYSLOG")
					s.Process.Capabilities.Bounding, s.Process.Capabilities.Permitted, s.Process.Capabilities.Effective = caps, caps, caps
				})
			if got := strings.TrimSpace(r.MustRun(b)); !strings.HasSuffix(got, test.want) {
				t.Errorf("saw %q, want %q", got, test.want)
			}
		})
	}
}
