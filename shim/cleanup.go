package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/mount"
	"github.com/containerd/containerd/runtime/v2/shim"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bxrne/zbox/libzbox"
)

// killed is the exit status of a process that SIGKILL has ended.
const killed = 128 + uint32(unix.SIGKILL)

// Cleanup is the command delete, which containerd runs for a container whose shim is gone: by itself, killed, or never started. It runs
// in the directory of some bundle.
func (s *service) Cleanup(ctx context.Context) (*taskapi.DeleteResponse, error) {
	bundle, err := s.bundleToClean(ctx)
	if err != nil {
		return nil, err
	}
	saved, err := readSavedOptions(bundle)
	if err != nil {
		return nil, err
	}
	rt, err := saved.runtime(s.namespace, s.warn)
	if err != nil {
		return nil, err
	}
	res := &taskapi.DeleteResponse{ExitStatus: killed, ExitedAt: timestamppb.New(time.Now())}
	if box, err := rt.Load(s.id); err == nil {
		res.Pid = uint32(box.InitPid())
	} else if !errors.Is(err, libzbox.ErrNotExist) {
		s.warn(err.Error())
	}
	if err := rt.Delete(s.id, true); err != nil {
		return nil, fmt.Errorf("deleting container %s: %w", s.id, err)
	}
	if err := mount.UnmountAll(filepath.Join(bundle, "rootfs"), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return nil, fmt.Errorf("unmounting the root of container %s: %w", s.id, err)
	}
	if err := removeDeadSocket(bundle); err != nil {
		s.warn(s.id + ": " + err.Error()) // the next shim of this name would do it
	}
	return res, nil
}

// bundleToClean is the directory beside the one that delete runs in: that may be another container's of the group.
func (s *service) bundleToClean(ctx context.Context) (string, error) {
	if o, ok := ctx.Value(shim.OptsKey{}).(shim.Opts); ok && filepath.Base(o.BundlePath) == s.id {
		return o.BundlePath, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the bundle: %w", err)
	}
	return filepath.Join(filepath.Dir(dir), s.id), nil
}
