package shim

import (
	"fmt"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
)

// joinCgroup moves a process into an existing cgroup (option ShimCgroup); "" leaves it where it is.
func joinCgroup(path string, pid int) error {
	if path == "" {
		return nil
	}
	var err error
	if cgroups.Mode() == cgroups.Unified {
		err = joinUnified(path, pid)
	} else {
		err = joinLegacy(path, pid)
	}
	if err != nil {
		return fmt.Errorf("runtime options: ShimCgroup %s: %w", path, err)
	}
	return nil
}

func joinUnified(path string, pid int) error {
	cg, err := cgroup2.Load(path)
	if err != nil {
		return err
	}
	return cg.AddProc(uint64(pid))
}

func joinLegacy(path string, pid int) error {
	cg, err := cgroup1.Load(cgroup1.StaticPath(path))
	if err != nil {
		return err
	}
	return cg.AddProc(uint64(pid))
}
