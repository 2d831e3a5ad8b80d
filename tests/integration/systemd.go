package integration

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// OnSystemd makes the runtime use the systemd cgroup driver of the caller's manager.
func (r *Runtime) OnSystemd() *Runtime {
	r.Globals = append(r.Globals, "--systemd-cgroup")
	return r
}

// Unit is the name of the systemd unit of the container whose bundle was changed by InSlice.
func (r *Runtime) Unit() string { return "zbt-" + r.Marker + ".scope" }

// InSlice places the only container of the test in a systemd unit, Unit, of the slice; "" is the driver's choice.
func (r *Runtime) InSlice(slice string) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Linux.CgroupsPath = slice + ":zbt:" + r.Marker }
}

// systemctl runs systemctl and returns what it prints; a unit that is not there is no error.
func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// unitProperty is what systemd itself holds for a property of a unit.
func unitProperty(t *testing.T, unit, property string) string {
	t.Helper()
	return systemctl(t, "show", "--property", property, "--value", unit)
}

// unitProperty is what the systemd of the runtime's caller holds for a property of Unit.
func (r *Runtime) unitProperty(property string) string {
	r.t.Helper()
	if r.User != nil {
		return r.User.systemctl(r.t, "show", "--property", property, "--value", r.Unit())
	}
	return unitProperty(r.t, r.Unit(), property)
}

// noUnit fails the test when systemd still knows the unit.
func noUnit(t *testing.T, unit string) {
	t.Helper()
	Eventually(t, "systemd has forgotten "+unit, func() bool { return unitProperty(t, unit, "LoadState") == "not-found" })
}
