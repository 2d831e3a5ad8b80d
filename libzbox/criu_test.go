package libzbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/criu"
	"github.com/bxrne/zbox/plan"
)

func TestFirstErrorOfALogIsTheReason(t *testing.T) {
	log := filepath.Join(t.TempDir(), "dump.log")
	text := `(00.000001) Version: 3.17.1
(00.318433) Warn  (criu/files.c:1): something (else)
(00.318434) pie: 12: Error (criu/pie/x.c:9): in the process
(00.318435) Error (criu/files-reg.c:1710): Can't lookup mount=22 for fd=1 path=/out
(00.473044) Error (criu/cr-dump.c:2053): Dumping FAILED.
`
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := firstError(log); got != "in the process" {
		t.Errorf("got %q", got)
	}
	if got := firstError(log + ".none"); got != "" {
		t.Errorf("without a log: %q", got)
	}
	o := CriuOptions{ImagePath: filepath.Dir(log)}
	want := "criu: in the process (" + log + " has the whole story)"
	if err := o.explain(&criu.Error{Text: "other", Errno: unix.EBUSY}, "dump.log"); err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := o.explain(unix.EBUSY, "dump.log"); !errors.Is(err, unix.EBUSY) {
		t.Errorf("another error became %v", err)
	}
}

func TestExternalsAreTheMountsOfTheHost(t *testing.T) {
	p := &plan.Plan{}
	for _, step := range []plan.Step{
		&plan.Mount{FSType: "tmpfs", Target: "/dev"},
		&plan.Bind{Source: "/srv/data", FD: plan.NoFD, Target: "/data", Flags: plan.MountRecursive},
		&plan.Bind{Source: "/srv/one", FD: plan.NoFD, Target: "/one"},
		&plan.Device{Path: "/dev/null", Bind: "/dev/null"},
		&plan.Device{Path: "/dev/zero"},
		&plan.Mask{Path: "/proc/kcore"},
	} {
		p.Add("", step)
	}
	got, err := externals(p)
	want := []external{
		{target: "/data", source: "/srv/data", name: "/data", recursive: true},
		{target: "/one", source: "/srv/one", name: "/one"},
		{target: "/dev/null", source: "/dev/null", name: "/dev/null"},
		{target: "/proc/kcore", source: "/dev/null", name: "/dev/null"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}

	p = &plan.Plan{}
	p.Add("mounts[0]", &plan.OpenTree{FD: 0, Path: "/srv", UIDs: []plan.IDMap{{Size: 1}}, GIDs: []plan.IDMap{{Size: 1}}})
	p.Add("mounts[0]", &plan.Bind{Source: "/srv", FD: 0, Target: "/data"})
	if _, err := externals(p); err == nil || err.Error() != "config.json: mounts[0] (/data): CRIU cannot restore an idmapped mount" {
		t.Errorf("an idmapped mount: %v", err)
	}
}

func TestMountPointsAreMadeBelowTheRootAndInSources(t *testing.T) {
	dir := t.TempDir()
	rootfs, data, file := filepath.Join(dir, "rootfs"), filepath.Join(dir, "data"), filepath.Join(dir, "file")
	for _, d := range []string{rootfs, data, filepath.Join(rootfs, "real"), filepath.Join(dir, "outside")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": "/real", "climbing": "../../../real"} {
		if err := os.Symlink(target, filepath.Join(rootfs, name)); err != nil {
			t.Fatal(err)
		}
	}
	p := &plan.Plan{}
	for _, step := range []plan.Step{
		&plan.Mount{FSType: "tmpfs", Target: "/a/tmp"},
		&plan.Bind{Source: file, FD: plan.NoFD, Target: "/a/tmp/file"}, // comes with the tmpfs
		&plan.Bind{Source: data, FD: plan.NoFD, Target: "/data"},
		&plan.Bind{Source: file, FD: plan.NoFD, Target: "/data/below/file"}, // is made in the source
		&plan.Bind{Source: file, FD: plan.NoFD, Target: "/link/file"},
		&plan.Bind{Source: data, FD: plan.NoFD, Target: "/climbing/directory"},
		&plan.Mask{Path: "/masked"},
	} {
		p.Add("mounts[0]", step)
	}
	if err := makeMountPoints(rootfs, p); err != nil {
		t.Fatal(err)
	}
	var made []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		made = append(made, strings.TrimPrefix(path, dir)+map[bool]string{true: "/"}[d.IsDir()])
		return err
	})
	want := []string{
		"/", "/data/", "/data/below/", "/data/below/file", "/file", "/outside/", "/rootfs/", "/rootfs/a/", "/rootfs/a/tmp/", "/rootfs/climbing",
		"/rootfs/data/", "/rootfs/link", "/rootfs/real/", "/rootfs/real/directory/", "/rootfs/real/file",
	}
	if err != nil || !slices.Equal(made, want) {
		t.Errorf("there is\n%q, %v, want\n%q", made, err, want)
	}

	p = &plan.Plan{}
	p.Add("mounts[3]", &plan.Bind{Source: "/nowhere", FD: plan.NoFD, Target: "/x"})
	if err := makeMountPoints(rootfs, p); err == nil || err.Error() != "config.json: mounts[3] (/x): source: stat /nowhere: no such file or directory" {
		t.Errorf("a missing source: %v", err)
	}
}

func TestLimitsOfThePlanHoldForEachThread(t *testing.T) {
	limits := processLimits{caps: 1<<unix.CAP_KILL | 1<<unix.CAP_CHOWN, noNewPrivs: true, seccomp: true}
	const good = "State:\tS (sleeping)\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000020\nCapEff:\t0000000000000020\nCapBnd:\t0000000000000021\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
	p := &performer{spec: &specs.Spec{Process: &specs.Process{}}}
	thread := t.TempDir()
	for _, test := range []struct{ old, new, want string }{
		{"", "", ""},
		{good, "State:\tZ (zombie)\nCapPrm:\t0000000000200020\nNoNewPrivs:\t0\nSeccomp:\t0\n", ""},
		{"Seccomp:\t2", "", "it has no seccomp filter, which linux.seccomp asks for"},
		{"CapPrm:\t0000000000000020", "CapPrm:\t0000000000200020", "it has capabilities that process.capabilities does not list (CapPrm: 0x200000)"},
		{"CapBnd:\t0000000000000021", "CapBnd:\t0000000000000023", "it has capabilities that process.capabilities does not list (CapBnd: 0x2)"},
		{"NoNewPrivs:\t1", "NoNewPrivs:\t0", "it may gain privileges, which process.noNewPrivileges forbids"},
		{"Seccomp:\t2", "Seccomp:\t0", "it has no seccomp filter, which linux.seccomp asks for"},
	} {
		if err := os.WriteFile(filepath.Join(thread, "status"), []byte(strings.Replace(good, test.old, test.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := p.checkThread(thread, limits); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.new, got, test.want)
		}
	}
}
