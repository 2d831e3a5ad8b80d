package libzbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// makesUserNamespace reports whether the step makes a user namespace.
func makesUserNamespace(s plan.Step) bool {
	switch s := s.(type) {
	case *plan.Unshare:
		return s.Types&unix.CLONE_NEWUSER != 0
	case *plan.Clone:
		return s.Types&unix.CLONE_NEWUSER != 0
	}
	return false
}

// userNamespaceRemedy says what an administrator can do about err, or "" (user_namespaces(7), ERRORS of clone(2)). making is that it came from
// making the namespace: Ubuntu's AppArmor gives a user the namespace, but no rights in it. proc is where procfs is.
func userNamespaceRemedy(proc string, err error, making, root bool) string {
	setting := func(name string) string {
		value, _ := os.ReadFile(filepath.Join(proc, "sys", name))
		return strings.TrimSpace(string(value))
	}
	denied := errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
	switch {
	case denied && !root && setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor keeps user namespaces from users' programs without a profile that allows them: docs/security.md has one for zbox"
	case !making:
		return ""
	case errors.Is(err, unix.ENOSPC):
		return "there are as many user namespaces as /proc/sys/user/max_user_namespaces allows, " + setting("user/max_user_namespaces")
	case !denied:
		return ""
	case !root && setting("kernel/unprivileged_userns_clone") == "0":
		return "only root gets user namespaces here; `sysctl kernel.unprivileged_userns_clone=1` lets users have them"
	case chrooted(proc):
		return "the kernel refuses user namespaces in a chroot; enter the directory with pivot_root(2) instead"
	}
	return ""
}

// chrooted reports whether no mount is at /, which is so in the directory of a chroot(2), if that is not a mount point itself.
func chrooted(proc string) bool {
	mounts, err := readMounts(filepath.Join(proc, "self/mountinfo"))
	return err == nil && !slices.ContainsFunc(mounts, func(m mountInfo) bool { return m.point == "/" })
}
