package libzbox

import (
	"errors"
	"strings"
	"testing"
)

func TestValidateID(t *testing.T) {
	long := strings.Repeat("a", maxIDLength)
	for _, id := range []string{"a", "web", "Web_1+2.3-4", "0", "_", "+", "a.", "a..b", long} {
		if err := validateID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for id, want := range map[string]string{
		"":         `invalid container ID format: ""`,
		".":        `invalid container ID format: "."`,
		"..":       `invalid container ID format: ".."`,
		".seccomp": `invalid container ID format: ".seccomp"`,
		"-force":   `invalid container ID format: "-force"`,
		"a/b":      `invalid container ID format: "a/b"`,
		"a b":      `invalid container ID format: "a b"`,
		"a\nb":     `invalid container ID format: "a\nb"`,
		"a\x00":    `invalid container ID format: "a\x00"`,
		"ü":        `invalid container ID format: "ü"`,
		"a:b":      `invalid container ID format: "a:b"`,
		"a@b":      `invalid container ID format: "a@b"`,
		long + "a": `invalid container ID format: "` + strings.Repeat("a", 64) + `"`,
	} {
		err := validateID(id)
		if !errors.Is(err, ErrInvalidID) || err.Error() != want {
			t.Errorf("%q: got %v, want %s", id, err, want)
		}
	}
}

// Engines match these texts.
func TestErrorTexts(t *testing.T) {
	for err, want := range map[error]string{
		ErrExist:      "container with given ID already exists",
		ErrInvalidID:  "invalid container ID format",
		ErrNotExist:   "container does not exist",
		ErrPaused:     "container paused",
		ErrRunning:    "container still running",
		ErrNotRunning: "container not running",
		ErrNotPaused:  "container not paused",
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func TestNewRefusesOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"no root", Options{}, "root directory is empty"},
		{"the root of all files", Options{Root: "/"}, "--root: / cannot be the state directory"},
		{"the root of all files in other words", Options{Root: "//."}, "--root: / cannot be the state directory"},
		{"an unknown cgroup manager", Options{Root: "/run/x", CgroupManager: "foo"}, `--cgroup-manager: "foo" is not cgroupfs, systemd or disabled`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.o); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
