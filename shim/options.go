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
	"google.golang.org/protobuf/encoding/protowire"
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
	criuPath string              // the option CriuPath, which the type lost behind containerd 1.6
	restore  libzbox.CriuOptions // what containerd 1.0's type says of restoring
}

// criuPathField is the number of CriuPath in the type of containerd 1.6.
const criuPathField protowire.Number = 8

// unmarshalOptions decodes a protobuf Any; nothing at all is no options.
func unmarshalOptions(data []byte) (runtimeOptions, error) {
	if len(data) == 0 {
		return runtimeOptions{Options: &options.Options{}}, nil
	}
	var packed anypb.Any
	if err := proto.Unmarshal(data, &packed); err != nil {
		return runtimeOptions{}, fmt.Errorf("decoding the runtime options: %w", err)
	}
	return unpackOptions(&packed)
}

func unpackOptions(packed *anypb.Any) (runtimeOptions, error) {
	if packed.GetTypeUrl() == "" {
		return runtimeOptions{Options: &options.Options{}}, nil
	}
	v, err := typeurl.UnmarshalAny(packed)
	if err != nil {
		return runtimeOptions{}, fmt.Errorf("decoding the runtime options (%s): %w", packed.GetTypeUrl(), err)
	}
	switch o := v.(type) {
	case *options.Options:
		return withCriuPath(o), nil
	case *runctypes.CreateOptions:
		return legacyOptions(o), nil
	case *runtimeoptions.Options:
		return tableOptions(o)
	}
	return runtimeOptions{}, fmt.Errorf("runtime options: %s is not supported, containerd.runc.v1.Options is", packed.GetTypeUrl())
}

// withCriuPath takes CriuPath out of the fields that the type does not know.
func withCriuPath(sent *options.Options) runtimeOptions {
	o := runtimeOptions{Options: sent}
	var others []byte
	for data := []byte(sent.ProtoReflect().GetUnknown()); len(data) > 0; {
		number, kind, n := protowire.ConsumeField(data) // which is well-formed: it was decoded
		if number == criuPathField && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(data)
			path, _ := protowire.ConsumeBytes(data[tag:])
			o.criuPath = string(path)
		} else {
			others = append(others, data[:n]...)
		}
		data = data[n:]
	}
	sent.ProtoReflect().SetUnknown(others)
	return o
}

// legacyOptions are those of containerd 1.0's shim, which ctr 1.6 still sends with --uidmap, and containerd's client with the path of an image.
func legacyOptions(o *runctypes.CreateOptions) runtimeOptions {
	return runtimeOptions{
		Options: &options.Options{
			NoPivotRoot: o.NoPivotRoot, NoNewKeyring: o.NoNewKeyring, ShimCgroup: o.ShimCgroup, IoUid: o.IoUid, IoGid: o.IoGid,
			CriuWorkPath: o.CriuWorkPath, CriuImagePath: o.CriuImagePath,
		},
		restore: libzbox.CriuOptions{
			TCPEstablished: o.OpenTcp, ExternalUnixSockets: o.ExternalUnixSockets, ShellJob: o.Terminal, FileLocks: o.FileLocks,
			EmptyNamespaces: o.EmptyNamespaces, ManageCgroups: o.CgroupsMode,
		},
	}
}

// check refuses what would change which runtime is used, and lists what has no effect.
func (o runtimeOptions) check() (warnings []string, err error) {
	if o.BinaryName != "" {
		return nil, fmt.Errorf("runtime options: BinaryName %q: this shim runs no binary (leave it out, or use io.containerd.runc.v2)", o.BinaryName)
	}
	if o.TaskApiAddress != "" {
		return nil, errors.New("runtime options: TaskApiAddress: tasks of another shim's address are not supported")
	}
	if unknown := o.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		number, _, _ := protowire.ConsumeTag(unknown)
		warnings = append(warnings, fmt.Sprintf("runtime options: field %d, and what may come behind it, is not known to this shim and has no effect", number))
	}
	return warnings, nil
}

// savedOptions are those of a container's libzbox.Runtime. They decide where its state is.
type savedOptions struct {
	Root          string `json:"root"`
	SystemdCgroup bool   `json:"systemdCgroup"`
	CriuPath      string `json:"criuPath,omitempty"`
}

// saved are the options as delete needs them.
func (o runtimeOptions) saved() savedOptions {
	return savedOptions{Root: o.Root, SystemdCgroup: o.SystemdCgroup, CriuPath: o.criuPath}
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
	return libzbox.New(libzbox.Options{Root: filepath.Join(root, namespace), CgroupManager: manager, Criu: s.CriuPath, Warn: warn})
}
