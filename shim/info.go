package shim

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/protobuf"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/bxrne/zbox/libzbox"
)

// featuresType is the name under which containerd looks for the features document.
const featuresType = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

// printInfo answers -info of containerd 2.x: options in, a RuntimeInfo with the features document out. So containerd learns without
// executing a runtime whether user namespaces and recursive read-only mounts may be asked for.
func printInfo(b Build, stdin io.Reader, stdout io.Writer) error {
	data, err := io.ReadAll(stdin)
	if err != nil {
		return fmt.Errorf("reading the runtime options: %w", err)
	}
	opts, err := unmarshalOptions(data)
	if err != nil {
		return err
	}
	rt, err := libzbox.New(libzbox.Options{Root: defaultRoot})
	if err != nil {
		return err
	}
	doc, err := rt.Features(b.Version)
	if err != nil {
		return err
	}
	features, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encoding the features: %w", err)
	}
	info := &types.RuntimeInfo{
		Name:     Name,
		Version:  &types.RuntimeVersion{Version: b.Version, Revision: b.Commit},
		Features: &anypb.Any{TypeUrl: featuresType, Value: features},
	}
	if info.Options, err = protobuf.MarshalAnyToProto(opts.Options); err != nil {
		return fmt.Errorf("encoding the runtime options: %w", err)
	}
	if data, err = proto.Marshal(info); err != nil {
		return fmt.Errorf("encoding the runtime's information: %w", err)
	}
	_, err = stdout.Write(data)
	return err
}
