package shim

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/protobuf"
	"github.com/containerd/containerd/runtime/linux/runctypes"

	"github.com/bxrne/zbox/libzbox"
)

// requested are the options of a request that containerd sends.
func requested(t *testing.T, path string, sent any) (libzbox.CheckpointOptions, error) {
	t.Helper()
	r := &taskapi.CheckpointTaskRequest{ID: "c", Path: path}
	if sent != nil {
		var err error
		if r.Options, err = protobuf.MarshalAnyToProto(sent); err != nil {
			t.Fatal(err)
		}
	}
	return checkpointOptions(r)
}

func TestCheckpointOptionsOfEveryType(t *testing.T) {
	want := libzbox.CheckpointOptions{CriuOptions: libzbox.CriuOptions{
		ImagePath: "/i", WorkPath: "/w", ManageCgroups: "full", EmptyNamespaces: []string{"network"},
		TCPEstablished: true, ExternalUnixSockets: true, ShellJob: true, FileLocks: true,
	}}
	for name, sent := range map[string]any{
		"runc": &options.CheckpointOptions{
			Exit: true, OpenTcp: true, ExternalUnixSockets: true, Terminal: true, FileLocks: true,
			EmptyNamespaces: []string{"network"}, CgroupsMode: "full", ImagePath: "/i/", WorkPath: "/w",
		},
		"legacy": &runctypes.CheckpointOptions{
			Exit: true, OpenTcp: true, ExternalUnixSockets: true, Terminal: true, FileLocks: true,
			EmptyNamespaces: []string{"network"}, CgroupsMode: "full", ImagePath: "/i", WorkPath: "/w",
		},
	} {
		if got, err := requested(t, "/i", sent); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	want = libzbox.CheckpointOptions{CriuOptions: libzbox.CriuOptions{ImagePath: "/i"}, LeaveRunning: true}
	if got, err := requested(t, "/i", nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("no options: %+v, %v", got, err)
	}
}

func TestCheckpointOptionsThatAreRefused(t *testing.T) {
	for want, sent := range map[string]any{
		"checkpoint options: ImagePath /other: containerd wants the image in /i (leave it out)": &options.CheckpointOptions{ImagePath: "/other"},
		"checkpoint options: containerd.runc.v1.Options is not supported, containerd":           &options.Options{},
	} {
		if _, err := requested(t, "/i", sent); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	if _, err := requested(t, "", nil); err == nil || err.Error() != "the request has no path for the image" {
		t.Error(err)
	}
}

func TestImageThatIsRestored(t *testing.T) {
	dir := t.TempDir()
	image, parent, other := filepath.Join(dir, "image"), filepath.Join(dir, "parent"), filepath.Join(dir, "other")
	for _, path := range []string{image, parent, other} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../parent", filepath.Join(image, "parent")); err != nil {
		t.Fatal(err)
	}
	named := &options.Options{CriuImagePath: "/named"}
	for name, c := range map[string]struct {
		request       *taskapi.CreateTaskRequest
		options       *options.Options
		want, refused string
	}{
		"a new container":      {request: &taskapi.CreateTaskRequest{}, options: &options.Options{}},
		"containerd's image":   {request: &taskapi.CreateTaskRequest{Checkpoint: image}, options: named, want: image},
		"the option":           {request: &taskapi.CreateTaskRequest{}, options: named, want: "/named"},
		"its parent":           {request: &taskapi.CreateTaskRequest{Checkpoint: image, ParentCheckpoint: parent}, options: &options.Options{}, want: image},
		"not its parent":       {request: &taskapi.CreateTaskRequest{Checkpoint: image, ParentCheckpoint: other}, options: &options.Options{}, refused: other + " is not the parent of the checkpoint " + image},
		"no parent":            {request: &taskapi.CreateTaskRequest{Checkpoint: other, ParentCheckpoint: parent}, options: &options.Options{}, refused: "the parent of the checkpoint: stat " + other + "/parent: no such file or directory"},
		"nothing but a parent": {request: &taskapi.CreateTaskRequest{ParentCheckpoint: parent}, options: &options.Options{}, refused: "a parent checkpoint without a checkpoint"},
	} {
		got, err := imageOf(c.request, runtimeOptions{Options: c.options})
		refused := ""
		if err != nil {
			refused = err.Error()
		}
		if got != c.want || refused != c.refused {
			t.Errorf("%s: %q, %q; want %q, %q", name, got, refused, c.want, c.refused)
		}
	}
}
