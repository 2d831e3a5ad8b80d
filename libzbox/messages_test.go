package libzbox

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStepErrorText(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    StepError
		want string
	}{
		{"of a field", StepError{7, 61, configFile, "mounts[7] (/data)", "open source /x", unix.ENOENT, ""}, "config.json: mounts[7] (/data): open source /x: no such file or directory (step 7 of 61)"},
		{"of exec's process", StepError{7, 20, "", "process.args[0]", "no such program", nil, ""}, "process.args[0]: no such program (step 7 of 20)"},
		{"of a default", StepError{2, 61, configFile, "default", "open /proc", unix.EACCES, ""}, "open /proc: permission denied (step 2 of 61)"},
		{"without an origin", StepError{2, 61, configFile, "", "open /proc", unix.EACCES, ""}, "open /proc: permission denied (step 2 of 61)"},
		{"without an errno", StepError{3, 61, configFile, "hooks.createContainer[0]", "exit status 1", nil, ""}, "config.json: hooks.createContainer[0]: exit status 1 (step 3 of 61)"},
		{"before the first step", StepError{0, 61, configFile, "", "map the plan", unix.ENOMEM, ""}, "map the plan: cannot allocate memory"},
		{"with a remedy", StepError{7, 61, configFile, "linux.namespaces", "clone", unix.EPERM, "leave the chroot"}, "config.json: linux.namespaces: clone: operation not permitted (step 7 of 61); leave the chroot"},
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
