//go:build engines

package containerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// configured is "run" with the own shim and a file with its options, the lines of the table "options" of containerd's configuration.
func configured(t *testing.T, run []string, lines string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "options.toml")
	if err := os.WriteFile(path, []byte(lines+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return with(run, "--runtime-config-path", path)
}

// initOf is the pid of a container's init, from the bundle.
func initOf(t *testing.T, id string) string {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(dir, "state/io.containerd.runtime.v2.task", Namespace, id, "init.pid"))
	if err != nil {
		t.Fatal(err)
	}
	return string(pid)
}

func TestOptionRoot(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		root := filepath.Join(engines.Dir, "own-root")
		Must(t, with(configured(t, run, fmt.Sprintf("Root = %q", root)), "-d", Image, "life", "sleep", "1000")...)
		engines.Case{Args: "--root " + root + "/" + Namespace + " list -q", Stdout: "life"}.Check(t, engines.Zbox())
		// Delete, behind the death of the shim, finds it too.
		engines.Kill(t, Shims()[0])
		engines.Eventually(t, "the container is gone", func() bool {
			return engines.Call(t, engines.Zbox(), "--root", root+"/"+Namespace, "list", "-q").Stdout == ""
		})
	})
}

// properties are those of a systemd unit, a line each.
func properties(t *testing.T, unit string, names ...string) string {
	t.Helper()
	res := engines.Call(t, "systemctl", "show", "--property", strings.Join(names, ","), unit)
	if res.Code != 0 {
		t.Errorf("systemctl show %s: exit %d: %s", unit, res.Code, res.Stderr)
	}
	lines := strings.Fields(res.Stdout)
	slices.Sort(lines)
	return strings.Join(lines, " ")
}

func TestOptionSystemdCgroup(t *testing.T) {
	if !engines.Managed() {
		t.Skip("needs systemd, as make vm-engines has it")
	}
	flags := map[string]func(t *testing.T, run []string) []string{
		"stock": func(_ *testing.T, run []string) []string { return with(run, "--runc-systemd-cgroup") },
		"own":   func(t *testing.T, run []string) []string { return configured(t, run, "SystemdCgroup = true") },
	}
	forEachWay(t, func(t *testing.T, w way) {
		const unit, cgroup = "zbox-scoped.scope", "/sys/fs/cgroup/engines.slice/zbox-scoped.scope"
		run := flags[w.shim](t, with([]string{"run"}, w.flags...))
		Must(t, with(run, "-d", "--cgroup", "engines.slice:zbox:scoped", "--memory-limit", "33554432", "--cpu-quota", "50000", "--cpu-period", "100000",
			"--cpu-shares", "512", Image, "scoped", "sleep", "1000")...)
		names := []string{"ActiveState", "Transient", "Slice", "MemoryMax", "CPUQuotaPerSecUSec", "CPUWeight"}
		want := "ActiveState=active CPUQuotaPerSecUSec=500ms CPUWeight=59 MemoryMax=33554432 Slice=engines.slice Transient=yes"
		if got := properties(t, unit, names...); got != want {
			t.Errorf("the unit is %q, want %q", got, want)
		}
		if procs, err := os.ReadFile(cgroup + "/cgroup.procs"); err != nil || strings.TrimSpace(string(procs)) != initOf(t, "scoped") {
			t.Errorf("the processes of the unit are %q (%v), want %s", procs, err, initOf(t, "scoped"))
		}
		limit := int64(77)
		resources, err := json.Marshal(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := task(t, "scoped").Update(t.Context(), &taskapi.UpdateTaskRequest{ID: "scoped", Resources: &anypb.Any{Value: resources}}); err != nil {
			t.Errorf("update: %v", err)
		}
		if got := properties(t, unit, "TasksMax"); got != "TasksMax=77" {
			t.Errorf("behind an update, the unit is %q", got)
		}
		Must(t, "tasks", "rm", "-f", "scoped")
		engines.Eventually(t, "the unit is gone", func() bool { return properties(t, unit, "LoadState") == "LoadState=not-found" })
		if _, err := os.Stat(cgroup); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its cgroup stays: %v", err)
		}
	})
}

func TestOptionShimCgroup(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		const cgroup = "zbox-test-shim"
		base := "/sys/fs/cgroup"
		if _, err := os.Stat(base + "/cgroup.controllers"); err != nil {
			base += "/pids"
		}
		if err := os.Mkdir(filepath.Join(base, cgroup), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			engines.Eventually(t, "the shim's cgroup is empty", func() bool { return os.Remove(filepath.Join(base, cgroup)) == nil })
		})
		Must(t, with(configured(t, run, `ShimCgroup = "/`+cgroup+`"`), "-d", Image, "life", "sleep", "1000")...)
		procs, err := os.ReadFile(filepath.Join(base, cgroup, "cgroup.procs"))
		if err != nil || !strings.Contains("\n"+string(procs), fmt.Sprintf("\n%d\n", Shims()[0])) {
			t.Errorf("the processes of the cgroup are %q (%v), the shim is %v", procs, err, Shims())
		}
		Must(t, "tasks", "rm", "-f", "life")
	})
}

func TestOptionsIoUidAndIoGid(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		Must(t, with(configured(t, run, "IoUid = 1234\nIoGid = 4321"), "-d", Image, "life", "sleep", "1000")...)
		for fd := range 3 {
			var st unix.Stat_t
			if err := unix.Stat(fmt.Sprintf("/proc/%s/fd/%d", initOf(t, "life"), fd), &st); err != nil || st.Uid != 1234 || st.Gid != 4321 {
				t.Errorf("descriptor %d is of uid %d, gid %d (%v)", fd, st.Uid, st.Gid, err)
			}
		}
	})
}

func TestOptionNoNewKeyring(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		for lines, want := range map[string]bool{"NoNewKeyring = false": true, "NoNewKeyring = true": false} {
			res := Run(t, with(configured(t, run, lines), "--rm", "--privileged", Image, "keys", "cat", "/proc/keys")...)
			if got := strings.Contains(res.Stdout, "_ses.keys"); got != want || res.Code != 0 {
				t.Errorf("%s: exit %d, a keyring of the container's own: %v, want %v, in %q", lines, res.Code, got, want, res.Stdout)
			}
		}
	})
}

func TestOptionNoPivotRoot(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		run = with(run, "-d", "--annotation", "io.containerd.runc.v2.group=pod")
		Must(t, with(run, Image, "first", "sleep", "1000")...)
		for lines, want := range map[string]int{"NoPivotRoot = false": 1, "NoPivotRoot = true": 0} {
			calls := straced(t, Shims()[0], "pivot_root", func() {
				Must(t, with(configured(t, run, lines), Image, "second", "sleep", "1001")...)
				Must(t, "tasks", "rm", "-f", "second")
				Must(t, "containers", "rm", "second")
			})
			if got := strings.Count(calls, "pivot_root("); got != want {
				t.Errorf("%s: %d calls of pivot_root, want %d: %s", lines, got, want, calls)
			}
		}
	})
}

func TestOptionsThatCannotBeApplied(t *testing.T) {
	withOwnShim(t, func(t *testing.T, run []string) {
		for lines, want := range map[string]string{
			`BinaryName = "/usr/sbin/runc"`:    `BinaryName "/usr/sbin/runc": this shim runs no binary`,
			`TaskApiAddress = "unix:///run/x"`: "TaskApiAddress: tasks of another shim's address are not supported",
			`Bogus = 1`:                        `no option is called "Bogus"`,
		} {
			res := Run(t, with(configured(t, run, lines), "--rm", Image, "refused", "true")...)
			if res.Code == 0 || !strings.Contains(res.Stderr, want) {
				t.Errorf("%s: exit %d: %s", lines, res.Code, res.Stderr)
			}
			Run(t, "containers", "rm", "refused") // ctr 1.6 leaves it
		}
	})
}
