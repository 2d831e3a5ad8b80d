package shim

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/protobuf"
	"github.com/containerd/containerd/runtime/linux/runctypes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/bxrne/zbox/libzbox"
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
	want := &options.Options{
		NoPivotRoot: true, NoNewKeyring: true, ShimCgroup: "/s", IoUid: 7, IoGid: 4294967294, CriuImagePath: "/i", CriuWorkPath: "/w",
	}
	file := filepath.Join(t.TempDir(), "options.toml")
	table := "# of a file\nNoPivotRoot = true\n\n  NoNewKeyring=true # too\nShimCgroup = \"/s\"\nIoUid = 7\nIoGid = 4294967294\n" +
		"CriuImagePath = \"/i\"\nCriuWorkPath = '/w'\n"
	if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, sent := range map[string]any{
		"runc": want,
		"legacy": &runctypes.CreateOptions{
			NoPivotRoot: true, NoNewKeyring: true, ShimCgroup: "/s", IoUid: 7, IoGid: 4294967294, CriuImagePath: "/i", CriuWorkPath: "/w",
		},
		"table": &runtimeoptions.Options{ConfigBody: []byte(table)},
		"file":  &runtimeoptions.Options{ConfigPath: file},
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

// unknown are options with fields that their type does not know.
func unknown(fields ...[]byte) *options.Options {
	o := &options.Options{Root: "/r"}
	o.ProtoReflect().SetUnknown(slices.Concat(fields...))
	return o
}

var (
	criuPathOf16 = []byte{8<<3 | 2, 2, '/', 'c'} // of containerd 1.6, whose type has it as the 8th field
	field100     = []byte{100<<3&0x7f | 0x80, 100 << 3 >> 7, 1}
)

func TestCriuPath(t *testing.T) {
	for name, sent := range map[string]any{
		"containerd 1.6": unknown(criuPathOf16),
		"behind others":  unknown(field100, criuPathOf16),
		"table":          &runtimeoptions.Options{ConfigBody: []byte(`CriuPath = "/c"`)},
	} {
		if got, err := decoded(t, sent); err != nil || got.saved().CriuPath != "/c" {
			t.Errorf("%s: %+v, %v", name, got.saved(), err)
		}
	}
}

func TestOptionsWithoutEffectAreToldOf(t *testing.T) {
	for want, o := range map[string]*options.Options{
		"": unknown(criuPathOf16),
		"runtime options: field 100, and what may come behind it, is not known to this shim and has no effect": unknown(criuPathOf16, field100),
	} {
		sent, err := decoded(t, o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sent.check()
		if err != nil || strings.Join(got, "\n") != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}

func TestOptionsOfARestoreInTheOldType(t *testing.T) {
	got, err := decoded(t, &runctypes.CreateOptions{
		OpenTcp: true, ExternalUnixSockets: true, Terminal: true, FileLocks: true, EmptyNamespaces: []string{"network"}, CgroupsMode: "full",
	})
	want := libzbox.CriuOptions{
		TCPEstablished: true, ExternalUnixSockets: true, ShellJob: true, FileLocks: true, EmptyNamespaces: []string{"network"}, ManageCgroups: "full",
	}
	if err != nil || !reflect.DeepEqual(got.restore, want) {
		t.Errorf("%+v, %v", got.restore, err)
	}
}

func TestOptionsAreSavedForDelete(t *testing.T) {
	bundle := t.TempDir()
	want := savedOptions{Root: "/r", SystemdCgroup: true, CriuPath: "/c"}
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
