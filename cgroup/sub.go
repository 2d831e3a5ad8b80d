package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// openBeneath opens a cgroup below dir. The path may begin with a slash, which stands for dir. Neither ".." nor symbolic links
// nor other mounts can lead out of it, whoever changes the tree meanwhile.
func openBeneath(dir, sub string) (*os.File, error) {
	if slices.Contains(strings.Split(sub, "/"), "..") {
		return nil, fmt.Errorf("opening sub-cgroup %q: it must not contain \"..\"", sub)
	}
	top, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	relative := strings.TrimPrefix(path.Clean("/"+sub), "/")
	if relative == "" {
		return top, nil
	}
	defer top.Close()
	fd, err := unix.Openat2(int(top.Fd()), relative, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return nil, fmt.Errorf("opening sub-cgroup %q: %w", sub, err)
	}
	return os.NewFile(uintptr(fd), path.Join(dir, relative)), nil
}

// OpenSub opens the cgroup that a new process of a running container is to be born into, on v2: the one that the only spec names
// (exec --cgroup), or without specs the container's own or, when that may hold no processes because its controllers are handed
// down, the one of the process init. On v1 it is nil; use JoinSub.
func (c *Cgroup) OpenSub(init int, specs []string) (*os.File, error) {
	if c.manager == nil || c.saved.None {
		if len(specs) > 0 {
			return nil, fmt.Errorf("opening sub-cgroup: %w", ErrNone)
		}
		return nil, nil
	}
	if c.saved.Version != 2 {
		return nil, nil
	}
	dir := c.saved.Paths[""]
	subs, err := parseSubs(specs)
	if err != nil {
		return nil, err
	}
	if len(subs) > 1 || len(subs) == 1 && subs[0].controllers != nil {
		return nil, fmt.Errorf("parsing cgroup %q: cgroup v2 has one path for all controllers", specs[0])
	}
	if len(subs) == 1 {
		return openBeneath(dir, subs[0].path)
	}
	if text, err := cgroups.ReadFile(dir, "cgroup.subtree_control"); err == nil && strings.TrimSpace(text) == "" {
		return openDir(dir)
	}
	return c.openOf(init)
}

// openOf opens the cgroup of a process of the container, which may be a child of the container's.
func (c *Cgroup) openOf(pid int) (*os.File, error) {
	paths, err := cgroups.ParseCgroupFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, fmt.Errorf("finding cgroup of process %d: %w", pid, err)
	}
	own := c.Path()
	sub, ok := strings.CutPrefix(paths[""], own)
	if !ok || sub != "" && sub[0] != '/' {
		return nil, fmt.Errorf("finding cgroup of process %d: %s is not below the container's cgroup %s", pid, paths[""], own)
	}
	return openBeneath(c.saved.Paths[""], sub)
}

// JoinSub moves a process into the container's cgroup, or into the cgroups below it that specs name: [controller[,controller]:]path,
// as exec --cgroup has them. Controllers that are not named get the container's own.
func (c *Cgroup) JoinSub(pid int, specs []string) error {
	if c.manager == nil || c.saved.None {
		return fmt.Errorf("joining cgroup: %w", ErrNone)
	}
	subs, err := parseSubs(specs)
	if err != nil {
		return err
	}
	if c.saved.Version == 2 && (len(subs) > 1 || len(subs) == 1 && subs[0].controllers != nil) {
		return fmt.Errorf("parsing cgroup %q: cgroup v2 has one path for all controllers", specs[0])
	}
	targets, err := c.targets(subs)
	if err != nil {
		return err
	}
	for _, dir := range c.dirs() {
		if err := joinBeneath(dir, targets[dir], pid); err != nil && !(targets[dir] == "" && c.optional(dir)) {
			return fmt.Errorf("joining cgroup: %w", err)
		}
	}
	return nil
}

type sub struct {
	controllers []string // nil: all
	path        string
}

func parseSubs(specs []string) (subs []sub, err error) {
	seen := map[string]bool{}
	for _, spec := range specs {
		names, path, ok := strings.Cut(spec, ":")
		if !ok {
			if len(specs) > 1 {
				return nil, fmt.Errorf("parsing cgroup %q: with more than one, each needs CONTROLLER: in front", spec)
			}
			return []sub{{path: spec}}, nil
		}
		s := sub{controllers: strings.Split(names, ","), path: path}
		for _, name := range s.controllers {
			if name == "" || seen[name] {
				return nil, fmt.Errorf("parsing cgroup %q: controller %q is empty or named twice", spec, name)
			}
			seen[name] = true
		}
		subs = append(subs, s)
	}
	return subs, nil
}

// targets maps the directories of the cgroup to paths below them. A path for all controllers is for those that have it, but must
// exist somewhere.
func (c *Cgroup) targets(subs []sub) (map[string]string, error) {
	targets := map[string]string{}
	for _, s := range subs {
		if s.controllers == nil {
			for _, dir := range c.dirs() {
				targets[dir] = s.path
			}
		}
		for _, name := range s.controllers {
			dir := c.saved.Paths[name]
			if dir == "" {
				return nil, fmt.Errorf("finding cgroup: the container has no %s controller", name)
			}
			targets[dir] = s.path
		}
	}
	return targets, nil
}

func joinBeneath(dir, sub string, pid int) error {
	target, err := openBeneath(dir, sub)
	if err != nil {
		return err
	}
	defer target.Close()
	fd, err := unix.Openat(int(target.Fd()), cgroups.CgroupProcesses, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: target.Name() + "/" + cgroups.CgroupProcesses, Err: err}
	}
	procs := os.NewFile(uintptr(fd), target.Name()+"/"+cgroups.CgroupProcesses)
	_, err = fmt.Fprint(procs, pid)
	return errors.Join(err, procs.Close())
}
