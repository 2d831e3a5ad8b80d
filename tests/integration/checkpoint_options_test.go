package integration

import (
	"fmt"
	"os"
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

// A zbox is killed while CRIU works in the machine's cgroup namespace, where the options are gone meanwhile, and CRIU hangs: delete --force finds
// both in the journal.
func TestDeleteByForceEndsCriuAndPutsBackTheMachinesOptions(t *testing.T) {
	NeedsCriu(t)
	ZboxOnly(t, "runc does not put them back")
	r := New(t)
	b := NewBundle(t, Counting)
	machine := ofVersion2(t)
	if !strings.Contains(machine, "nsdelegate") {
		t.Fatalf("the machine's cgroup v2 is mounted without nsdelegate: %s", machine)
	}
	made := r.Start(b)
	made.Counted(1)
	image := made.checkpoint(t)
	for _, command := range []string{"checkpoint", "restore"} {
		t.Run(command, func(t *testing.T) {
			Eventually(t, "a zbox is killed while they are gone", func() bool {
				var id string
				args := []string{"--detach", "--bundle", b.Dir, "--image-path", image}
				if command == "restore" {
					id = r.ID("killed")
					r.placeCgroup(b, id)
				} else {
					c := r.Start(b)
					id, args = c.ID, []string{"--image-path", filepath.Join(t.TempDir(), "image")}
				}
				killed := r.killedWhile(t, func() bool { return ofVersion2(t) != machine }, append(append([]string{command}, args...), id)...)
				r.removed(t, b, id)
				if now := ofVersion2(t); now != machine {
					t.Errorf("behind delete --force the machine has\n%swas\n%s", now, machine)
				}
				return killed
			})
		})
	}
}

// killedWhile calls the runtime, and when something holds stops its child, CRIU, and kills it. It is false if that held no longer by then.
func (r *Runtime) killedWhile(t *testing.T, holds func() bool, args ...string) bool {
	t.Helper()
	cmd := r.Command(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, strings.Join(args, " ")+" comes to where it is to be killed", holds)
	for _, child := range childrenOf(cmd.Process.Pid) {
		_ = unix.Kill(child, unix.SIGSTOP) // it may have ended, as zbox may
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return holds()
}
