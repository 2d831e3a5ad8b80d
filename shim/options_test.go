package shim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/protobuf"
	"github.com/containerd/containerd/runtime/linux/runctypes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// decoded is what the shim makes of options that containerd sends.
func decoded(t *testing.T, sent any) (runtimeOptions, error) {
	t.Helper()
	packed, err := protobuf.MarshalAnyToProto(sent)
	if err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(packed)
	if err != nil {
		t.Fatal(err)
	}
	return unmarshalOptions(data)
}

func TestOptionsOfEveryType(t *testing.T) {
	want := &options.Options{NoPivotRoot: true, NoNewKeyring: true, ShimCgroup: "/s", IoUid: 7, IoGid: 4294967294}
	file := filepath.Join(t.TempDir(), "options.toml")
	table := "# of a file\nNoPivotRoot = true\n\n  NoNewKeyring=true # too\nShimCgroup = \"/s\"\nIoUid = 7\nIoGid = 4294967294\n"
	if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, sent := range map[string]any{
		"runc":   want,
		"legacy": &runctypes.CreateOptions{NoPivotRoot: true, NoNewKeyring: true, ShimCgroup: "/s", IoUid: 7, IoGid: 4294967294},
		"table":  &runtimeoptions.Options{ConfigBody: []byte(table)},
		"file":   &runtimeoptions.Options{ConfigPath: file},
	} {
		got, err := decoded(t, sent)
		if err != nil || !proto.Equal(got.Options, want) {
			t.Errorf("%s: %v, %v; want %v", name, got.Options, err, want)
		}
	}
	if got, err := unmarshalOptions(nil); err != nil || !proto.Equal(got.Options, &options.Options{}) {
		t.Errorf("no options: %v, %v", got.Options, err)
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	for want, sent := range map[string]any{
		`runtime options: BinaryName "/bin/x": this shim runs no binary`:                  &options.Options{BinaryName: "/bin/x"},
		`runtime options: TaskApiAddress: tasks of another shim's`:                        &options.Options{TaskApiAddress: "unix:///x"},
		`runtime options: line 2: no option is called "Nosuch"`:                           &runtimeoptions.Options{ConfigBody: []byte("Root = '/r'\nNosuch = 1\n")},
		`runtime options: line 1: "[table]" is not KEY = VALUE`:                           &runtimeoptions.Options{ConfigBody: []byte("[table]\n")},
		`runtime options: line 1: Root: /r is not a string in quotes`:                     &runtimeoptions.Options{ConfigBody: []byte("Root = /r")},
		`runtime options: line 1: IoUid: strconv.ParseUint: parsing "4294967296": value`:  &runtimeoptions.Options{ConfigBody: []byte("IoUid = 4294967296")},
		`runtime options: ConfigPath: open /nosuch: no such file or directory`:            &runtimeoptions.Options{ConfigPath: "/nosuch"},
		`runtime options: containerd.runc.v1.ProcessDetails is not supported, containerd`: &options.ProcessDetails{ExecID: "x"},
	} {
		o, err := decoded(t, sent)
		if err == nil {
			_, err = o.check()
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

func TestOptionsWithoutEffectAreToldOf(t *testing.T) {
	old := &options.Options{}
	old.ProtoReflect().SetUnknown([]byte{8<<3 | 2, 1, 'x'}) // CriuPath of containerd 1.6
	for want, o := range map[string]*options.Options{
		"CriuImagePath and CriuWorkPath have no effect": {CriuWorkPath: "/w"},
		"CriuPath is one": old,
	} {
		got, err := runtimeOptions{o}.check()
		if err != nil || len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}

func TestOptionsAreSavedForDelete(t *testing.T) {
	bundle := t.TempDir()
	want := savedOptions{Root: "/r", SystemdCgroup: true}
	if err := want.write(bundle); err != nil {
		t.Fatal(err)
	}
	if got, err := readSavedOptions(bundle); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := readSavedOptions(t.TempDir()); err != nil || got != (savedOptions{}) {
		t.Errorf("a bundle without: %v, %v", got, err)
	}
}

func TestTypeThatNobodyKnows(t *testing.T) {
	_, err := unpackOptions(&anypb.Any{TypeUrl: "nosuch.Type"})
	if err == nil || !strings.Contains(err.Error(), "decoding the runtime options (nosuch.Type)") {
		t.Error(err)
	}
}
