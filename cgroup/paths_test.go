package cgroup

import (
	"maps"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/host/facts"
)

func TestInnerPathCannotLeaveTheHierarchy(t *testing.T) {
	tests := []struct{ name, path, want, err string }{
		{name: "absolute", path: "/machine/web", want: "/machine/web"},
		{name: "relative", path: "machine/web", want: "machine/web"},
		{name: "none is the id", path: "", want: "web"},
		{name: "climbing", path: "/../../../etc", want: "/etc"},
		{name: "climbing, relative", path: "../../etc/", want: "etc"},
		{name: "climbing in the middle", path: "/a/../../b", want: "/b"},
		{name: "root", path: "/", err: `linux.cgroupsPath: "/" names no cgroup below the root`},
		{name: "parent", path: "..", err: `linux.cgroupsPath: ".." names no cgroup below the root`},
		{name: "nothing left", path: "/a/..", err: `linux.cgroupsPath: "/a/.." names no cgroup below the root`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := innerPath(Config{ID: "web", Path: tt.path})
			if got != tt.want || text(err) != tt.err {
				t.Errorf("got %q, %q; want %q, %q", got, text(err), tt.want, tt.err)
			}
		})
	}
}

func TestUnifiedDirIsBesideZboxsOwnCgroup(t *testing.T) {
	tests := []struct{ name, inner, self, want string }{
		{"absolute", "/machine/web", "/user.slice/shell.scope", "/sys/fs/cgroup/machine/web"},
		{"relative", "web", "/user.slice/shell.scope", "/sys/fs/cgroup/user.slice/web"},
		{"zbox in the root", "web", "/", "/sys/fs/cgroup/web"},
		{"zbox outside of its namespace", "web", "/../../x", "/sys/fs/cgroup/web"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := unifiedDir(tt.inner, tt.self); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestLegacyDirsAreBelowZboxsOwnCgroup(t *testing.T) {
	f := facts.Cgroup{
		Self: map[string]string{"cpu": "/a", "cpuacct": "/a", "devices": "/docker/x", "memory": "/elsewhere", "": "/a"},
		Mounts: []facts.CgroupMount{
			{Mountpoint: "/m/cpu,cpuacct", Root: "/", Controllers: []string{"cpu", "cpuacct"}},
			{Mountpoint: "/m/devices", Root: "/docker/x", Controllers: []string{"devices"}},
			{Mountpoint: "/m/memory", Root: "/docker/x", Controllers: []string{"memory"}},
			{Mountpoint: "/m/other", Root: "/", Controllers: []string{"name=other"}},
		},
	}
	tests := []struct {
		name, inner string
		want        map[string]string
	}{
		{"relative", "web", map[string]string{
			"cpu": "/m/cpu,cpuacct/a/web", "cpuacct": "/m/cpu,cpuacct/a/web", "devices": "/m/devices/web", "memory": "/m/memory/web",
		}},
		{"absolute", "/p/web", map[string]string{
			"cpu": "/m/cpu,cpuacct/p/web", "cpuacct": "/m/cpu,cpuacct/p/web", "devices": "/m/devices/p/web", "memory": "/m/memory/p/web",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := legacyDirs(tt.inner, f)
			if err != nil {
				t.Fatal(err)
			}
			delete(got, "") // where the machine has a v2 hierarchy beside it
			if !maps.Equal(got, tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
		})
	}
	_, err := legacyDirs("web", facts.Cgroup{})
	if want := "finding cgroup mounts: no devices controller is mounted; access to devices could not be limited"; text(err) != want {
		t.Errorf("error %q, want %q", text(err), want)
	}
}

func TestCgroupOfOthersIsRefused(t *testing.T) {
	parent := "/" + testID(t)
	c := create(t, Config{ID: "a", Path: parent + "/a"})
	cmd := sleeper(t, c)
	for _, path := range []string{parent + "/a", parent} {
		_, err := New(Config{ID: "b", Path: path, Facts: probe(t)})
		want := "linux.cgroupsPath: cgroup " + strings.TrimSuffix(c.anchor(), parent+"/a") + path + " already holds processes (" +
			itoa(cmd.Process.Pid) + ")"
		if text(err) != want {
			t.Errorf("error %q\nwant  %q", text(err), want)
		}
	}
}

func TestEmptyCgroupMadeByTheEngineIsTakenOver(t *testing.T) {
	id := testID(t)
	a := create(t, Config{ID: id})
	b := create(t, Config{ID: id})
	if err := b.Destroy(); err != nil {
		t.Fatal(err)
	}
	if a.Exists() {
		t.Error("left after Destroy")
	}
	c := create(t, Config{ID: id})
	if err := c.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Thaw() }()
	_, err := New(Config{ID: id, Facts: probe(t)})
	if want := "linux.cgroupsPath: cgroup " + c.anchor() + " is frozen"; text(err) != want {
		t.Errorf("error %q, want %q", text(err), want)
	}
}

func TestFailedCreateRemovesParentsToo(t *testing.T) {
	parent := "/" + testID(t)
	c, err := New(Config{
		ID: "a", Path: parent + "/x/a", Facts: probe(t),
		Resources: &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "linux.resources.hugepageLimits: the hugetlb controller of cgroup v1 is not mounted"
	if probe(t).Unified {
		want = "linux.resources.hugepageLimits: this kernel has no hugetlb.3MB.max"
	}
	if err := c.Create(); text(err) != want {
		t.Errorf("error %q, want %q", text(err), want)
	}
	for _, dir := range c.dirs() {
		if top := strings.TrimSuffix(dir, "/x/a"); exists(top) {
			t.Errorf("%s is left", top)
		}
	}
}

func TestFailedCreateKeepsACgroupThatWasThere(t *testing.T) {
	id := testID(t)
	a := create(t, Config{ID: id})
	b, err := New(Config{
		ID: id, Facts: probe(t),
		Resources: &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Create(); err == nil {
		t.Error("no error")
	}
	if !a.Exists() {
		t.Error("the cgroup that was there is gone")
	}
}

func TestUnknownDriver(t *testing.T) {
	_, err := New(Config{ID: "a", Driver: "magic"})
	if want := `cgroup manager "magic": must be cgroupfs, systemd or disabled`; text(err) != want {
		t.Errorf("error %q, want %q", text(err), want)
	}
	_, err = New(Config{ID: "a", Driver: Disabled, Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(4))}}})
	if want := "linux.resources.pids: the container has no cgroup (cgroup manager disabled)"; text(err) != want {
		t.Errorf("error %q, want %q", text(err), want)
	}
}

func TestLoadOnTheOtherVersionIsAnError(t *testing.T) {
	s := Saved{Driver: Cgroupfs, Version: 2, Paths: map[string]string{"": "/sys/fs/cgroup/a"}}
	want := "loading cgroup: it was made on cgroup v2, which is not what is mounted here"
	if probe(t).Unified {
		s.Version, want = 1, "loading cgroup: it was made on cgroup v1, which is not what is mounted here"
	}
	if _, err := Load(s); text(err) != want {
		t.Errorf("error %q, want %q", text(err), want)
	}
}
