package sandbox

import (
	"os/exec"
	"path/filepath"
	"strings"
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
	zbox := program + " --root " + dir + "/state -c " + config
	const look = ` -- sh -c 'id -u; awk "{ print \$1, \$2, \$3 }" /proc/self/uid_map; echo > /made && echo made'`
	for _, test := range []struct{ name, flags, script, want string }{
		{"with mounts of its own", "-Urm", zbox + look, "0\n0 0 1\nmade\n"},
		{"with the mounts of the host", "-Ur", zbox + look, "0\n0 0 1\nmade\n"},
		{
			"with a covered /proc", "-Urm", "mount --bind /dev/null /proc/kmsg; " + zbox + look,
			"mount filesystem proc: VFS: Mount too revealing: operation not permitted (step 22 of 85): where parts of /proc are covered, as in most containers, " +
				"no other can be mounted: start that container with --security-opt systempaths=unmasked (docker) or unmask=ALL (podman)\n",
		},
	} {
		cmd := exec.Command("unshare", test.flags, "sh", "-c", test.script)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: caller, Gid: caller}}
		res := r.DoCommand(cmd)
		said := res.Stdout
		if res.Code != 0 {
			_, said, _ = strings.Cut(res.Stderr, "mounts[2] (/proc): ")
		}
		if said != test.want {
			t.Errorf("%s: exit code %d, %q, %q", test.name, res.Code, res.Stdout, res.Stderr)
		}
	}
}
