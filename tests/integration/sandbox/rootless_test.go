package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// caller is a uid and gid without a name, so that /etc/subuid has nothing for it.
const caller = 63210

// asUser runs `zbox -c` for a user without privileges, from a directory that is theirs.
func asUser(t *testing.T, r *integration.Runtime, b box, args ...string) integration.Result {
	t.Helper()
	dir := userDir(t)
	return asUserIn(t, r, dir, b.with("root", filepath.Join(dir, "none")), args...)
}

// userDir is a directory of the caller.
func userDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zbox-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, caller, caller); err != nil {
		t.Fatal(err)
	}
	return dir
}

func asUserIn(t *testing.T, r *integration.Runtime, dir string, b box, args ...string) integration.Result {
	t.Helper()
	config := filepath.Join(dir, "sandbox.json")
	text, err := os.ReadFile(b.write(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, text, 0o644); err != nil {
		t.Fatal(err)
	}
	// The binary under test may be where nobody else can look.
	zbox := filepath.Join(dir, "program")
	if out, err := exec.Command("cp", r.Path, zbox).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(zbox, append([]string{"-c", config, "--"}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "XDG_RUNTIME_DIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: caller, Gid: caller}}
	res := r.DoCommand(cmd)
	res.Stderr = strings.ReplaceAll(res.Stderr, config, "FILE")
	return res
}

func TestRootlessLimitsAreErrorsUnlessToldOtherwise(t *testing.T) {
	r := integration.New(t)
	integration.V1Only(t)
	b := newBox(t, r)
	const why = "a cgroup cannot be made without privileges, and on cgroup v1 systemd delegates none; boot with systemd.unified_cgroup_hierarchy=1"
	if res := asUser(t, r, b, "sh", "-c", "echo ran"); res.Code != 1 || res.Stdout != "" || res.Stderr != "zbox: FILE: pids_limit: "+why+"\n" {
		t.Errorf("strict: exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
	want := ""
	for _, field := range []string{"pids_limit", "memory_limit_mb", "cpu_limit_percent"} {
		want += "zbox: warning: FILE: not enforced: " + field + ": " + why + "\n"
	}
	if res := asUser(t, r, b.with("strict", false), "sh", "-c", "echo ran"); res.Code != 0 || res.Stdout != "ran\n" || res.Stderr != want {
		t.Errorf("not strict: exit code %d, %q,\n%s\nwant\n%s", res.Code, res.Stdout, res.Stderr, want)
	}
}

func TestRootlessSandboxIsItsCallerAndNobodyElse(t *testing.T) {
	r := integration.New(t)
	integration.V1Only(t)
	b := newBox(t, r).with("strict", false)
	res := asUser(t, r, b, "sh", "-c", "id -u; awk '{ print $1, $2, $3 }' /proc/self/uid_map /proc/self/gid_map; grep -E '^Cap...:.*[1-9a-f]' /proc/self/status")
	if want := fmt.Sprintf("0\n0 %d 1\n0 %d 1\n", caller, caller); res.Stdout != want {
		t.Errorf("got %q, %q, want %q", res.Stdout, res.Stderr, want)
	}
	res = asUser(t, r, b.with("uid", 33), "sh")
	if want := "uid: 33 does not exist inside: without root privileges and without newuidmap"; res.Code != 1 || !strings.Contains(res.Stderr, want) {
		t.Errorf("exit code %d, %q", res.Code, res.Stderr)
	}
	res = asUser(t, r, b.with("rootless", false), "sh")
	if want := fmt.Sprintf("rootless: is false, but uid %d runs zbox: run it as root, or leave rootless out\n", caller); res.Code != 1 || !strings.HasSuffix(res.Stderr, want) {
		t.Errorf("exit code %d, %q", res.Code, res.Stderr)
	}
}

func TestRootlessTimeoutKillsTheWholeTreeWithoutACgroup(t *testing.T) {
	r := integration.New(t)
	integration.V1Only(t)
	res := asUser(t, r, newBox(t, r).with("strict", false).with("timeout_seconds", 1), "sh", "-c", "setsid sleep 1000 & (sleep 1001 &) ; sleep 1002")
	if res.Code != 124 || !strings.Contains(res.Stderr, "killed after 1 s (timeout_seconds)") {
		t.Errorf("exit code %d, %q", res.Code, res.Stderr)
	}
}
