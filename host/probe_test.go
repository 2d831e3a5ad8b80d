package host

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/host/facts"
)

func TestParseKernel(t *testing.T) {
	tests := []struct {
		name, release string
		major, minor  int
		err           string
	}{
		{name: "plain", release: "6.18.0", major: 6, minor: 18},
		{name: "distribution suffix", release: "6.1.0-28-amd64", major: 6, minor: 1},
		{name: "no patch level", release: "5.14-rc3", major: 5, minor: 14},
		{name: "not a version", release: "linux", err: `parsing kernel release "linux": no MAJOR.MINOR at its start`},
		{name: "empty", release: "", err: `parsing kernel release "": no MAJOR.MINOR at its start`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			major, minor, err := parseKernel(tt.release)
			if got := errText(err); got != tt.err || major != tt.major || minor != tt.minor {
				t.Errorf("got %d.%d, error %q; want %d.%d, error %q", major, minor, got, tt.major, tt.minor, tt.err)
			}
		})
	}
}

func TestProbeCgroup(t *testing.T) {
	tests := []struct {
		name string
		want facts.Cgroup
	}{
		{name: "hybrid", want: facts.Cgroup{
			Self: map[string]string{
				"name=systemd": "/user.slice", "pids": "/", "memory": "/jobs/a:b", "cpu": "/", "cpuacct": "/", "": "/user.slice/x",
			},
			Mounts: []facts.CgroupMount{
				{Mountpoint: "/sys/fs/cgroup/cpu,cpuacct", Root: "/", Controllers: []string{"cpu", "cpuacct"}},
				{Mountpoint: "/sys/fs/cgroup/memory", Root: "/jobs", Controllers: []string{"memory"}},
				{Mountpoint: "/mnt/my cgroups/pids", Root: "/", Controllers: []string{"pids"}},
				{Mountpoint: "/sys/fs/cgroup/systemd", Root: "/", Controllers: []string{"name=systemd"}},
			},
		}},
		{name: "broken", want: facts.Cgroup{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proc := filepath.Join("testdata", tt.name)
			got, err := probeCgroup(proc, proc)
			wantErr := ""
			if tt.name == "broken" {
				wantErr = "parsing own cgroup: line \"no colons here\\n\" has no two colons"
			}
			if errText(err) != wantErr {
				t.Fatalf("error %q, want %q", errText(err), wantErr)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestProbeCgroupNamesTheMissingFile(t *testing.T) {
	_, err := probeCgroup("/sys/fs/cgroup", "testdata/absent")
	want := "reading own cgroup: open testdata/absent/cgroup: no such file or directory"
	if errText(err) != want {
		t.Errorf("error %q, want %q", errText(err), want)
	}
}

func TestAppArmorIsReadFromTheModuleParameter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "enabled")
	if appArmor(file) {
		t.Error("enabled without the file")
	}
	for text, want := range map[string]bool{"Y\n": true, "N\n": false, "": false} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := appArmor(file); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestProbeAgreesWithTheKernel(t *testing.T) {
	f, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	if int(f.EUID) != os.Geteuid() || int(f.EGID) != os.Getegid() {
		t.Errorf("ids %d, %d; want %d, %d", f.EUID, f.EGID, os.Geteuid(), os.Getegid())
	}
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		t.Fatal(err)
	}
	if want := atoi(t, string(text)); int(f.LastCap) != want {
		t.Errorf("last capability %d, want %d", f.LastCap, want)
	}
	var st unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &st); err != nil {
		t.Fatal(err)
	}
	if want := st.Type == unix.CGROUP2_SUPER_MAGIC; f.Cgroup.Unified != want {
		t.Errorf("unified %v, want %v", f.Cgroup.Unified, want)
	}
	if !f.Cgroup.Unified && len(f.Cgroup.Mounts) == 0 {
		t.Error("no cgroup mounts found")
	}
	if want := statusCaps(t); f.Caps != want {
		t.Errorf("bounding set %#x, want %#x", f.Caps, want)
	}
}

func BenchmarkProbe(b *testing.B) {
	for b.Loop() {
		if _, err := Probe(); err != nil {
			b.Fatal(err)
		}
	}
}
