package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/runtime/linux/runctypes"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/bxrne/zbox/libzbox"
)

// defaultRoot holds a directory of container states for each of containerd's namespaces.
const defaultRoot = "/run/containerd/zbox"

// optionsFile of the bundle keeps for delete what it needs to find the container.
const optionsFile = "zbox-options.json"

// runtimeOptions are those of the stock shim (containerd.runc.v1.Options).
type runtimeOptions struct {
	*options.Options
}

// unmarshalOptions decodes a protobuf Any; nothing at all is no options.
func unmarshalOptions(data []byte) (runtimeOptions, error) {
	if len(data) == 0 {
		return runtimeOptions{&options.Options{}}, nil
	}
	var packed anypb.Any
	if err := proto.Unmarshal(data, &packed); err != nil {
		return runtimeOptions{}, fmt.Errorf("decoding the runtime options: %w", err)
	}
	return unpackOptions(&packed)
}

func unpackOptions(packed *anypb.Any) (runtimeOptions, error) {
	if packed.GetTypeUrl() == "" {
		return runtimeOptions{&options.Options{}}, nil
	}
	v, err := typeurl.UnmarshalAny(packed)
	if err != nil {
		return runtimeOptions{}, fmt.Errorf("decoding the runtime options (%s): %w", packed.GetTypeUrl(), err)
	}
	switch o := v.(type) {
	case *options.Options:
		return runtimeOptions{o}, nil
	case *runctypes.CreateOptions:
		return legacyOptions(o), nil
	case *runtimeoptions.Options:
		return tableOptions(o)
	}
	return runtimeOptions{}, fmt.Errorf("runtime options: %s is not supported, containerd.runc.v1.Options is", packed.GetTypeUrl())
}

// legacyOptions are those of containerd 1.0's shim, which ctr 1.6 still sends with --uidmap. Those of the others are for checkpoints.
func legacyOptions(o *runctypes.CreateOptions) runtimeOptions {
	return runtimeOptions{&options.Options{
		NoPivotRoot: o.NoPivotRoot, NoNewKeyring: o.NoNewKeyring, ShimCgroup: o.ShimCgroup, IoUid: o.IoUid, IoGid: o.IoGid,
		CriuWorkPath: o.CriuWorkPath, CriuImagePath: o.CriuImagePath,
	}}
}

// check refuses what would change which runtime is used, and lists what has no effect.
func (o runtimeOptions) check() (warnings []string, err error) {
	if o.BinaryName != "" {
		return nil, fmt.Errorf("runtime options: BinaryName %q: this shim runs no binary (leave it out, or use io.containerd.runc.v2)", o.BinaryName)
	}
	if o.TaskApiAddress != "" {
		return nil, errors.New("runtime options: TaskApiAddress: tasks of another shim's address are not supported")
	}
	if o.CriuImagePath != "" || o.CriuWorkPath != "" {
		warnings = append(warnings, "runtime options: CriuImagePath and CriuWorkPath have no effect: checkpoints are not implemented")
	}
	if len(o.ProtoReflect().GetUnknown()) > 0 {
		warnings = append(warnings, "runtime options: some are not known to this shim (CriuPath is one) and have no effect")
	}
	return warnings, nil
}

// savedOptions decide where the state of a container is.
type savedOptions struct {
	Root          string `json:"root"`
	SystemdCgroup bool   `json:"systemdCgroup"`
}

// saved are the options as delete needs them.
func (o runtimeOptions) saved() savedOptions {
	return savedOptions{Root: o.Root, SystemdCgroup: o.SystemdCgroup}
}

func (s savedOptions) write(bundle string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the runtime options: %w", err)
	}
	if err := os.WriteFile(filepath.Join(bundle, optionsFile), data, 0o600); err != nil {
		return fmt.Errorf("saving the runtime options: %w", err)
	}
	return nil
}

// readSavedOptions reads them again. A bundle without them is that of a container that was never made.
func readSavedOptions(bundle string) (s savedOptions, err error) {
	data, err := os.ReadFile(filepath.Join(bundle, optionsFile))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return s, fmt.Errorf("reading the runtime options: %w", err)
	}
	return s, nil
}

// runtime is the libzbox.Runtime of a namespace's containers.
func (s savedOptions) runtime(namespace string, warn func(string)) (*libzbox.Runtime, error) {
	root := s.Root
	if root == "" {
		root = defaultRoot
	}
	manager := libzbox.Cgroupfs
	if s.SystemdCgroup {
		manager = libzbox.Systemd
	}
	return libzbox.New(libzbox.Options{Root: filepath.Join(root, namespace), CgroupManager: manager, Warn: warn})
}
