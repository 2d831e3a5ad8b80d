package integration

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// NeedsCriu is for tests of checkpoints. CRIU=optional says that this machine's distribution may have none, as that of Ubuntu 24.04.
func NeedsCriu(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("criu")
	if err != nil && os.Getenv("CRIU") == "optional" {
		t.Skip("needs CRIU, which this machine does not have; runs in the machine of tests/vm")
	}
	need(t, err == nil && HasSystemd(), "CRIU, and a kernel that Debian's can work with")
}

// Counting makes the process one that counts: to stdout, and in a file in memory, to which it appends, so that no reader finds it empty.
var Counting = Shell(`i=0; while :; do i=$((i+1)); echo $i; echo $i >> /dev/shm/n; sleep 0.05; done`)

// Restore restores the container from an image of the bundle. Its output can be read with Output.
func (r *Runtime) Restore(b *Bundle, image string, flags ...string) *Container {
	r.t.Helper()
	return r.makeBy("restore", b, append([]string{"--detach", "--image-path", image}, flags...)...)
}

// Counted waits until a process that counts has come so far, and returns what it has counted.
func (c *Container) Counted(atLeast int) []string {
	c.t.Helper()
	var counted []string
	Eventually(c.t, "it has counted", func() bool {
		counted = strings.Fields(c.Output())
		return len(counted) >= atLeast
	})
	return counted
}
