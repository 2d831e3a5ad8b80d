package sandbox

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// ociRuntimes are the programs that run bundles here. Debian's crun needs CAP_SYS_RESOURCE, which root has in tests/vm.
func ociRuntimes(r *integration.Runtime) []string {
	all := []string{r.Path, "runc"}
	if integration.HasSystemd() {
		all = append(all, "crun")
	}
	return all
}

// mapsIDs: runc before 1.2 does not know the id maps of mounts, and says so nowhere.
func mapsIDs(runtime string) bool { return runtime != "runc" }

// bundleOf is what zbox spec writes.
func bundleOf(t *testing.T, r *integration.Runtime, b box, args ...string) string {
	t.Helper()
	bundle := filepath.Join(integration.PublicDir(t), "bundle")
	res := r.Do(append([]string{"spec", "-c", b.write(t), "-b", bundle, "--"}, args...)...)
	if res.Code != 0 {
		t.Fatalf("spec: exit code %d, %s", res.Code, res.Stderr)
	}
	return bundle
}

func runOn(t *testing.T, r *integration.Runtime, runtime, bundle string) string {
	t.Helper()
	out, err := exec.Command(runtime, "--root", filepath.Join(t.TempDir(), "state"), "run", "-b", bundle, r.Marker+"-"+filepath.Base(runtime)).CombinedOutput()
	if err != nil {
		return string(out) + err.Error()
	}
	return string(out)
}

// portableCases are sandboxes of every kind of root. What they print, they print under zbox -c and on every runtime, and each time.
func portableCases(t *testing.T, r *integration.Runtime) map[string]struct {
	box    box
	script string
	want   string
} {
	base, work := integration.PublicDir(t), integration.PublicDir(t)
	tree(t, base, "etc/motd", "usr/bin/tool", "bin -> usr/bin", "var/lib/", "var/run -> ../run", "run/", "tmp/hidden")
	tree(t, work, "file", "sub/")
	mounts := []any{map[string]any{"source": work, "target": "/var/run/work", "readonly": true}, map[string]any{"source": work + "/file", "target": "/opt/a file"}}
	fresh := newBox(t, r).with("hostname", "box").with("tmpfs_size_mb", 2)
	layered := fresh.with("root", base).with("mounts", mounts).with("cwd", "/var/run/cwd")
	const readonly = `(echo > /x) 2>/dev/null || echo cannot; echo y > /tmp/y && cat /tmp/y; ls -A /dev | grep '^[.]'; cat /proc/1/comm`
	return map[string]struct {
		box    box
		script string
		want   string
	}{
		"fresh root": {
			fresh,
			`ls -A /; echo new > /out; mkdir /etc/new /dir; rm /etc/group; cat /out /etc/hostname; ls -A /dev | grep '^[.]'
			dd if=/dev/zero of=/big bs=1M count=9 2>/dev/null; stat -c %s /big; rm /big; dd if=/dev/zero of=/etc/big bs=1M count=9 2>/dev/null; stat -c %s /etc/big`,
			"bin\ndev\netc\nproc\nsys\ntmp\nnew\nbox\n2093056\n2093056\n",
		},
		"content": {
			layered,
			`pwd; cat /etc/motd /var/run/work/file '/opt/a file'; (echo > /var/run/work/x) 2>/dev/null || echo cannot; ls /bin/ /tmp; readlink /bin
			echo new > /usr/bin/new; cat /bin/new; ls -A /run /; echo x > /tmp/x; cat /tmp/x; id -u; stat -c %U /bin`,
			"/run/cwd\nmotd\nfile\nfile\ncannot\n/bin/:\nbusybox\ntool\n\n/tmp:\nusr/bin\nnew\n/:\nbin\ndev\netc\nopt\nproc\nrun\nsys\ntmp\nusr\nvar\n\n/run:\ncwd\nwork\nx\n0\nroot\n",
		},
		"user and init": {
			fresh.with("uid", 7).with("gid", 8).with("init", true),
			`id -u; id -g; cat /proc/1/cmdline | tr '\0' ' ' | cut -c 1-9; (echo > /x) 2>/dev/null || echo cannot; echo y > /tmp/y; cat /tmp/y`,
			"7\n8\n/dev/init\ncannot\ny\n",
		},
		"readonly":              {fresh.with("readonly_root", true).with("cwd", "/a/b"), readonly + `; pwd`, "cannot\ny\nbusybox\n/a/b\n"},
		"readonly with content": {layered.with("readonly_root", true), readonly + `; cat /etc/motd`, "cannot\ny\nbusybox\nmotd\n"},
	}
}

// A bundle of zbox spec is OCI that every runtime runs, and what runs in it sees what it would under zbox -c. What is written to its root is
// limited and thrown away.
func TestBundlesRunOnOtherRuntimes(t *testing.T) {
	r := integration.New(t)
	for name, test := range portableCases(t, r) {
		t.Run(name, func(t *testing.T) {
			expect(t, r, test.box, test.script, test.want)
			bundle := bundleOf(t, r, test.box, "sh", "-c", test.script)
			before := state(t, filepath.Join(bundle, "rootfs"))
			for _, runtime := range ociRuntimes(r) {
				for range 2 {
					if got := runOn(t, r, runtime, bundle); got != test.want && !(test.box["mounts"] != nil && !mapsIDs(runtime) && got == strings.Replace(test.want, "root\n", "nobody\n", 1)) {
						t.Errorf("%s: got\n%s\nwant\n%s", runtime, got, test.want)
					}
				}
			}
			if after := state(t, filepath.Join(bundle, "rootfs")); after != before {
				t.Errorf("the bundle's rootfs was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// The bundle runs on other runtimes with all layers, and persist keeps what is written.
func TestBundlesWithLayersRunOnOtherRuntimes(t *testing.T) {
	r := integration.New(t)
	dir := integration.PublicDir(t)
	tree(t, dir, "base/etc/motd", "base/dir/", "work/")
	b := newBox(t, r).with("root", filepath.Join(dir, "base")).with("persist", filepath.Join(dir, "keep")).
		with("workspace", map[string]any{"source": filepath.Join(dir, "work")})
	bundle := filepath.Join(dir, "bundle")
	res := r.Do("spec", "-c", b.write(t), "-b", bundle, "--", "sh", "-c", "cat /etc/motd; cat /made 2>/dev/null; echo x >> /made; id -u; (echo w >> file) 2>/dev/null; true")
	for _, name := range []string{"base", "work"} {
		if want := dir + "/" + name + " is id-mapped: runtimes that cannot do that, such as runc before 1.2, show its files as nobody's and write none\n"; res.Code != 0 || !strings.Contains(res.Stderr, want) {
			t.Errorf("exit code %d, %q, want %q", res.Code, res.Stderr, want)
		}
	}
	kept, written := "", 0
	for range 2 {
		for _, runtime := range ociRuntimes(r) {
			got := runOn(t, r, runtime, bundle)
			if want := "motd\n" + kept + "0\n"; got != want {
				t.Errorf("%s: %q, want %q", runtime, got, want)
			}
			kept += "x\n"
			if mapsIDs(runtime) {
				written++
			}
			if text, _ := os.ReadFile(filepath.Join(dir, "work/file")); string(text) != strings.Repeat("w\n", written) {
				t.Errorf("%s: the workspace has %q", runtime, text)
			}
		}
	}
}

// What an earlier run has left in persist leads to no other place than in the sandbox.
func TestHostileLayerOfABundleReachesNothingOfTheHost(t *testing.T) {
	r := integration.New(t)
	dir := integration.PublicDir(t)
	tree(t, dir, "host/file", "work/file")
	b := newBox(t, r).with("persist", filepath.Join(dir, "keep"))
	r.Must("-c", b.write(t), "--", "sh", "-c", "ln -s "+dir+"/host /a")
	b = b.with("workspace", map[string]any{"source": filepath.Join(dir, "work"), "target": "/a/work"}).with("cwd", "/")
	bundle := bundleOf(t, r, b, "sh", "-c", "cat /a/work/file; ls "+dir+"/host")
	for _, runtime := range ociRuntimes(r) {
		if got := runOn(t, r, runtime, bundle); got != "file\nwork\n" {
			t.Errorf("%s: %q", runtime, got)
		}
	}
	if names, _ := os.ReadDir(filepath.Join(dir, "host")); len(names) != 1 {
		t.Errorf("the host has %v", names)
	}
}

// Only what is below the rootfs is seen from there, by processes of exec, too.
func TestBundleOnItsRootfsHidesWhatItCovers(t *testing.T) {
	r := integration.New(t)
	bundle := bundleOf(t, r, newBox(t, r), "sh", "-c", "echo > /covers; exec sleep 100")
	for _, runtime := range ociRuntimes(r) {
		state, id := filepath.Join(t.TempDir(), "state"), r.Marker+"-"+filepath.Base(runtime)
		// Its output stays open for as long as the program runs.
		if err := exec.Command(runtime, "--root", state, "run", "-d", "-b", bundle, id).Run(); err != nil {
			t.Fatalf("%s: %v", runtime, err)
		}
		integration.Eventually(t, runtime+": the program has written", func() bool {
			out, _ := exec.Command(runtime, "--root", state, "exec", id, "/bin/busybox", "ls", "/..").CombinedOutput()
			return string(out) == "bin\ncovers\ndev\netc\nproc\nsys\ntmp\n"
		})
		if out, err := exec.Command(runtime, "--root", state, "delete", "--force", id).CombinedOutput(); err != nil {
			t.Errorf("%s: %s, %v", runtime, out, err)
		}
	}
}

// Runtimes that hold the rootfs by a descriptor, as runc 1.5, do not see what a hook mounts on it. So what has a name there is the
// sandbox's all the same, and where that cannot be, in / itself, nothing can be written to the bundle. Here a second hook looks at it.
func TestRootfsOfABundleIsNotWrittenByRuntimesThatHoldIt(t *testing.T) {
	r := integration.New(t)
	dir := integration.PublicDir(t)
	tree(t, dir, "base/etc/motd", "base/usr/bin/tool", "base/bin -> usr/bin", "base/var/lib/")
	bundle := bundleOf(t, r, newBox(t, r).with("root", filepath.Join(dir, "base")), "sh", "-c", "cat /etc/new")
	seen := filepath.Join(dir, "seen")
	if err := os.WriteFile(seen, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(seen, 0o666); err != nil {
		t.Fatal(err)
	}
	const script = `exec > $0; cat etc/motd; ls bin/ dev/null proc/self/comm; (echo > top) 2>/dev/null || echo cannot; echo new > etc/new`
	path := filepath.Join(bundle, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	hooks := config["hooks"].(map[string]any)
	hooks["createContainer"] = append(hooks["createContainer"].([]any), map[string]any{"path": "/bin/busybox", "args": []string{"busybox", "sh", "-c", script, seen}})
	if text, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, runtime := range []string{r.Path, "runc"} { // which start hooks in the rootfs
		before := state(t, filepath.Join(bundle, "rootfs"))
		if got := runOn(t, r, runtime, bundle); got != "new\n" {
			t.Errorf("%s: %q", runtime, got)
		}
		if got, _ := os.ReadFile(seen); string(got) != "motd\ndev/null\nproc/self/comm\n\nbin/:\nbusybox\ntool\ncannot\n" {
			t.Errorf("%s: %q", runtime, got)
		}
		if after := state(t, filepath.Join(bundle, "rootfs")); after != before {
			t.Errorf("%s: the bundle's rootfs was\n%s\nand is\n%s", runtime, before, after)
		}
	}
}
