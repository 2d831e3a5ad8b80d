package compile

import (
	"encoding/json"
	"reflect"
	"strconv"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/plan"
)

func TestStateOfAHookIsTheStateAroundThePid(t *testing.T) {
	for _, s := range []specs.State{
		{Version: "1.3.0", ID: "web", Bundle: "/b"},
		{Version: "1.0.0", ID: "web", Bundle: "/b \"'\\\n\u2028ü<&>", Annotations: map[string]string{"pid": "9", "\"": "}"}},
	} {
		r := baseRequest()
		r.ID, r.Bundle = s.ID, s.Bundle
		r.Spec.Version, r.Spec.Annotations = s.Version, s.Annotations
		hook := []specs.Hook{{Path: "/h"}}
		r.Spec.Hooks = &specs.Hooks{CreateContainer: hook, StartContainer: hook}
		p, _, err := Create(r)
		if err != nil {
			t.Fatal(err)
		}
		statuses := map[string]specs.ContainerState{"createContainer": specs.StateCreating, "startContainer": specs.StateCreated}
		for _, step := range p.Steps {
			h, ok := step.(*plan.Hook)
			if !ok {
				continue
			}
			for _, pid := range []int{1, 4194304} {
				var got specs.State
				text := h.StateHead + strconv.Itoa(pid) + h.StateTail
				if err := json.Unmarshal([]byte(text), &got); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				want := s
				want.Pid, want.Status = pid, statuses[h.Kind]
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s: got %+v, want %+v", h.Kind, got, want)
				}
			}
			delete(statuses, h.Kind)
		}
		if len(statuses) > 0 {
			t.Errorf("no steps for %v", statuses)
		}
	}
}
