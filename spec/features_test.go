package spec

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/bxrne/zbox/host/facts"
)

func TestFeaturesHasWhatEnginesRead(t *testing.T) {
	f := Features(facts.Facts{KernelMajor: 6, KernelMinor: 1}, "0.1.0")
	if f.OCIVersionMin != "1.0.0" || f.OCIVersionMax != "1.3.0" {
		t.Errorf("versions %s to %s", f.OCIVersionMin, f.OCIVersionMax)
	}
	// CRI-O and containerd's CRI plugin; the latter looks for rro, too (compile.MountOptions).
	if !*f.Linux.MountExtensions.IDMap.Enabled || !slices.Contains(f.Linux.Namespaces, "user") {
		t.Error("user namespaces would be off")
	}
	if got := f.Annotations["org.opencontainers.runc.checkpoint.enabled"]; got != "true" {
		t.Errorf("checkpoint %q", got)
	}
	if len(f.Hooks) != 6 || len(f.Linux.Namespaces) != 8 || len(f.Linux.Seccomp.Actions) != 9 {
		t.Errorf("%d hooks, %d namespaces, %d actions", len(f.Hooks), len(f.Linux.Namespaces), len(f.Linux.Seccomp.Actions))
	}
}

func TestFeaturesListsAreSortedAndWithoutDuplicates(t *testing.T) {
	f := Features(facts.Facts{}, "")
	for name, list := range map[string][]string{"namespaces": f.Linux.Namespaces, "actions": f.Linux.Seccomp.Actions} {
		if sorted := slices.Compact(slices.Sorted(slices.Values(list))); !slices.Equal(list, sorted) {
			t.Errorf("%s: %v", name, list)
		}
	}
}

func TestFeaturesSupportsTheFlagsOfTheKernel(t *testing.T) {
	flag := "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
	for _, tt := range []struct {
		major, minor int
		want         bool
	}{{5, 18, false}, {5, 19, true}, {6, 0, true}, {4, 20, false}} {
		s := Features(facts.Facts{KernelMajor: tt.major, KernelMinor: tt.minor}, "").Linux.Seccomp
		if got := slices.Contains(s.SupportedFlags, flag); got != tt.want || !slices.Contains(s.KnownFlags, flag) {
			t.Errorf("%d.%d: supported %v", tt.major, tt.minor, got)
		}
	}
}

// A document must have no properties that ociVersionMax does not define (features.md).
func TestFeaturesSurvivesEncoding(t *testing.T) {
	f := Features(facts.Facts{}, "1")
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	again := &features.Features{}
	if err := Decode("features", data, again, DecodeOptions{Strict: true}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(f, again) {
		t.Errorf("%s", data)
	}
}
