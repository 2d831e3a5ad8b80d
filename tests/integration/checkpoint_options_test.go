package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// mountsOf are the mounts that a process sees, with their options.
func mountsOf(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", pid))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(strings.Lines(string(text)))
}

// ofVersion2 is the mount of the machine's cgroup v2.
func ofVersion2(t *testing.T) string {
	t.Helper()
	for _, line := range mountsOf(t, os.Getpid()) {
		if strings.Contains(line, " cgroup2 ") {
			return line
		}
	}
	return ""
}

// CRIU by itself gives the second mount of a directory, and the second masked file, the options of the host's, and takes its options
// from the machine's cgroup v2.
func TestRestoredMountsHaveTheOptionsTheyHad(t *testing.T) {
	NeedsCriu(t)
	for name, edit := range map[string]func(*specs.Spec){
		"cgroup namespace": WithNamespace(specs.CgroupNamespace, ""), "the machine's cgroup namespace": func(*specs.Spec) {},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			source := bindSource(t)
			b := NewBundle(t, Counting, edit, func(s *specs.Spec) {
				for i, options := range [][]string{{"ro"}, {"ro"}, {"noexec", "nosuid"}, {"noexec", "nosuid"}, {"ro", "nosymfollow"}} {
					s.Mounts = append(s.Mounts, specs.Mount{
						Source: source, Destination: fmt.Sprintf("/data/%d", i), Type: "bind", Options: append([]string{"bind"}, options...),
					})
				}
				s.Mounts = append(s.Mounts, specs.Mount{Source: "cgroup", Destination: "/sys/fs/cgroup", Type: "cgroup", Options: []string{"ro"}})
			})
			c := r.Start(b)
			c.Counted(1)
			machine, want := ofVersion2(t), mountsOf(t, c.Pid)
			image := c.checkpoint(t)
			if now := ofVersion2(t); now != machine {
				t.Errorf("behind the checkpoint the machine has\n%swas\n%s", now, machine)
			}
			again := r.Restore(b, image)
			if now := ofVersion2(t); now != machine {
				t.Errorf("behind the restore the machine has\n%swas\n%s", now, machine)
			}
			if got := mountsOf(t, again.Pid); !slices.Equal(got, want) {
				t.Errorf("it has\n%s\nwant\n%s", got, want)
			}
		})
	}
}
