package libzbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRefusedUserNamespaceNamesTheRemedy(t *testing.T) {
	const mounted, unmounted = "21 1 0:20 / / rw - ext4 disk rw\n", "21 1 0:20 / /proc rw - proc proc rw\n"
	for name, test := range map[string]struct {
		err    error
		making bool
		root   bool
		mounts string
		files  map[string]string
		want   string
	}{
		"limit":             {unix.ENOSPC, true, false, mounted, map[string]string{"user/max_user_namespaces": "7\n"}, "max_user_namespaces allows, 7"},
		"Debian's switch":   {unix.EPERM, true, false, mounted, map[string]string{"kernel/unprivileged_userns_clone": "0\n"}, "kernel.unprivileged_userns_clone=1"},
		"the switch is on":  {unix.EPERM, true, false, mounted, map[string]string{"kernel/unprivileged_userns_clone": "1\n"}, ""},
		"not for root":      {unix.EPERM, true, true, mounted, map[string]string{"kernel/unprivileged_userns_clone": "0\n"}, ""},
		"Ubuntu's AppArmor": {unix.EACCES, true, false, mounted, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1\n"}, "AppArmor"},
		"rights in it":      {unix.EPERM, false, false, mounted, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1\n"}, "AppArmor"},
		"a later step":      {unix.EPERM, false, false, unmounted, map[string]string{"kernel/unprivileged_userns_clone": "0\n"}, ""},
		"chroot":            {unix.EPERM, true, true, unmounted, nil, "chroot"},
		"anything else":     {unix.EINVAL, true, false, unmounted, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			write(t, filepath.Join(proc, "self/mountinfo"), test.mounts)
			for name, value := range test.files {
				write(t, filepath.Join(proc, "sys", name), value)
			}
			got := userNamespaceRemedy(proc, test.err, test.making, test.root)
			if !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
