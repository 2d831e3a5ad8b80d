package spec

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A field that specs-go gains and the parts do not know would be lost without a word.
func TestPartsHaveEveryFieldOfTheSpecification(t *testing.T) {
	otherPlatforms := map[string]bool{"solaris": true, "windows": true, "vm": true, "zos": true, "freebsd": true}
	for _, tc := range []struct{ whole, part any }{
		{specs.Spec{}, topPart{}},
		{specs.Linux{}, linuxPart{}},
		{specs.LinuxResources{}, resourcesPart{}},
	} {
		whole, part := fieldTypes(tc.whole), fieldTypes(tc.part)
		for name, typ := range whole {
			got, ok := part[name]
			switch {
			case otherPlatforms[name]:
			case !ok:
				t.Errorf("%T has no %s", tc.part, name)
			case got != typ && got != reflect.TypeFor[json.RawMessage]():
				t.Errorf("%T.%s is %v, not %v", tc.part, name, got, typ)
			}
		}
		if len(part) > len(whole) {
			t.Errorf("%T has fields that %T has not", tc.part, tc.whole)
		}
	}
}

func fieldTypes(v any) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for t, i := reflect.TypeOf(v), 0; i < t.NumField(); i++ {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = t.Field(i).Type
	}
	return fields
}

// The parts are only a faster way to the same value.
func TestPartsDecodeWhatTheWholeDecodes(t *testing.T) {
	limit := int64(1 << 20)
	example := Example(true)
	example.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/true"}}}
	example.Annotations = map[string]string{"a": "b"}
	example.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	example.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	example.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}
	example.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "c"}
	example.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &limit}, CPU: &specs.LinuxCPU{Cpus: "0"}, Pids: &specs.LinuxPids{Limit: &limit},
		BlockIO: &specs.LinuxBlockIO{}, Network: &specs.LinuxNetwork{}, Unified: map[string]string{"memory.high": "1"},
	}
	for name, data := range map[string][]byte{
		"everything":     []byte(encode(t, example)),
		"nothing":        []byte(`{}`),
		"null parts":     []byte(`{"process": null, "linux": {"resources": null, "seccomp": null}, "hooks": null}`),
		"no resources":   []byte(`{"linux": {"cgroupsPath": "/x"}}`),
		"unknown fields": []byte(`{"linux": {"later": 1}, "later": {"a": []}}`),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseParts(data)
			if err != nil {
				t.Fatal(err)
			}
			want := &specs.Spec{}
			if err := json.Unmarshal(data, want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("parts give %+v, the whole %+v", got, want)
			}
		})
	}
}
