package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"golang.org/x/sys/unix"
)

// optionCase is what a mount with options shows. The recursive options are shown by a bind mount with another mount below it.
type optionCase struct {
	options []string // before the option itself
	has     string
	hasNot  string
}

// Every option that the features document names, but for those that other tests are about.
var mountOptionCases = map[string]optionCase{
	"defaults": {has: "rw", hasNot: "nosuid"},
	"ro":       {has: "ro", hasNot: "rw"}, "rw": {options: []string{"ro"}, has: "rw", hasNot: "ro"},
	"nosuid": {has: "nosuid"}, "suid": {options: []string{"nosuid"}, hasNot: "nosuid"},
	"nodev": {has: "nodev"}, "dev": {options: []string{"nodev"}, hasNot: "nodev"},
	"noexec": {has: "noexec"}, "exec": {options: []string{"noexec"}, hasNot: "noexec"},
	"nodiratime": {has: "nodiratime"}, "diratime": {options: []string{"nodiratime"}, hasNot: "nodiratime"},
	"nosymfollow": {has: "nosymfollow"}, "symfollow": {options: []string{"nosymfollow"}, hasNot: "nosymfollow"},
	"noatime": {has: "noatime", hasNot: "relatime"}, "atime": {options: []string{"noatime"}, has: "relatime", hasNot: "noatime"},
	"relatime": {has: "relatime"}, "norelatime": {hasNot: "noatime"},
	"strictatime": {hasNot: "relatime"}, "nostrictatime": {options: []string{"strictatime"}, has: "relatime"},
	"sync": {has: "sync"}, "async": {options: []string{"sync"}, hasNot: "sync"}, "dirsync": {has: "dirsync"},
	"mand": {has: "mand"}, "nomand": {options: []string{"mand"}, hasNot: "mand"},
	"lazytime": {has: "lazytime"}, "nolazytime": {options: []string{"lazytime"}, hasNot: "lazytime"},
	"silent": {has: "rw"}, "loud": {has: "rw"}, "iversion": {has: "rw"}, "noiversion": {has: "rw"},
	"private": {hasNot: "shared"}, "rprivate": {hasNot: "shared"}, "slave": {hasNot: "shared"}, "rslave": {hasNot: "shared"},
	"shared": {has: "shared"}, "rshared": {has: "shared"}, "unbindable": {has: "unbindable"}, "runbindable": {has: "unbindable"},
	"remount": {options: []string{"nosuid"}, has: "nosuid"},

	"rro": {has: "ro"}, "rrw": {hasNot: "ro"}, "rnosuid": {has: "nosuid"}, "rsuid": {hasNot: "nosuid"}, "rnodev": {has: "nodev"}, "rdev": {hasNot: "nodev"},
	"rnoexec": {has: "noexec"}, "rexec": {hasNot: "noexec"}, "rnodiratime": {has: "nodiratime"}, "rdiratime": {hasNot: "nodiratime"},
	"rnosymfollow": {has: "nosymfollow"}, "rsymfollow": {hasNot: "nosymfollow"}, "rnoatime": {has: "noatime"}, "ratime": {hasNot: "noatime"},
	"rrelatime": {has: "relatime"}, "rnorelatime": {hasNot: "noatime"}, "rstrictatime": {hasNot: "relatime"}, "rnostrictatime": {has: "relatime"},
}

// Other tests are about these.
var otherMountOptions = []string{"bind", "rbind", "idmap", "ridmap", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow"}

func ofTree(option string) bool {
	return option[0] == 'r' && !slices.Contains([]string{"ro", "rw", "relatime", "remount", "rprivate", "rslave", "rshared", "runbindable"}, option)
}

// treeSource is a mount with another one below, both with all attributes or none.
func treeSource(t *testing.T, attributes uint64) string {
	t.Helper()
	dir := bindSource(t)
	for _, point := range []string{dir, filepath.Join(dir, "inner")} {
		mountForTest(t, "tmpfs", point, "tmpfs", 0)
		if err := os.MkdirAll(filepath.Join(point, "inner"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, dir, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attributes, Attr_clr: unix.MOUNT_ATTR__ATIME}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEveryMountOptionOfTheFeaturesDocument(t *testing.T) {
	r := New(t)
	ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket"), "runc 1.1 lists acl and cannot do ratime")
	var known features.Features
	if err := json.Unmarshal([]byte(r.Must("features")), &known); err != nil {
		t.Fatal(err)
	}
	const all = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NODIRATIME |
		unix.MOUNT_ATTR_NOSYMFOLLOW | unix.MOUNT_ATTR_NOATIME
	plain, full := treeSource(t, 0), treeSource(t, all)
	b := NewBundle(t)
	if !IsZbox() { // runc lists it and hands it to the file system, which does not know it
		known.MountOptions = slices.DeleteFunc(known.MountOptions, func(option string) bool { return option == "defaults" })
	}
	for _, option := range known.MountOptions {
		want, ok := mountOptionCases[option]
		if !ok && !slices.Contains(otherMountOptions, option) {
			t.Errorf("nothing tests the option %s", option)
		}
		if !ok {
			continue
		}
		m := specs.Mount{Destination: "/mnt/" + option, Type: "tmpfs", Source: "tmpfs", Options: append(slices.Clone(want.options), option)}
		switch {
		case option == "remount":
			b.Change(Mount(specs.Mount{Destination: m.Destination, Type: "tmpfs", Source: "tmpfs"}))
		case ofTree(option):
			m.Type, m.Source, m.Options = "bind", plain, []string{"rbind", option}
			if want.hasNot != "" && option != "rstrictatime" {
				m.Source = full
			}
		}
		b.Change(Mount(m))
	}
	seen := r.RunProbe(b)
	for _, option := range known.MountOptions {
		want, ok := mountOptionCases[option]
		if !ok {
			continue
		}
		points := []string{"/mnt/" + option}
		if ofTree(option) {
			points = append(points, "/mnt/"+option+"/inner")
		}
		for _, point := range points {
			m, ok := seen.MountAt(point)
			if !ok {
				t.Errorf("nothing is mounted on %s", point)
				continue
			}
			propagation, _, _ := strings.Cut(m.Propagation, ":")
			super := slices.DeleteFunc(strings.Split(m.Super, ","), func(word string) bool { return word == "rw" || word == "ro" })
			words := append(append(strings.Split(m.Options, ","), propagation), super...)
			if want.has != "" && !slices.Contains(words, want.has) || want.hasNot != "" && slices.Contains(words, want.hasNot) {
				t.Errorf("%s has %q, want %q and not %q", point, words, want.has, want.hasNot)
			}
		}
	}
}

// A symbolic link among source and target is followed in the container's root, copied or refused as the options say.
func TestLinksOfBindMounts(t *testing.T) {
	ZboxOnly(t, "options of crun's")
	for _, test := range []struct {
		option string
		source string // below the source directory
		target string
		show   string
		want   string
	}{
		{"bind", "link", "/mnt/made", "cat /mnt/made", "content\n"},
		{"copy-symlink", "link", "/mnt/made", "readlink /mnt/made", "file\n"},
		{"dest-nofollow", "file", "/mnt/link", "cat /mnt/link; cat /mnt/behind", "content\nbehind\n"},
		{"bind", "file", "/mnt/link", "cat /mnt/behind", "content\n"},
		{"src-nofollow", "file", "/mnt/made", "cat /mnt/made", "content\n"},
	} {
		t.Run(test.option+" of "+test.source+" on "+test.target, func(t *testing.T) {
			r := New(t)
			dir := bindSource(t)
			if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			b := NewBundle(t, Shell(test.show), Mount(specs.Mount{
				Destination: test.target, Type: "bind", Source: filepath.Join(dir, test.source), Options: []string{"bind", test.option},
			}))
			b.WriteFile("mnt/behind", "behind\n", 0o644)
			if err := os.Symlink("behind", b.Rootfs("mnt/link")); err != nil {
				t.Fatal(err)
			}
			if got := r.MustRun(b); got != test.want {
				t.Errorf("saw %q, want %q", got, test.want)
			}
		})
	}
}
