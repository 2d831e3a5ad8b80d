package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
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

// CRIU hangs in the machine's cgroup namespace, where it has cleared the options meanwhile. delete --force finds both in the journal, whether zbox
// was killed or waits.
func TestDeleteByForceEndsCriuAndPutsBackTheMachinesOptions(t *testing.T) {
	NeedsCriu(t)
	ZboxOnly(t, "runc does not put them back")
	outOfTmp(t)
	r := New(t)
	machine := ofVersion2(t)
	if !strings.Contains(machine, "nsdelegate") {
		t.Fatalf("the machine's cgroup v2 is mounted without nsdelegate: %s", machine)
	}
	cleared := func() bool { return ofVersion2(t) != machine }
	for _, test := range []struct {
		name, command string
		edit          func(*specs.Spec)
		killed        bool
	}{
		{"checkpoint", "checkpoint", func(*specs.Spec) {}, false},
		{"killed checkpoint", "checkpoint", func(*specs.Spec) {}, true},
		{"restore", "restore", func(*specs.Spec) {}, false},
		{"killed restore", "restore", func(*specs.Spec) {}, true},
		{"killed restore in a user namespace", "restore", WithUserNamespace, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := NewBundle(t, Shell("exec >/dev/null 2>&1; while :; do sleep 0.05; done"), test.edit)
			start := func() *Container {
				c := r.Start(b)
				Eventually(t, "it has the container's files only", func() bool {
					out, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/2", c.Pid))
					return out == "/dev/null"
				})
				return c
			}
			image := start().checkpoint(t)
			Eventually(t, "CRIU hangs while they are gone", func() bool {
				var id string
				args := []string{"restore", "--detach", "--bundle", b.Dir, "--image-path", image}
				if test.command == "restore" {
					id = r.ID("hangs")
					r.placeCgroup(b, id)
				} else {
					id, args = start().ID, []string{"checkpoint", "--image-path", filepath.Join(t.TempDir(), "image")}
				}
				cmd := r.stopCriu(t, cleared, append(args, id)...)
				if test.killed {
					_ = cmd.Process.Kill() // it may have ended
					_ = cmd.Wait()
				}
				hangs := cleared()
				r.removed(t, b, id)
				_ = cmd.Wait() // gone already, or killed
				if cleared() {
					t.Errorf("behind delete --force the machine has\n%swas\n%s", ofVersion2(t), machine)
				}
				return hangs
			})
		})
	}
}

// stopCriu calls the runtime, and stops its children when something holds, if it comes to see that.
func (r *Runtime) stopCriu(t *testing.T, holds func() bool, args ...string) *exec.Cmd {
	t.Helper()
	cmd := r.Command(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, strings.Join(args, " ")+" comes to where CRIU is to hang", func() bool {
		_, ended := os.Readlink(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid))
		return holds() || ended != nil // too soon for us
	})
	for _, child := range childrenOf(cmd.Process.Pid) {
		_ = unix.Kill(child, unix.SIGSTOP) // it may have ended
	}
	return cmd
}
