// Package host finds out what the machine offers, once per run, as values of host/facts. It only reads.
package host

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/host/facts"
)

// initialUserns is the inode number of the initial user namespace, PROC_USER_INIT_INO in include/linux/proc_ns.h.
const initialUserns = 0xEFFFFFFD

// Probe looks at the machine. It runs at every create, so it reads as little as it can: mountinfo is parsed only where
// cgroups are those of v1. A missing LSM or systemd is a fact, not an error.
func Probe() (facts.Facts, error) {
	f := facts.Facts{EUID: uint32(os.Geteuid()), EGID: uint32(os.Getegid())}
	var err error
	if f.KernelMajor, f.KernelMinor, err = kernel(); err != nil {
		return f, err
	}
	if f.InUserns, err = inUserns(); err != nil {
		return f, err
	}
	f.SetgroupsDenied = f.InUserns && setgroupsDenied("/proc/self/setgroups")
	f.ForeignMounts = f.InUserns && foreignMounts()
	f.LastCap, f.Caps = bounding()
	f.AppArmor = appArmor("/sys/module/apparmor/parameters/enabled")
	f.SELinux = hasMagic("/sys/fs/selinux", unix.SELINUX_MAGIC)
	f.Systemd = isDir("/run/systemd/system")
	f.Kcore = unix.Access("/proc/kcore", unix.F_OK) == nil
	f.Cgroup, err = probeCgroup("/sys/fs/cgroup", "/proc/self")
	return f, err
}

func kernel() (major, minor int, err error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return 0, 0, os.NewSyscallError("uname", err)
	}
	return parseKernel(unix.ByteSliceToString(u.Release[:]))
}

// parseKernel reads the first two numbers of a release such as "6.18.0-rc1-amd64".
func parseKernel(release string) (major, minor int, err error) {
	first, rest, _ := strings.Cut(release, ".")
	second := strings.TrimLeft(rest, "0123456789")
	second = rest[:len(rest)-len(second)]
	if major, err = strconv.Atoi(first); err == nil {
		minor, err = strconv.Atoi(second)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("parsing kernel release %q: no MAJOR.MINOR at its start", release)
	}
	return major, minor, nil
}

// foreignMounts: the mount namespace's owner is a user namespace that zbox may not see, because it is above (ioctl_ns(2)).
func foreignMounts() bool {
	f, err := os.Open("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	defer f.Close()
	owner, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if err == nil {
		unix.Close(owner)
	}
	return errors.Is(err, unix.EPERM)
}

func inUserns() (bool, error) {
	var st unix.Stat_t
	err := unix.Stat("/proc/self/ns/user", &st)
	if err == unix.ENOENT { // a kernel without user namespaces
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "stat", Path: "/proc/self/ns/user", Err: err}
	}
	return st.Ino != initialUserns, nil
}

func setgroupsDenied(path string) bool {
	b, err := os.ReadFile(path)
	return err == nil && strings.TrimSpace(string(b)) == "deny"
}

// bounding asks for one capability after the other; the kernel refuses the first that it does not know. That is cheaper than
// reading and parsing /proc/self/status, and it tells the last one too.
func bounding() (last uint32, set uint64) {
	for c := range uint32(64) {
		have, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		if err != nil {
			break
		}
		last = c
		set |= uint64(have) << c
	}
	return last, set
}

func appArmor(enabled string) bool {
	b, err := os.ReadFile(enabled)
	return err == nil && len(b) > 0 && b[0] == 'Y'
}

func isDir(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

func hasMagic(path string, magic int64) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && int64(st.Type) == magic
}
