package sandbox

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// Root of a user namespace that has one id, as in many containers: the sandbox's root is that id.
func TestRootOfAUserNamespaceRunsSandboxes(t *testing.T) {
	r := integration.New(t)
	integration.V1Only(t)
	dir := userDir(t)
	b := newBox(t, r).with("strict", false).with("rootless", true).with("root", filepath.Join(dir, "none"))
	config := filepath.Join(dir, "sandbox.json")
	program := filepath.Join(dir, "program") // the binary under test may be where nobody else can look
	for from, to := range map[string]string{b.write(t): config, r.Path: program} {
		if out, err := exec.Command("install", "-m", "755", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	cmd := exec.Command(program, "--root", filepath.Join(dir, "state"), "-c", config, "--", "sh", "-c", "id -u; awk '{ print $1, $2, $3 }' /proc/self/uid_map; echo > /made && echo made")
	cmd.Args = append([]string{"unshare", "-Urm"}, cmd.Args...)
	cmd.Path = "/usr/bin/unshare"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: caller, Gid: caller}}
	if res := r.DoCommand(cmd); res.Code != 0 || res.Stdout != "0\n0 0 1\nmade\n" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
}
