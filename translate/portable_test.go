package translate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// portableBundle is what zbox spec writes.
func portableBundle(t *testing.T, c *Config, o Options) (dir string, warnings []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "bundle")
	o.Portable, o.HelperProgram = true, []byte("helper")
	warnings, err := c.Bundle(dir, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return dir, warnings
}

// Few runtimes can mount on /, so the rootfs is a root, and a hook puts the layers on it.
func TestPortableBundleMountsNothingOnTheRoot(t *testing.T) {
	tmp := t.TempDir()
	base := makeBase(t, tmp)
	fresh := &Config{Name: "box", Binary: static(t, tmp), Root: "/nonexistent", CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1}
	content, readonly, persist := *fresh, *fresh, *fresh
	content.Root, readonly.Root, readonly.ReadonlyRoot, persist.Persist = base, base, true, filepath.Join(tmp, "keep")
	for name, test := range map[string]struct {
		config *Config
		hook   string   // behind the path of the rootfs
		layers []string // the mounts that it uses
	}{
		"fresh":    {fresh, "upper", []string{"tmpfs tmpfs /dev/.upper nosuid,nodev,mode=755,size=512k"}},
		"content":  {&content, "base upper", []string{"bind /base /dev/.base bind,ro,nosuid,nodev", "tmpfs tmpfs /dev/.upper nosuid,nodev,mode=755,size=512k"}},
		"readonly": {&readonly, "base", []string{"bind /base /dev/.base bind,ro,nosuid,nodev"}},
		"persist":  {&persist, "upper", []string{"bind /keep /dev/.upper bind,rw,nosuid,nodev"}},
	} {
		dir, warnings := portableBundle(t, preset(test.config), self())
		warnings = slices.DeleteFunc(warnings, func(w string) bool { return name == "persist" && strings.HasPrefix(w, "persist: ") })
		s := readSpec(t, dir)
		var layers []string
		for _, m := range s.Mounts {
			if m.Destination == "/" {
				t.Errorf("%s: %s on /", name, m.Type)
			}
			if strings.HasPrefix(m.Destination, "/dev/.") {
				line := m.Type + " " + m.Source + " " + m.Destination + " " + strings.Join(m.Options, ",")
				layers = append(layers, strings.ReplaceAll(line, tmp, ""))
			}
		}
		if !slices.Equal(layers, test.layers) || len(warnings) > 0 {
			t.Errorf("%s: got  %q, %q\nwant %q", name, layers, warnings, test.layers)
		}
		hook := s.Hooks.CreateContainer[0]
		if got, want := strings.Join(hook.Args, " "), "layers "+dir+"/rootfs "+test.hook; got != want || hook.Path != dir+"/helper" || s.Root.Path != "rootfs" {
			t.Errorf("%s: got hook %s %q and root %s, want %q", name, hook.Path, got, s.Root.Path, want)
		}
		if info, err := os.Stat(hook.Path); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if got := listing(t, filepath.Join(dir, "rootfs")); !slices.Contains(got, "-rw-r--r-- etc/hostname") || !slices.Contains(got, "drwxr-xr-x dev") {
			t.Errorf("%s: rootfs %q", name, got)
		}
	}
}

// A runtime makes what is missing where it mounts: in the rootfs, which lies over the content of root.
func TestPortableBundleHasNoPathThroughALinkOfTheBase(t *testing.T) {
	tmp := t.TempDir()
	base := makeBase(t, tmp)
	for link, target := range map[string]string{"var": "usr", "linked": "/opt", "outside": "tmp/../../.."} {
		if err := os.Symlink(target, filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	work := t.TempDir()
	if err := os.MkdirAll(filepath.Join(work, "sub/dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := preset(&Config{Name: "box", Binary: static(t, tmp), Root: base, CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1, Cwd: "/var/cwd", Mounts: []Mount{
		{Source: work, Target: "/linked/work", Readonly: true},
		{Source: work, Target: "/linked/work/sub/dir", Readonly: true},
		{Source: work, Target: "/outside/work", Readonly: true},
		{Source: work, Target: "/tmp/old", Readonly: true},
	}})
	dir, _ := portableBundle(t, c, self())
	s := readSpec(t, dir)
	var got []string
	for _, m := range s.Mounts[len(s.Mounts)-5:] {
		got = append(got, m.Destination)
	}
	want := []string{"/opt/work", "/opt/work/sub/dir", "/work", "/tmp/old", "/usr/bin/static"}
	if !slices.Equal(got, want) || s.Process.Cwd != "/usr/cwd" || s.Process.Args[0] != "/bin/static" {
		t.Errorf("mounts %q, want %q; cwd %s, program %s", got, want, s.Process.Cwd, s.Process.Args[0])
	}
	entries := listing(t, filepath.Join(dir, "rootfs"))
	for _, want := range []string{"drwxr-xr-x opt/work", "drwxr-xr-x work", "drwxr-xr-x usr/cwd", "-rwxr-xr-x usr/bin/static", "link bin -> /usr/bin", "link linked -> /opt"} {
		if !slices.Contains(entries, want) {
			t.Errorf("%q is not in %q", want, entries)
		}
	}
	for _, hides := range []string{"drwxr-xr-x linked", "drwxr-xr-x outside", "drwxr-xr-x var", "drwxr-xr-x bin", "-rw-r--r-- README"} {
		if slices.Contains(entries, hides) {
			t.Errorf("%q hides what the base has", hides)
		}
	}
}

// A directory for the caller alone keeps other runtimes out.
func TestPortableBundleWarnsOfDirectoriesThatTheSandboxCannotPass(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("without root privileges the sandbox's root is the caller")
	}
	c := preset(&Config{Name: "box", Binary: static(t, t.TempDir()), Root: "/nonexistent", CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1})
	o := Options{}
	dir, warnings := portableBundle(t, c, o)
	parent := filepath.Dir(dir)
	for range 2 {
		found := slices.ContainsFunc(warnings, func(w string) bool { return strings.HasPrefix(w, parent+": mode 0700 keeps uid ") })
		info, err := os.Stat(parent)
		if err != nil || found != (info.Mode().Perm() == 0o700) {
			t.Errorf("%v, %v: %q", info.Mode(), err, warnings)
		}
		if err := os.Chmod(parent, 0o711); err != nil {
			t.Fatal(err)
		}
		o.Portable, o.HelperProgram = true, []byte("helper")
		if warnings, err = c.Bundle(filepath.Join(parent, "second"), nil, o); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(parent, "second")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPortableBundleWarnsOfWhatABundleCannotHave(t *testing.T) {
	tmp := t.TempDir()
	c := preset(&Config{Name: "box", Binary: static(t, tmp), Root: "/nonexistent", CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1, TimeoutSeconds: 5, Persist: tmp + "/keep"})
	_, warnings := portableBundle(t, c, self())
	want := []string{
		"timeout_seconds: a bundle has none: who runs it must end it, as zbox -c does",
		"persist: who runs the bundle must see to it that nothing else uses " + tmp + "/keep at the same time, as zbox -c does",
	}
	if !slices.Equal(warnings, want) {
		t.Errorf("got  %q\nwant %q", warnings, want)
	}
}

func TestPortableBundleNeedsRoomForItsHook(t *testing.T) {
	c := preset(&Config{Name: "box", Binary: static(t, t.TempDir()), Root: "/nonexistent", CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1})
	c.PidsLimit = 1
	o := self()
	o.Portable, o.HelperProgram = true, []byte("helper")
	dir := filepath.Join(t.TempDir(), "bundle")
	if _, err := c.Bundle(dir, nil, o); err == nil || !strings.Contains(err.Error(), "pids_limit: 1 leaves no room for the hook") {
		t.Errorf("got %v", err)
	}
	c.ReadonlyRoot = true // which needs none
	if _, err := c.Bundle(dir, nil, o); err != nil {
		t.Error(err)
	}
}
