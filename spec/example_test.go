package spec

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestExampleIsThatOfRunc(t *testing.T) {
	for name, args := range map[string][]string{"with root": {"spec"}, "rootless": {"spec", "--rootless"}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command("runc", args...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("runc %v (make deps installs it): %v: %s", args, err, out)
			}
			want, got := decodeExample(t, filepath.Join(dir, "config.json")), Example(len(args) == 2)
			if got.Version != "1.3.0" {
				t.Errorf("version %s", got.Version)
			}
			want.Version = got.Version
			// What newer releases of runc do otherwise: no ambient capabilities since 1.2, more masked paths.
			if want.Process.Capabilities.Ambient == nil {
				got.Process.Capabilities.Ambient = nil
			}
			want.Linux.MaskedPaths = slices.DeleteFunc(want.Linux.MaskedPaths, func(p string) bool {
				return p == "/sys/devices/virtual/powercap" || p == "/sys/devices/virtual/tpm" || p == "/proc/interrupts"
			})
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s\nnot %s", encode(t, got), encode(t, want))
			}
		})
	}
}

func decodeExample(t *testing.T, path string) *specs.Spec {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &specs.Spec{}
	if err := json.Unmarshal(data, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExampleIsTheCallersOwn(t *testing.T) {
	Example(false).Mounts[2].Options[0] = "changed"
	if got := Example(false).Mounts[2].Options[0]; got != "nosuid" {
		t.Errorf("a change of one example shows in the next: %q", got)
	}
}
