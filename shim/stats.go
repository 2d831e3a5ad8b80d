package shim

import (
	"fmt"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/containerd/protobuf"
	"google.golang.org/protobuf/types/known/anypb"
)

const cgroupRoot = "/sys/fs/cgroup"

// readStats reads the counters of a container's cgroup in containerd's form: io.containerd.cgroups.v1.Metrics or v2. The directories are
// by controller as in /proc/self/cgroup; on v2 only "".
func readStats(dirs map[string]string) (*anypb.Any, error) {
	var metrics any
	var err error
	if unified, ok := dirs[""]; ok && len(dirs) == 1 {
		metrics, err = unifiedStats(unified)
	} else {
		metrics, err = legacyStats(dirs)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the cgroup's statistics: %w", err)
	}
	return protobuf.MarshalAnyToProto(metrics)
}

func unifiedStats(dir string) (any, error) {
	cg, err := cgroup2.Load(strings.TrimPrefix(dir, cgroupRoot))
	if err != nil {
		return nil, err
	}
	return cg.Stat()
}

func legacyStats(dirs map[string]string) (any, error) {
	path := func(name cgroup1.Name) (string, error) {
		dir := dirs[string(name)]
		if dir == "" {
			return "", cgroup1.ErrControllerNotActive
		}
		// Below the hierarchy's mount point.
		_, path, _ := strings.Cut(strings.TrimPrefix(dir, cgroupRoot+"/"), "/")
		return "/" + path, nil
	}
	cg, err := cgroup1.Load(path)
	if err != nil {
		return nil, err
	}
	return cg.Stat(cgroup1.IgnoreNotExist)
}
