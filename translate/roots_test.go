package translate

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// rootOf makes a bundle with roots and returns the path of its root file system.
func rootOf(t *testing.T, c *Config, roots *Roots) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	o := self()
	o.Roots = roots
	if _, err := c.Bundle(dir, nil, o); err != nil {
		t.Fatal(err)
	}
	s := readSpec(t, dir)
	if !filepath.IsAbs(s.Root.Path) {
		return filepath.Join(dir, s.Root.Path)
	}
	for _, line := range layerMounts(t, dir, s) {
		if strings.HasPrefix(line, "overlay") && !strings.Contains(line, "lowerdir="+s.Root.Path+"/skeleton") {
			t.Errorf("root %s, mount %s", s.Root.Path, line)
		}
	}
	if got := strings.Join(listing(t, dir), ", "); got != "-rw------- config.json" {
		t.Errorf("the bundle has %s", got)
	}
	return s.Root.Path
}

func keepableBox(t *testing.T) *Config {
	t.Helper()
	return preset(&Config{Name: "box", Binary: static(t, t.TempDir()), Root: "/nonexistent", CPUCores: 1, CPULimitPercent: 1, MemoryLimitMB: 1})
}

func TestSameRootFileSystemIsMadeOnce(t *testing.T) {
	c, dir := keepableBox(t), filepath.Join(t.TempDir(), "roots")
	first := &Roots{Dir: dir}
	path := rootOf(t, c, first)
	own := filepath.Join(t.TempDir(), "bundle")
	if _, err := c.Bundle(own, nil, self()); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(listing(t, path)), fmt.Sprint(listing(t, filepath.Join(own, "rootfs"))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	second := &Roots{Dir: dir}
	again := rootOf(t, c, second)
	after, err := os.Stat(again)
	if err != nil || again != path || !os.SameFile(before, after) {
		t.Errorf("%s and %s, %v", path, again, err)
	}
	first.Close()
	second.Close()
}

func TestOtherContentIsAnotherRootFileSystem(t *testing.T) {
	c, dir := keepableBox(t), filepath.Join(t.TempDir(), "roots")
	paths := map[string]string{}
	for name, change := range map[string]func(){
		"none": func() {}, "host name": func() { c.Hostname = "other" }, "readonly": func() { c.Hostname, c.ReadonlyRoot = "box", true },
	} {
		change()
		paths[name] = rootOf(t, c, &Roots{Dir: dir})
		c.Hostname, c.ReadonlyRoot = "", false
	}
	if paths["none"] == paths["host name"] || !strings.HasPrefix(paths["none"], dir) {
		t.Errorf("%v", paths)
	}
	if strings.HasPrefix(paths["readonly"], dir) {
		t.Errorf("one that is mounted itself, without an overlay, is shared: %s", paths["readonly"])
	}
}

func TestRootFileSystemsThatNobodyUsesGo(t *testing.T) {
	c, dir := keepableBox(t), filepath.Join(t.TempDir(), "roots")
	if err := os.MkdirAll(filepath.Join(dir, unfinished+"x", "rootfs"), 0o700); err != nil {
		t.Fatal(err)
	}
	used := &Roots{Dir: dir}
	kept := rootOf(t, c, used)
	if _, err := os.Stat(filepath.Join(dir, unfinished+"x")); !os.IsNotExist(err) {
		t.Errorf("what was unfinished: %v", err)
	}
	for i := range maxRoots + 2 {
		c.Hostname = "box" + strconv.Itoa(i)
		r := &Roots{Dir: dir}
		rootOf(t, c, r)
		r.Close()
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) > maxRoots {
		t.Errorf("%d are there, %v", len(names), err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("one in use: %v", err)
	}
	used.Close()
}
