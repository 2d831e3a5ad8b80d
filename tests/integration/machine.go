package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// need skips a test of what this machine does not have, but fails it where MACHINE=systemd promises a machine that has all.
func need(t *testing.T, has bool, what string) {
	t.Helper()
	if has {
		return
	}
	if os.Getenv("MACHINE") == "systemd" {
		t.Fatalf("needs %s, and MACHINE=systemd says that it is there", what)
	}
	t.Skipf("needs %s; runs in tests/vm", what)
}

// NeedsAllOfVersion2 is for tests of limits on cgroup v2: the hierarchy has the controllers that other machines leave to v1.
func NeedsAllOfVersion2(t *testing.T) {
	t.Helper()
	need(t, hasControllers(), "cgroup v2 with all controllers")
}

func hasControllers() bool {
	text, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	return err == nil && CgroupV2() && strings.Contains(string(text), "memory")
}

// NeedsSystemd is for tests of the systemd cgroup driver.
func NeedsSystemd(t *testing.T) {
	t.Helper()
	need(t, HasSystemd(), "systemd on cgroup v2")
}

// HasSystemd reports whether this is a machine with systemd and cgroup v2 alone, as that of tests/vm.
func HasSystemd() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil && hasControllers()
}

// NeedsAppArmor is for tests that load AppArmor profiles.
func NeedsAppArmor(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("apparmor_parser")
	enabled, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	need(t, err == nil && strings.HasPrefix(string(enabled), "Y"), "AppArmor")
}

// CgroupDir is the directory of the cgroup v2 that the container's process is in.
func (c *Container) CgroupDir() string {
	c.t.Helper()
	return cgroupOf(c.t, c.Pid)
}

func cgroupOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return filepath.Join("/sys/fs/cgroup", strings.TrimSpace(path))
		}
	}
	t.Fatalf("process %d is in no cgroup v2: %s", pid, text)
	return ""
}

// Unified is what a file of the container's cgroup v2 says.
func (c *Container) Unified(file string) string {
	c.t.Helper()
	return strings.TrimSpace(c.read(filepath.Join(c.CgroupDir(), file)))
}
