package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// KeptOptions are the options of the machine's cgroup v2 (nsdelegate, memory_recursiveprot). All its mounts share them, and one more mount
// by a process of the machine's first cgroup namespace sets them for all: criu's mounts have none, and would clear them.
type KeptOptions struct {
	dir  *os.File // nil where nothing can change them, and behind PutBack
	want []string // nil unless kept
}

// firstNamespace is PROC_CGROUP_INIT_INO of the kernel: the inode number of the first cgroup namespace.
const firstNamespace = 0xEFFFFFFB

// KeepOptions opens the root of cgroup v2, and with keep remembers its options until PutBack. Meanwhile no other zbox can do that, which would
// take the options that have been cleared for those to be put back.
func KeepOptions(keep bool) (_ *KeptOptions, err error) {
	k := &KeptOptions{}
	defer func() {
		if err != nil && k.dir != nil {
			k.dir.Close()
		}
	}()
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/cgroup", &st); err != nil || st.Ino != firstNamespace {
		return k, err
	}
	point, _, err := unifiedMount()
	if err != nil || point == "" {
		return k, err
	}
	if k.dir, err = os.Open(point); err != nil || !keep {
		return k, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(k.dir.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return k, fmt.Errorf("locking %s: %w", point, err)
	}
	_, k.want, err = unifiedMount()
	return k, err
}

// SetOptions puts back the options that a zbox has kept which was killed meanwhile.
func SetOptions(want []string) error {
	k, err := KeepOptions(true)
	if err == nil && k.dir == nil {
		err = errors.New("this is not the machine's cgroup namespace")
	}
	if err != nil {
		return fmt.Errorf("putting back the options of cgroup v2 (%s): %w", strings.Join(want, ","), err)
	}
	k.want = want
	return k.PutBack()
}

// Options are those that are kept; nil for none.
func (k *KeptOptions) Options() []string { return k.want }

// Root is the root of cgroup v2, which PutBack closes; nil where no process can change its options.
func (k *KeptOptions) Root() *os.File { return k.dir }

// Adopt moves a process, which may be in Root, to the cgroup of this one.
func (k *KeptOptions) Adopt(pid int) error {
	if k.dir == nil {
		return nil
	}
	paths, err := cgroups.ParseCgroupFile("/proc/self/cgroup")
	if err == nil {
		err = os.WriteFile(filepath.Join(k.dir.Name(), paths[""], "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	}
	if err != nil {
		return fmt.Errorf("moving process %d to zbox's cgroup: %w", pid, err)
	}
	return nil
}

// PutBack sets the options that have been cleared. A second call does nothing.
func (k *KeptOptions) PutBack() error {
	if k.dir == nil {
		return nil
	}
	defer func() { k.dir.Close(); k.dir = nil }()
	if k.want == nil {
		return nil
	}
	_, now, err := unifiedMount()
	if err == nil && !slices.Equal(now, k.want) {
		err = k.reconfigure()
	}
	if err != nil {
		return fmt.Errorf("putting back the options of %s (%s): %w", k.dir.Name(), strings.Join(k.want, ","), err)
	}
	return nil
}

func (k *KeptOptions) reconfigure() error {
	fs, err := unix.Fspick(int(k.dir.Fd()), "", unix.FSPICK_EMPTY_PATH|unix.FSPICK_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	for _, option := range k.want {
		if err := unix.FsconfigSetFlag(fs, option); err != nil {
			return err
		}
	}
	return unix.FsconfigReconfigure(fs)
}

// unifiedMount is where cgroup v2 is mounted, "" for nowhere, and its options, as proc_pid_mountinfo(5) has them.
func unifiedMount() (point string, options []string, err error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", nil, err
	}
	for line := range strings.Lines(string(data)) {
		mount, super, _ := strings.Cut(line, " - ")
		own, fs := strings.Fields(mount), strings.Fields(super)
		if len(own) < 5 || len(fs) < 3 || fs[0] != "cgroup2" {
			continue
		}
		options = slices.DeleteFunc(strings.Split(fs[2], ","), func(o string) bool { return o == "rw" || o == "ro" })
		return own[4], options, nil
	}
	return "", nil, nil
}
