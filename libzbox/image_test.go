package libzbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// imageOf makes an image that builds on another one, as criu does: nobody but root may read it.
func imageOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"pre/pages-1.img": "old pages", "image/core-1.img": "core", "image/timens-0.img": "times", "image/pages-1.img": "pages",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../pre", filepath.Join(dir, "image", parentName)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "image")
}

// CRIU's first process opens the times before its user namespace has maps or behind that, as it happens, and the rest as its root.
func TestImageCanBeReadInANewUserNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	ids := []plan.IDMap{{Host: 100000, Size: 1000}}
	root := []syscall.SysProcIDMap{{HostID: 100000, Size: 1000}}
	rootID := &syscall.Credential{NoSetGroups: true}
	for _, reader := range []struct {
		name string
		attr syscall.SysProcAttr
		want map[string]string
	}{
		{"without maps", syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}, map[string]string{"timens-0.img": "times"}},
		{
			"before it is root",
			syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: root, GidMappings: root},
			map[string]string{"timens-0.img": "times"},
		},
		{
			"root",
			syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: root, GidMappings: root, Credential: rootID},
			map[string]string{"core-1.img": "core", "pages-1.img": "pages", "parent/pages-1.img": "old pages"},
		},
	} {
		t.Run(reader.name, func(t *testing.T) {
			o := &CriuOptions{ImagePath: imageOf(t)}
			err := inPrivateMounts(t.TempDir(), func() error {
				images, err := o.openImage(&plan.MapIDs{UIDs: ids, GIDs: ids}, t.TempDir())
				if err != nil {
					return err
				}
				defer images.Close()
				for name, want := range reader.want {
					cmd := exec.Command("cat", "/proc/self/fd/3/"+name)
					cmd.SysProcAttr, cmd.ExtraFiles = &reader.attr, []*os.File{images}
					if out, err := cmd.CombinedOutput(); string(out) != want {
						t.Errorf("%s: %q, %v, want %q", name, out, err, want)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestParentsOfAnImageAreFound(t *testing.T) {
	image := imageOf(t)
	if dirs, err := withParents(image); err != nil || !slices.Equal(dirs, []string{image, image + "/parent"}) {
		t.Errorf("%v, %v", dirs, err)
	}
	if err := os.Symlink("../image", filepath.Join(image, "../pre", parentName)); err != nil {
		t.Fatal(err)
	}
	if dirs, err := withParents(image); err == nil || err.Error() != image+"/parent/parent is "+image+" again" {
		t.Errorf("a circle: %v, %v", dirs, err)
	}
}

// Whoever can write to an image decides what is restored, wherever the log goes.
func TestImageThatOthersCanWriteToIsNotOpened(t *testing.T) {
	o := &CriuOptions{ImagePath: imageOf(t), WorkPath: t.TempDir()}
	if err := os.Chmod(o.ImagePath, 0o770); err != nil {
		t.Fatal(err)
	}
	for _, maps := range []*plan.MapIDs{nil, {}} {
		if _, err := o.openImage(maps, t.TempDir()); err == nil || !strings.HasPrefix(err.Error(), "others may write to "+o.ImagePath+" (mode 0770)") {
			t.Errorf("got %v", err)
		}
	}
}
