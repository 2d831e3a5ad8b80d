package security

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/tests/integration"
)

// The rootless configuration binds the host's /sys and has no cgroup namespace. The host's cgroup belongs to the container's root,
// so that only a read-only mount is in the way.
func TestRootlessContainerCannotWriteTheHostsCgroups_CVE_2023_25809(t *testing.T) {
	r := integration.New(t)
	dir := t.TempDir()
	spec := r.DoCommand(inDirectory(r.Command("spec", "--rootless"), dir))
	if spec.Code != 0 {
		t.Fatalf("spec --rootless: exit %d: %s", spec.Code, spec.Stderr)
	}
	var generated specs.Spec
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(dir, "config.json"))), &generated); err != nil {
		t.Fatal(err)
	}
	mounts := func(cgroups specs.Mount) []specs.Mount {
		var kept []specs.Mount
		for _, m := range generated.Mounts {
			if m.Destination != "/sys/fs/cgroup" {
				kept = append(kept, m)
			}
		}
		return append(kept, cgroups)
	}
	for _, test := range []struct {
		name   string
		mounts []specs.Mount
	}{
		{"as spec --rootless has it", generated.Mounts},
		{"cgroup mount that asks for ro", mounts(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}})},
		{"cgroup mount that asks for nothing", mounts(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup"})},
	} {
		t.Run(test.name, func(t *testing.T) {
			if strings.HasSuffix(test.name, "nothing") {
				integration.V2Only(t) // version 1 shows no more than the container's own cgroup, which is its to use
			}
			r := integration.New(t)
			b := integration.NewBundle(t, integration.WithUserNamespace, func(s *specs.Spec) {
				s.Mounts = test.mounts
				integration.WithoutNamespace(specs.CgroupNamespace)(s)
				s.Linux.CgroupsPath = "/" + r.Marker + "/own"
				s.Linux.Resources = nil
				integration.Shell(`id -u
for d in ` + hierarchies() + ` $(find /sys/fs/cgroup -maxdepth 4 -type d -name "` + r.Marker + `" 2>/dev/null); do
(: >>$d/cgroup.procs) 2>/dev/null && echo writable $d; mkdir $d/escape 2>&1 && echo ESCAPED $d; done; true`)(s)
			})
			symlink(t, "busybox", b.Rootfs("bin/find"))
			given := giveCgroup(t, r.Marker, 100000)
			out := r.MustRun(b)
			if !strings.HasPrefix(out, "0\n") || !strings.Contains(out, "Read-only file system") {
				t.Errorf("the container could not even try: %s", out)
			}
			if strings.Contains(out, "ESCAPED") || strings.Contains(out, "writable") {
				t.Errorf("the container can write the host's cgroups: %s", out)
			}
			for _, path := range given {
				for _, escape := range []string{"escape", "own/escape"} {
					if os.Remove(filepath.Join(path, escape)) == nil {
						t.Errorf("%s was made in %s", escape, path)
					}
				}
			}
		})
	}
}

// The first way of the advisory: the runtime itself runs in a user namespace, as root there. This root is the owner of the host's
// cgroups, and the container has neither a user nor a cgroup namespace of its own.
func TestContainerOfANestedRuntimeCannotWriteTheHostsCgroups_CVE_2023_25809(t *testing.T) {
	integration.ZboxOnlyUnless(t, integration.CgroupV2(), "version 1 shows no more than the container's own cgroup, which runc lets it write")
	r := integration.New(t)
	b := integration.NewBundle(t, integration.WithoutNamespace(specs.CgroupNamespace), func(s *specs.Spec) {
		for i, m := range s.Mounts { // only root's group is mapped
			s.Mounts[i].Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "gid=5" })
		}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"rw"}})
		s.Linux.CgroupsPath = "/" + r.Marker + "/own"
		s.Linux.Resources = nil
		integration.Shell(`id -u
for d in ` + hierarchies() + ` /sys/fs/cgroup/` + r.Marker + `; do mkdir $d/escape 2>&1 && echo ESCAPED $d; done; true`)(s)
	})
	given := giveCgroup(t, r.Marker, 0)
	cmd := r.RunCommand(b)
	cmd.Args = append([]string{"unshare", "--user", "--map-root-user", "--mount", cmd.Path}, cmd.Args[1:]...)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = unshare
	res := r.DoCommand(cmd)
	if res.Code != 0 || !strings.HasPrefix(res.Stdout, "0\n") || !strings.Contains(res.Stdout, "Read-only file system") {
		t.Errorf("the container could not even try: exit %d: %s%s", res.Code, res.Stdout, res.Stderr)
	}
	if strings.Contains(res.Stdout, "ESCAPED") {
		t.Errorf("the container can write the host's cgroups: %s", res.Stdout)
	}
	for _, path := range given {
		for _, escape := range []string{"escape", "own/escape"} {
			if os.Remove(filepath.Join(path, escape)) == nil {
				t.Errorf("%s was made in %s", escape, path)
			}
		}
	}
}

// hierarchies matches the mount points of cgroup file systems.
func hierarchies() string {
	if integration.CgroupV2() {
		return "/sys/fs/cgroup"
	}
	return "/sys/fs/cgroup/*"
}

// giveCgroup makes cgroups NAME and NAME/own in every hierarchy and gives them to a user of the host, as a delegation would.
func giveCgroup(t *testing.T, name string, uid int) []string {
	t.Helper()
	var given []string
	roots, err := filepath.Glob(hierarchies())
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range roots {
		path := filepath.Join(root, name)
		if info, err := os.Lstat(root); err != nil || info.Mode()&os.ModeSymlink != 0 {
			continue
		}
		if strings.HasSuffix(root, "/cpuset") { // empty at first and takes no process: left to the runtime
			t.Cleanup(func() { _ = os.Remove(path) })
			continue
		}
		if err := os.Mkdir(path, 0o755); err != nil {
			continue
		}
		given = append(given, path)
		if err := os.Mkdir(filepath.Join(path, "own"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, owned := range []string{path, filepath.Join(path, "own"), filepath.Join(path, "cgroup.procs"), filepath.Join(path, "own", "cgroup.procs")} {
			if err := os.Chown(owned, uid, uid); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(given) == 0 {
		t.Fatal("no cgroup could be made")
	}
	t.Cleanup(func() {
		for _, path := range given {
			_ = os.Remove(filepath.Join(path, "own"))
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		}
	})
	return given
}
