package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/mount"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

func TestIDMapsAreTakenOutOfTheOptions(t *testing.T) {
	options := []string{"index=off", "uidmap=0:700000:65536", "gidmap=0:800000:10,10:900000:5", "lowerdir=/a:/b"}
	maps, others, err := splitIDMaps(options)
	want := &idMaps{
		uids: []libzbox.IDMap{{Host: 700000, Size: 65536}},
		gids: []libzbox.IDMap{{Host: 800000, Size: 10}, {Container: 10, Host: 900000, Size: 5}},
	}
	if err != nil || !reflect.DeepEqual(maps, want) || strings.Join(others, " ") != "index=off lowerdir=/a:/b" {
		t.Errorf("%v, %q, %v", maps, others, err)
	}
	if maps, others, err := splitIDMaps(options[:1]); maps != nil || len(others) != 1 || err != nil {
		t.Errorf("without maps: %v, %q, %v", maps, others, err)
	}
}

func TestIDMapsThatAreNone(t *testing.T) {
	for option, want := range map[string]string{
		"uidmap=0:1:2":          "options uidmap= and gidmap=: one of them is missing",
		"gidmap=0:1":            `option gidmap=0:1: id map "0:1" is not CONTAINER:HOST:SIZE`,
		"uidmap=0:1:4294967296": `option uidmap=0:1:4294967296: reading an id map: strconv.ParseUint: parsing "4294967296": value out of range`,
		"gidmap=0:1:2,":         `option gidmap=0:1:2,: reading an id map: strconv.ParseUint: parsing "": invalid syntax`,
	} {
		if _, _, err := splitIDMaps([]string{"index=off", option}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", option, err, want)
		}
	}
}

// makeDirs makes directories in a new one.
func makeDirs(t *testing.T, names ...string) (in string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestIDMappedRoots(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	const most = 200 // which needs more than a page with their whole paths
	dirs, lower := []string{"root", "upper", "work"}, []string{}
	for i := range most {
		dirs = append(dirs, fmt.Sprintf("layers/%d/in-%d", i, i))
	}
	dir := makeDirs(t, dirs...)
	for i := range most {
		lower = append(lower, fmt.Sprintf("%s/layers/%d", dir, i))
	}
	ids := []string{"uidmap=0:700000:65536", "gidmap=0:800000:65536"}
	for what, m := range map[string]mount.Mount{
		"a bind mount":       {Type: "bind", Source: lower[0], Options: append(ids, "rbind", "ro")},
		"an overlay to read": {Type: "overlay", Source: "overlay", Options: append(ids, "lowerdir="+lower[0]+":"+lower[1])},
		"an overlay of many layers": {Type: "overlay", Source: "overlay", Options: append(ids,
			"lowerdir="+strings.Join(lower, ":"), "upperdir="+dir+"/upper", "workdir="+dir+"/work", "nosuid")},
	} {
		t.Run(what, func(t *testing.T) {
			root := filepath.Join(dir, "root")
			t.Cleanup(func() {
				if err := mount.UnmountAll(root, unix.UMOUNT_NOFOLLOW); err != nil {
					t.Error(err)
				}
			})
			if err := mountIn(root, m); err != nil {
				t.Fatal(err)
			}
			wants := []string{"in-0"}
			if strings.Contains(what, "many") {
				wants = append(wants, fmt.Sprint("in-", most-1))
			}
			for _, name := range wants {
				var st unix.Stat_t
				if err := unix.Stat(filepath.Join(root, name), &st); err != nil || st.Uid != 700000 || st.Gid != 800000 {
					t.Errorf("%s belongs to %d:%d (%v)", name, st.Uid, st.Gid, err)
				}
			}
			text, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil || strings.Contains(string(text), "/layers ") || strings.Contains(string(text), root+"/") {
				t.Errorf("what the layers were mounted on stays: %s, %v", text, err)
			}
			err = os.Mkdir(filepath.Join(root, "new"), 0o755)
			if writable := strings.Contains(what, "many"); writable != (err == nil) {
				t.Errorf("writing to it: %v", err)
			}
		})
	}
	// The threads that had mounts of their own are gone, and the main thread never had some.
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	ours := func() bool {
		threads, _ := filepath.Glob("/proc/self/task/*/ns/mnt") // the only error is a bad pattern
		return !slices.ContainsFunc(threads, func(thread string) bool {
			ns, err := os.Readlink(thread)
			return err == nil && ns != own
		})
	}
	for deadline := time.Now().Add(time.Minute); !ours(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a thread with mounts of its own stays")
		}
	}
}

func TestAnIDMappedRootThatFailsLeavesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir := makeDirs(t, "root", "layer")
	m := mount.Mount{Type: "overlay", Source: "overlay", Options: []string{
		"uidmap=0:700000:65536", "gidmap=0:700000:65536", "lowerdir=" + dir + "/layer", "upperdir=" + dir + "/missing", "workdir=" + dir + "/missing",
	}}
	err := mountIn(filepath.Join(dir, "root"), m)
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("with an upper directory that is missing: %v", err)
	}
	if text, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(text), dir) {
		t.Errorf("mounts stay: %s, %v", text, err)
	}
}
