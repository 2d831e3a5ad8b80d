package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"
)

// maxIDLength keeps paths below the state directory and cgroup names within NAME_MAX, in bytes.
const maxIDLength = 250

// New returns the Runtime of the root directory in o, which is made (0700) with the first container.
func New(o Options) (*Runtime, error) {
	if o.Root == "" {
		return nil, errors.New("root directory is empty")
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, fmt.Errorf("resolving --root: %w", err)
	}
	if root == "/" {
		return nil, errors.New("--root: / cannot be the state directory")
	}
	o.Root = root
	if o.CgroupManager == "" {
		o.CgroupManager = Cgroupfs
	}
	switch o.CgroupManager {
	case Cgroupfs, Systemd, Disabled:
	default:
		return nil, fmt.Errorf("--cgroup-manager: %q is not cgroupfs, systemd or disabled", o.CgroupManager)
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	return &Runtime{opts: o}, nil
}

// validateID refuses what could leave the state directory or break a cgroup or unit name (SECURITY row 22).
func validateID(id string) error {
	if id == "" || len(id) > maxIDLength || id[0] == '-' || id[0] == '.' {
		return fmt.Errorf("%w: %.64q", ErrInvalidID, id)
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '+', c == '.', c == '-':
		default:
			return fmt.Errorf("%w: %.64q", ErrInvalidID, id)
		}
	}
	return nil
}

// rootless says whether to behave as for a user without privileges.
func (r *Runtime) rootless() bool {
	if r.opts.Rootless != nil {
		return *r.opts.Rootless
	}
	return os.Geteuid() != 0
}

// makeRoot makes the directory of all state. The sticky bit keeps tmp-cleaners of XDG_RUNTIME_DIR away; the mode does not depend on the
// umask (CVE-2021-41103).
func (r *Runtime) makeRoot() error {
	err := unix.Mkdir(r.opts.Root, 0o700)
	if errors.Is(err, unix.ENOENT) {
		if err := os.MkdirAll(filepath.Dir(r.opts.Root), 0o755); err != nil {
			return fmt.Errorf("making the state directory: %w", err)
		}
		err = unix.Mkdir(r.opts.Root, 0o700)
	}
	switch {
	case errors.Is(err, unix.EEXIST):
		return r.checkRoot()
	case err != nil:
		return fmt.Errorf("making the state directory %s: %w", r.opts.Root, err)
	}
	if err := os.Chmod(r.opts.Root, 0o700|os.ModeSticky); err != nil {
		return fmt.Errorf("restricting the state directory: %w", err)
	}
	return nil
}

// checkRoot refuses a directory that somebody else could have filled: its state files decide what zbox kills and removes.
func (r *Runtime) checkRoot() error {
	var st unix.Stat_t
	if err := unix.Lstat(r.opts.Root, &st); err != nil {
		return fmt.Errorf("looking at the state directory %s: %w", r.opts.Root, err)
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return nil // the owner of the link's place chose it
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("--root: %s is not a directory", r.opts.Root)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("--root: others may write to %s (mode %04o): `chmod go-w` it, or choose another directory", r.opts.Root, st.Mode&0o7777)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("--root: %s belongs to uid %d, not to the caller", r.opts.Root, st.Uid)
	}
	return nil
}

// List returns all containers, in the order of their ids. One that vanishes meanwhile is left out.
func (r *Runtime) List() ([]*Container, error) {
	entries, err := os.ReadDir(r.opts.Root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	var list []*Container
	for _, e := range entries {
		if !e.IsDir() || validateID(e.Name()) != nil {
			continue
		}
		c, err := r.Load(e.Name())
		if errors.Is(err, ErrNotExist) {
			continue
		}
		if err != nil {
			r.opts.Warn(err.Error())
			continue
		}
		list = append(list, c)
	}
	return list, nil
}

// Match returns the ids of the containers that the regular expression matches (crun's --regex).
func (r *Runtime) Match(expression string) ([]string, error) {
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, fmt.Errorf("--regex: %w", err)
	}
	list, err := r.List()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range list {
		if re.MatchString(c.ID()) {
			ids = append(ids, c.ID())
		}
	}
	return ids, nil
}
