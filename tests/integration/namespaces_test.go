package integration

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var namespaceFiles = map[specs.LinuxNamespaceType]string{
	specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts",
	specs.MountNamespace: "mnt", specs.CgroupNamespace: "cgroup", specs.UserNamespace: "user", specs.TimeNamespace: "time",
}

func ownNamespace(t *testing.T, kind specs.LinuxNamespaceType) string {
	t.Helper()
	link, err := os.Readlink("/proc/self/ns/" + namespaceFiles[kind])
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func TestListedNamespacesAreNewAndOthersAreTheCallers(t *testing.T) {
	listed := map[specs.LinuxNamespaceType]bool{
		specs.PIDNamespace: true, specs.MountNamespace: true, specs.UTSNamespace: true,
		specs.NetworkNamespace: false, specs.IPCNamespace: false, specs.UserNamespace: false,
	}
	r := New(t)
	seen := r.RunProbe(NewBundle(t, WithoutNamespace(specs.NetworkNamespace), WithoutNamespace(specs.IPCNamespace), func(s *specs.Spec) {
		// Neither can be mounted in a namespace of somebody else's.
		var kept []specs.Mount
		for _, m := range s.Mounts {
			if m.Type != "mqueue" && m.Type != "sysfs" {
				kept = append(kept, m)
			}
		}
		s.Mounts = kept
	}))
	for kind, isNew := range listed {
		own, got := ownNamespace(t, kind), seen.Namespaces[namespaceFiles[kind]]
		if (own != got) != isNew {
			t.Errorf("%s namespace is %s, the caller's %s; want a new one: %v", kind, got, own, isNew)
		}
	}
}

func TestCgroupNamespaceHidesThePath(t *testing.T) {
	r := New(t)
	b := NewBundle(t, WithNamespace(specs.CgroupNamespace, ""), Shell("cat /proc/self/cgroup"))
	for line := range strings.Lines(r.MustRun(b)) {
		if strings.Contains(line, "pids") || strings.HasPrefix(line, "0::") && CgroupV2() {
			if !strings.HasSuffix(strings.TrimSpace(line), ":/") {
				t.Errorf("cgroup %q, want /", line)
			}
		}
	}
}

func TestNamespaceIsJoinedByPath(t *testing.T) {
	for _, kind := range []specs.LinuxNamespaceType{
		specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace, specs.TimeNamespace, specs.MountNamespace,
	} {
		t.Run(string(kind), func(t *testing.T) {
			r := New(t)
			owner := NewBundle(t, Sleep, WithNamespace(specs.CgroupNamespace, ""))
			if kind == specs.MountNamespace {
				ZboxOnly(t, "runc needs a root of its own in it")
			}
			if kind == specs.TimeNamespace {
				ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket"), "runc has time namespaces since 1.2")
				owner.Change(WithNamespace(kind, ""))
			}
			first := r.Start(owner)
			path := fmt.Sprintf("/proc/%d/ns/%s", first.Pid, namespaceFiles[kind])
			want, err := os.Readlink(path)
			if err != nil {
				t.Fatal(err)
			}
			b := NewBundle(t, WithoutNamespace(kind), WithNamespace(kind, path))
			switch kind {
			case specs.UTSNamespace:
				b.Change(func(s *specs.Spec) { s.Hostname = "" })
			case specs.MountNamespace: // whose root is the first container's
				b.Change(func(s *specs.Spec) {
					s.Root.Path, s.Mounts, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = "/", s.Mounts[:1], nil, nil
				})
			}
			if got := r.RunProbe(b).Namespaces[namespaceFiles[kind]]; got != want {
				t.Errorf("%s namespace is %s, want %s", kind, got, want)
			}
		})
	}
}

func TestNetworkNamespaceIsJoinedByBindMountedPath(t *testing.T) {
	r := New(t)
	path := filepath.Join(t.TempDir(), "netns")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("unshare", "--net="+path, "ip", "link", "add", LinkPrefix()+"0", "type", "bridge").CombinedOutput(); err != nil {
		t.Fatalf("making a network namespace: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	got := r.MustRun(NewBundle(t, WithoutNamespace(specs.NetworkNamespace), WithNamespace(specs.NetworkNamespace, path), Args("/bin/ls", "/sys/class/net")))
	if !strings.Contains(got, LinkPrefix()+"0") {
		t.Errorf("links %q lack %s0", got, LinkPrefix())
	}
}

func TestInvalidNamespacesAreRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		mutate func(*specs.Spec)
		zbox   string
	}{
		{"path of another type", func(s *specs.Spec) {
			WithoutNamespace(specs.NetworkNamespace)(s)
			WithNamespace(specs.NetworkNamespace, "/proc/self/ns/uts")(s)
		}, "/proc/self/ns/uts"},
		{"path that is no namespace", func(s *specs.Spec) {
			WithoutNamespace(specs.NetworkNamespace)(s)
			WithNamespace(specs.NetworkNamespace, "/etc/passwd")(s)
		}, "/etc/passwd"},
		{"missing path", func(s *specs.Spec) {
			WithoutNamespace(specs.IPCNamespace)(s)
			WithNamespace(specs.IPCNamespace, "/no/such/path")(s)
		}, "/no/such/path"},
		{"duplicate type", WithNamespace(specs.UTSNamespace, ""), "linux.namespaces"},
		{"unknown type", WithNamespace("nosuch", ""), "nosuch"},
		{"hostname without a uts namespace", WithoutNamespace(specs.UTSNamespace), "hostname"},
		{"mappings without a user namespace", func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}
			s.Linux.GIDMappings = s.Linux.UIDMappings
		}, "linux.uidMappings"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.zbox == "linux.uidMappings" {
				ZboxOnly(t, "runc ignores them")
			}
			r := New(t)
			if IsZbox() {
				r.RefuseRun(NewBundle(t, test.mutate), test.zbox)
			} else {
				r.RefuseRun(NewBundle(t, test.mutate))
			}
		})
	}
}

func TestTimeNamespaceOffsets(t *testing.T) {
	ZboxOnly(t, "runc has time namespaces since 1.2")
	r := New(t)
	seen := r.RunProbe(NewBundle(t, WithNamespace(specs.TimeNamespace, ""), func(s *specs.Spec) {
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 172800}, "boottime": {Secs: 604800, Nanosecs: 5}}
	}))
	var mono, boot unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	const slack = 60
	if diff := seen.Monotonic - mono.Sec; diff < 172800-slack || diff > 172800+slack {
		t.Errorf("monotonic clock is %d s ahead, want 172800", diff)
	}
	if diff := seen.Boottime - boot.Sec; diff < 604800-slack || diff > 604800+slack {
		t.Errorf("boot time is %d s ahead, want 604800", diff)
	}
}

func TestTimeOffsetsWithoutTheNamespaceAreRefused(t *testing.T) {
	ZboxOnly(t, "runc has time namespaces since 1.2")
	r := New(t)
	r.RefuseRun(NewBundle(t, func(s *specs.Spec) {
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1}}
	}), "linux.timeOffsets")
}

func TestUserNamespaceMapsIDs(t *testing.T) {
	r := New(t)
	b := NewBundle(t, WithUserNamespace, Shell("id -u; cat /proc/self/uid_map /proc/self/gid_map; cat /proc/self/setgroups"))
	fields := strings.Fields(r.MustRun(b))
	if got, want := strings.Join(fields, " "), "0 0 100000 65536 0 100000 65536 allow"; got != want {
		t.Errorf("saw %s, want %s", got, want)
	}
}

func TestUserNamespaceMapsManyRanges(t *testing.T) {
	r := New(t)
	var ids []specs.LinuxIDMapping
	for i := range uint32(20) {
		ids = append(ids, specs.LinuxIDMapping{ContainerID: i * 100, HostID: 200000 + i*1000, Size: 10})
	}
	b := NewBundle(t, WithNamespace(specs.UserNamespace, ""), Shell("wc -l < /proc/self/uid_map; wc -l < /proc/self/gid_map"), func(s *specs.Spec) {
		s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
	})
	// No devpts option may name a group that is not mapped.
	b.Change(func(s *specs.Spec) {
		s.Mounts[2].Options = []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
	})
	if got := r.MustRun(b); got != "20\n20\n" {
		t.Errorf("ranges %q, want 20 of each", got)
	}
}

func TestUserNamespaceProcessIsTheMappedUserOnTheHost(t *testing.T) {
	r := New(t)
	c := r.Start(NewBundle(t, WithUserNamespace, Sleep, func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} }))
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d", c.Pid), &st); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\nUid:\t101000\t101000\t101000\t101000\n") {
		t.Errorf("the process is not uid 101000:\n%s", text)
	}
}

func TestUserNamespaceIsJoinedByPath(t *testing.T) {
	r := New(t)
	first := r.Start(NewBundle(t, WithUserNamespace, Sleep))
	path := func(kind string) string { return fmt.Sprintf("/proc/%d/ns/%s", first.Pid, kind) }
	b := NewBundle(t, WithNamespace(specs.UserNamespace, path("user")), WithoutNamespace(specs.NetworkNamespace), WithNamespace(specs.NetworkNamespace, path("net")), func(s *specs.Spec) {
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
		s.Linux.GIDMappings = s.Linux.UIDMappings
	})
	if !IsZbox() {
		t.Skip("zbox only: runc 1.1 refuses mappings beside a path, and needs them for the rest")
	}
	b.Change(func(s *specs.Spec) { s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil })
	want, _ := os.Readlink(path("user"))
	if got := r.RunProbe(b).Namespaces["user"]; got != want {
		t.Errorf("user namespace %s, want %s", got, want)
	}
}

func TestLoopbackIsUpInANewNetworkNamespace(t *testing.T) {
	r := New(t)
	if got := r.MustRun(NewBundle(t, Shell("ip addr show lo"))); !strings.Contains(got, "UP") || !strings.Contains(got, "127.0.0.1") {
		t.Errorf("lo is %q, want it up with 127.0.0.1", got)
	}
}

func TestSysctlIsSetInTheNamespace(t *testing.T) {
	values := map[string]string{
		"net.ipv4.ip_forward": "1", "net/core/somaxconn": "77", "kernel.domainname": "dom.example", "fs.mqueue.msg_max": "45",
		"kernel.msgmax": "8191", "kernel.msgmnb": "8190", "kernel.msgmni": "99", "kernel.sem": "1\t2\t3\t4", "kernel.shmall": "9999",
		"kernel.shmmax": "9998", "kernel.shmmni": "123", "kernel.shm_rmid_forced": "1",
	}
	r := New(t)
	b := NewBundle(t, func(s *specs.Spec) { s.Linux.Sysctl = values })
	var files []string
	keys := slices.Sorted(maps.Keys(values))
	for _, key := range keys {
		files = append(files, "/proc/sys/"+strings.ReplaceAll(key, ".", "/"))
	}
	b.Change(Args(append([]string{"/bin/cat"}, files...)...))
	lines := strings.Split(r.MustRun(b), "\n")
	for i, key := range keys {
		if lines[i] != values[key] {
			t.Errorf("%s is %q, want %q", key, lines[i], values[key])
		}
	}
}

func TestSysctlOfTheUserNamespace(t *testing.T) {
	r := New(t)
	ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket"), "runc has user.* since 1.2")
	const key = "/proc/sys/user/max_mnt_namespaces"
	got := r.MustRun(NewBundle(t, WithUserNamespace, Args("/bin/cat", key), func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{"user.max_mnt_namespaces": "55"}
	}))
	if got != "55\n" {
		t.Errorf("%s is %q, want 55", key, got)
	}
}

func TestSysctlThatIsNotTheContainersIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		key    string
		mutate func(*specs.Spec)
	}{
		{"not namespaced", "vm.swappiness", func(*specs.Spec) {}},
		{"network of the host", "net.ipv4.ip_forward", WithoutNamespace(specs.NetworkNamespace)},
		{"ipc of the host", "kernel.shmmni", WithoutNamespace(specs.IPCNamespace)},
		{"hostname", "kernel.hostname", func(*specs.Spec) {}},
		{"limits of the host's user namespace", "user.max_mnt_namespaces", func(*specs.Spec) {}},
		{"domain name of the host", "kernel.domainname", func(s *specs.Spec) { WithoutNamespace(specs.UTSNamespace)(s); s.Hostname = "" }},
		{"smuggled by a path", "net.ipv4/../../kernel.core_pattern", func(*specs.Spec) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if strings.Contains(test.key, "..") {
				ZboxOnly(t, "runc 1.1 fails later, with a message about the path")
			}
			r := New(t)
			if strings.HasPrefix(test.key, "user.") {
				ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket"), "runc has user.* since 1.2")
			}
			r.RefuseRun(NewBundle(t, test.mutate, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{test.key: "1"} }), test.key)
		})
	}
}

// Permanent addresses of global scope go with the device; others do not. It does not come back.
func TestNetDeviceMovesIntoTheContainer(t *testing.T) {
	for name, inside := range map[string]string{"": "", "renamed": "inner0", "by a template": "eth%d"} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket") && inside != "eth%d", "runc has linux.netDevices since 1.4, and no templates")
			host := LinkPrefix()
			makeNetDevice(t, host)
			want := inside
			switch inside {
			case "":
				want = host
			case "eth%d":
				want = "eth0"
			}
			got := r.MustRun(NewBundle(t, Shell("ip addr show "+want), func(s *specs.Spec) {
				s.Linux.NetDevices = map[string]specs.LinuxNetDevice{host: {Name: inside}}
			}))
			if !strings.Contains(got, "192.0.2.77/32") || !strings.Contains(got, ",UP") {
				t.Errorf("the device inside is %q, want it up with its address", got)
			}
			if strings.Contains(got, "192.0.2.78") || strings.Contains(got, "169.254.1.1") {
				t.Errorf("the device inside is %q, want no address that is not permanent and global", got)
			}
			if _, err := os.Stat("/sys/class/net/" + host); err == nil {
				t.Error("the device is on the host again")
			}
		})
	}
}

func makeNetDevice(t *testing.T, name string) {
	t.Helper()
	t.Cleanup(func() {
		for _, link := range []string{name, name + "p"} {
			_ = exec.Command("ip", "link", "del", link).Run() // it went with the container, or with its peer
		}
	})
	for _, args := range [][]string{
		{"link", "add", name, "type", "veth", "peer", "name", name + "p"},
		{"addr", "add", "192.0.2.77/32", "dev", name},
		{"addr", "add", "192.0.2.78/32", "dev", name, "valid_lft", "1000", "preferred_lft", "1000"},
		{"addr", "add", "169.254.1.1/16", "scope", "link", "dev", name},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
}

func TestNetDeviceThatCannotMoveIsRefusedAndStays(t *testing.T) {
	host := LinkPrefix()
	move := func(name, inside string) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{name: {Name: inside}} }
	}
	for name, mutations := range map[string][]func(*specs.Spec){
		"name that is taken":              {move(host, "lo")},
		"no network namespace of its own": {move(host, ""), WithoutNamespace(specs.NetworkNamespace)},
		"missing device":                  {move("zbtnosuch", "")},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket"), "runc has linux.netDevices since 1.4")
			makeNetDevice(t, host)
			if IsZbox() {
				r.RefuseRun(NewBundle(t, mutations...), "linux.netDevices")
				if _, err := os.Stat("/sys/class/net/" + host); err != nil { // runc's is lost
					t.Error("the device is gone")
				}
			} else {
				r.RefuseRun(NewBundle(t, mutations...))
			}
		})
	}
}
