package compile

import (
	"reflect"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// What plan.txt does not show of a step: the whole step is in the plan.
func TestStepFields(t *testing.T) {
	const anyGroup = ^uint32(0)
	hook := specs.Hook{Path: "/h"}
	full := specs.Hook{Path: "/h", Args: []string{"h", "x"}, Env: []string{"A=1"}, Timeout: pointer(9)}
	ranges := func(size uint32) change {
		return change(rootless).and(linux(func(l *specs.Linux) {
			l.UIDMappings[0].Size, l.GIDMappings[0].Size = size, size
		}))
	}
	for _, tc := range []struct {
		name   string
		change change
		want   plan.Step
	}{
		{"root of a user namespace drops the caller's groups", ranges(2), &plan.Become{Setgroups: 1}},
		{"setgroups is denied with one group", rootless, &plan.Become{}},
		{"setgroups is not denied with a range of groups", ranges(2), &plan.User{}},
		{"groups stay where setgroups is denied", rootless, &plan.User{KeepGroups: 1}},
		{"groups stay when asked", spec(func(s *specs.Spec) {
			s.Annotations = map[string]string{"run.oci.keep_original_groups": "1"}
		}), &plan.User{KeepGroups: 1}},
		{"groups do not stay for another value", spec(func(s *specs.Spec) {
			s.Annotations = map[string]string{"run.oci.keep_original_groups": "0"}
		}), &plan.User{}},
		{
			"proc may not be behind a symlink (CVE-2019-19921)", mounts(fsMount("proc")),
			&plan.Mount{FSType: "proc", Source: "/s", Target: "/m", Flags: plan.MountRealDir},
		},
		{
			"sysfs may not be behind a symlink", mounts(fsMount("sysfs")),
			&plan.Mount{FSType: "sysfs", Source: "/s", Target: "/m", Flags: plan.MountRealDir},
		},
		{
			"cgroup may not be behind a symlink", mounts(fsMount("cgroup")).and(func(r *Request) { r.Facts.Cgroup.Unified = false }),
			&plan.Mount{
				FSType: "tmpfs", Source: "tmpfs", Options: []string{"mode=755"}, Target: "/m", Flags: plan.MountRealDir,
				Attr: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
			},
		},
		{
			"cgroup v2 may not be behind a symlink", mounts(fsMount("cgroup")).and(namespacesOf(specs.MountNamespace, specs.CgroupNamespace)),
			&plan.Mount{FSType: "cgroup2", Source: "cgroup", Target: "/m", Flags: plan.MountRealDir},
		},
		{
			"the host's cgroups are read-only for a user namespace (CVE-2023-25809)", change(rootless).and(euid(0), mounts(fsMount("cgroup", "rw"))),
			&plan.Bind{Source: "/sys/fs/cgroup", FD: plan.NoFD, Target: "/m", AttrSet: unix.MOUNT_ATTR_RDONLY},
		},
		{
			"and for a zbox that is in one itself, with what is mounted there",
			mounts(fsMount("cgroup", "rw")).and(func(r *Request) { r.Facts.InUserns = true }),
			&plan.Bind{
				Source: "/sys/fs/cgroup", FD: plan.NoFD, Target: "/m", AttrSet: unix.MOUNT_ATTR_RDONLY, RecSet: unix.MOUNT_ATTR_RDONLY,
				Flags: plan.MountRecursive,
			},
		},
		{
			"groups that cannot be set are left alone", change(func(r *Request) { r.Facts.SetgroupsDenied = true }),
			&plan.User{KeepGroups: 1},
		},
		{
			"a hook's name is its first argument", spec(func(s *specs.Spec) { s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{hook}} }),
			&plan.Hook{
				Kind: "startContainer", Path: "/h", Args: []string{"/h"}, FD: plan.NoFD,
				StateHead: `{"ociVersion":"1.3.0","id":"box","bundle":"/bundle","pid":`, StateTail: `,"status":"created"}`,
			},
		},
		{"a hook with everything", spec(func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{full}} }), &plan.Hook{
			Kind: "createContainer", Path: "/h", Args: []string{"h", "x"}, Env: []string{"A=1"}, Timeout: 9, FD: 0,
			StateHead: `{"ociVersion":"1.3.0","id":"box","bundle":"/bundle","pid":`, StateTail: `,"status":"creating"}`,
		}},
		{"a missing working directory is made", process(func(p *specs.Process) { p.Cwd = "/w" }), &plan.Mkdir{Path: "/w"}},
		{"no working directory is the root", process(func(p *specs.Process) { p.Cwd = "" }), &plan.Chdir{Path: "/"}},
		{"the root directory is never made", process(func(p *specs.Process) { p.Cwd = "//" }), (*plan.Mkdir)(nil)},
		{"the umask has nine bits", process(func(p *specs.Process) { p.User.Umask = pointer(uint32(0o7077)) }), &plan.Umask{Mask: 0o077}},
		{"the last PATH counts", process(func(p *specs.Process) { p.Env = []string{"PATH=/a", "PATH=/b"} }), &plan.Find{Program: "/bin/true", Path: "/b"}},
		{
			"no PATH is the usual one", process(func(p *specs.Process) { p.Env = []string{"XPATH=/a"} }),
			&plan.Find{Program: "/bin/true", Path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
		{
			"the terminal belongs to the user", process(func(p *specs.Process) { p.Terminal, p.User.UID = true, 7 }),
			&plan.Console{UID: 7, GID: anyGroup, Mount: 1},
		},
		{"the size needs a terminal", process(func(p *specs.Process) { p.ConsoleSize = &specs.Box{Width: 1, Height: 2} }), nil},
		{
			"the filter and its listener", linux(func(l *specs.Linux) {
				l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{}, Syscalls: []specs.LinuxSyscall{{Action: specs.ActNotify}}}
			}).and(func(r *Request) { r.Filter = []byte{1, 2} }),
			&plan.Seccomp{Filter: []byte{1, 2}, Notify: 1, Rules: "default SCMP_ACT_ALLOW, 0 system calls in 1 rule, the native architecture"},
		},
		{"a FIFO needs no host in a user namespace", change(rootless).and(linux(func(l *specs.Linux) {
			l.Devices = []specs.LinuxDevice{{Path: "/dev/null", Type: "p"}, {Path: "/dev/zero", Type: "p"}}
		}), justDevice("/dev/null")), &plan.Device{Path: "/dev/null", Mode: unix.S_IFIFO | 0o666}},
		{
			"devices are bound where zbox itself is in a user namespace", change(func(r *Request) { r.Facts.InUserns = true }),
			&plan.Device{Path: "/dev/null", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3, Bind: "/dev/null"},
		},
		{
			"a resctrl class of its own name", linux(func(l *specs.Linux) { l.IntelRdt = &specs.LinuxIntelRdt{ClosID: "c", EnableMonitoring: true} }),
			&plan.IntelRdt{ClosID: "c", Monitoring: true},
		},
		{"a capability that zbox itself has not is left out", process(func(p *specs.Process) {
			p.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_KILL"}}
		}).and(func(r *Request) { r.Facts.Caps = 1 }), &plan.Bounding{Keep: 1}},
		{"no capabilities at all", nil, &plan.Capset{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := baseRequest()
			if tc.change != nil {
				tc.change(&r)
			}
			p, _, err := Create(r)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == nil {
				tc.want = (*plan.Console)(nil)
			}
			checkStep(t, p, tc.want)
		})
	}
}

// justDevice removes the other devices of the configuration, so that the first one in the plan is the one to look at.
func justDevice(path string) change {
	return linux(func(l *specs.Linux) {
		for _, d := range defaultDevices {
			if d.Path != path {
				l.Devices = append(l.Devices, specs.LinuxDevice{Path: d.Path, Type: "p"})
			}
		}
	})
}

// checkStep compares the plan's first step of want's type with it; a nil pointer means that there is none.
func checkStep(t *testing.T, p *plan.Plan, want plan.Step) {
	t.Helper()
	kind := reflect.TypeOf(want)
	i := slices.IndexFunc(p.Steps, func(s plan.Step) bool { return reflect.TypeOf(s) == kind })
	switch {
	case i < 0 && !reflect.ValueOf(want).IsNil():
		t.Errorf("no %s in\n%s", want.Name(), p)
	case i >= 0 && !reflect.DeepEqual(p.Steps[i], want):
		t.Errorf("got  %#v\nwant %#v", p.Steps[i], want)
	}
}

func TestExecOfAUserNamespaceDropsTheCallersGroups(t *testing.T) {
	for _, tc := range []struct {
		name string
		euid uint32
		size uint32
		want *plan.Become
	}{
		{"root", 0, 1, &plan.Become{Setgroups: 1}},
		{"rootless with a range", 1000, 2, &plan.Become{Setgroups: 1}},
		{"rootless with one group", 1000, 1, &plan.Become{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := baseRequest()
			rootless(&r)
			r.Spec.Linux.GIDMappings[0].Size = tc.size
			r.Facts.EUID = tc.euid
			p, _, err := Exec(ExecRequest{ID: "box", Spec: r.Spec, Process: r.Spec.Process, Facts: r.Facts, OwnUserns: true})
			if err != nil {
				t.Fatal(err)
			}
			checkStep(t, p, tc.want)
		})
	}
}

func TestParseMask(t *testing.T) {
	for _, tc := range []struct {
		list string
		want []byte
		err  string
	}{
		{"", nil, ""},
		{" ", nil, ""},
		{"0", []byte{1, 0, 0, 0, 0, 0, 0, 0}, ""},
		{" 1 - 3 , 8", []byte{0x0e, 1, 0, 0, 0, 0, 0, 0}, ""},
		{"63-64", []byte{0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0, 0}, ""},
		{"3-1", nil, `"3-1" is not a list such as 0-3,7`},
		{"1,,2", nil, `"1,,2" is not a list such as 0-3,7`},
		{"-1", nil, `"-1" is not a list such as 0-3,7`},
		{"65536", nil, `"65536" is not a list such as 0-3,7`},
		{"0-4294967295", nil, `"0-4294967295" is not a list such as 0-3,7`},
	} {
		got, err := parseMask(tc.list)
		if !slices.Equal(got, tc.want) || (err == nil) != (tc.err == "") || (err != nil && err.Error() != tc.err) {
			t.Errorf("%q: got %x, %v; want %x, %s", tc.list, got, err, tc.want, tc.err)
		}
	}
	if got, err := parseMask("65535"); err != nil || len(got) != 8192 {
		t.Errorf("the largest bit: got %d bytes, %v", len(got), err)
	}
}

// The features document lists every word that CONTRACT.md 2.3 names.
func TestVocabularies(t *testing.T) {
	options := MountOptions()
	if !slices.IsSorted(options) {
		t.Error("mount options are not sorted")
	}
	for _, want := range []string{
		"defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "mand", "nomand", "atime",
		"noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime", "remount", "bind", "rbind", "private",
		"rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable", "rro", "rrw", "rnosuid", "rsuid", "rnodev", "rdev",
		"rnoexec", "rexec", "rnoatime", "ratime", "rnodiratime", "rdiratime", "rrelatime", "rnorelatime", "rstrictatime", "rnostrictatime",
		"rsymfollow", "rnosymfollow", "symfollow", "nosymfollow", "iversion", "noiversion", "lazytime", "nolazytime", "loud", "silent",
		"idmap", "ridmap", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow",
	} {
		if !slices.Contains(options, want) {
			t.Errorf("mount option %s is missing", want)
		}
	}
	caps := Capabilities()
	if len(caps) != 41 || caps[unix.CAP_SYS_ADMIN] != "CAP_SYS_ADMIN" || caps[unix.CAP_CHECKPOINT_RESTORE] != "CAP_CHECKPOINT_RESTORE" {
		t.Errorf("capabilities are not in the order of their numbers: %v", caps)
	}
}

func pointer[T any](v T) *T { return &v }
