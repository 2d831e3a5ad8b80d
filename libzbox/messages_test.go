package libzbox

import (
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestStepErrorText(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    StepError
		want string
	}{
		{"of a field", StepError{7, 61, "mounts[7] (/data)", "open source /x", unix.ENOENT}, "config.json: mounts[7] (/data): open source /x: no such file or directory (step 7 of 61)"},
		{"of a default", StepError{2, 61, "default", "open /proc", unix.EACCES}, "open /proc: permission denied (step 2 of 61)"},
		{"without an origin", StepError{2, 61, "", "open /proc", unix.EACCES}, "open /proc: permission denied (step 2 of 61)"},
		{"without an errno", StepError{3, 61, "hooks.createContainer[0]", "exit status 1", nil}, "config.json: hooks.createContainer[0]: exit status 1 (step 3 of 61)"},
		{"before the first step", StepError{0, 61, "", "map the plan", unix.ENOMEM}, "map the plan: cannot allocate memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.e.Error(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.e.Err != nil && !errors.Is(&tt.e, tt.e.Err) {
				t.Errorf("does not unwrap to %v", tt.e.Err)
			}
		})
	}
}

func TestSplitStateIsTheStateAroundThePid(t *testing.T) {
	for _, s := range []specs.State{
		{Version: "1.3.0", ID: "web", Bundle: "/b"},
		{Version: "1.0.0", ID: "web", Bundle: "/b \"'\\\n\u2028ü<&>", Annotations: map[string]string{"pid": "9", "\"": "}"}},
	} {
		for _, status := range []specs.ContainerState{specs.StateCreating, specs.StateCreated} {
			head, tail, err := splitState(s, status)
			if err != nil {
				t.Fatal(err)
			}
			for _, pid := range []int{1, 4194304} {
				var got specs.State
				text := head + strconv.Itoa(pid) + tail
				if err := json.Unmarshal([]byte(text), &got); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				want := s
				want.Pid, want.Status = pid, status
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		}
	}
}
