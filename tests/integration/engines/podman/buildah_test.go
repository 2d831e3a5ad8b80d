//go:build engines

package podman

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// buildah prepares a call of buildah as the user of podman, with podman's images, whose steps go through the recorder.
func (e *engine) buildah(command string, args ...string) *exec.Cmd {
	isolation := "oci"
	if e.user != nil {
		isolation = "rootless"
	}
	flags := []string{command}
	switch command {
	case "bud", "run":
		flags = append(flags, "--isolation", isolation, "--runtime", engines.Recorder)
	}
	cmd := e.podman(append(flags, args...)...)
	like := exec.Command("buildah", cmd.Args[1:]...)
	like.Dir, like.Env, like.SysProcAttr = cmd.Dir, cmd.Env, cmd.SysProcAttr
	return like
}

// builds is must for buildah.
func (e *engine) builds(command string, args ...string) string {
	e.t.Helper()
	res := engines.Run(e.t, e.buildah(command, args...))
	if res.Code != 0 {
		e.t.Fatalf("buildah %s %q: exit %d: %s%s", command, args, res.Code, res.Stdout, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

// record empties the file of the recorder, which every user may write to, and returns what counts the containers made since.
func record(t *testing.T) (created func() int) {
	t.Helper()
	if err := os.WriteFile(engines.Argv, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(engines.Argv, 0o666); err != nil {
		t.Fatal(err)
	}
	return func() int {
		t.Helper()
		argv, err := os.ReadFile(engines.Argv)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(argv), "create --bundle ")
	}
}

func TestBuildahBud(t *testing.T) {
	forEachUser(t, func(e *engine) {
		created := record(e.t)
		e.builds("bud", "--network", "none", "-t", "by-buildah", engines.Dir+"/tmp/context")
		if n := created(); n != 2 {
			e.t.Errorf("the runtime was called to create %d containers, want 2", n)
		}
		e.run(engines.Case{Args: `by-buildah`, Stdout: "built\n0\n/tmp\n1000"})
		e.must("rmi", "by-buildah")
	})
}

func TestBuildahFromAndRun(t *testing.T) {
	forEachUser(t, func(e *engine) {
		id := e.builds("from", "localhost/img")
		defer e.builds("rm", id)
		created := record(e.t)
		dir := e.dir("content")
		links := `sed -n 's/:.*//p' /proc/net/dev | tr -d ' '`
		calls := [][]string{
			{"echo made >/made; id -u; " + links, "0\nlo", "--network", "none"},
			{"cat /made /d/file; hostname", "made\ncontent\nbuilder", "-v", dir + ":/d", "--hostname", "builder"},
			{"touch /d/x 2>&1 || id -u", "touch: /d/x: Read-only file system\n0", "-v", dir + ":/d:ro"},
			{"id -u", "1000", "--user", "1000"},
			{"grep CapPrm /proc/self/status", "CapPrm:\t0000000000000000", "--cap-drop", "all"},
			{"echo $((0x$(sed -n 's/CapPrm:.//p' /proc/self/status) >> 25 & 1))", "1", "--cap-add", "CAP_SYS_TIME"},
			{"tty", "/dev/pts/0", "--terminal"},
			{links + " | wc -l", "2"}, // in a network of its own
		}
		for _, call := range calls {
			if out := e.builds("run", append(call[2:], id, "--", "sh", "-c", call[0])...); out != call[1] {
				e.t.Errorf("%q: %q, want %q", call[0], out, call[1])
			}
		}
		if n := created(); n != len(calls) {
			e.t.Errorf("the runtime was called to create %d containers, want %d", n, len(calls))
		}
		if res := engines.Run(e.t, e.buildah("run", id, "--", "sh", "-c", "exit 3")); res.Code != 3 {
			e.t.Errorf("buildah run of what exits with 3 exits with %d: %s", res.Code, res.Stderr)
		}
		if res := engines.Run(e.t, e.buildah("run", id, "--", "/nosuch")); res.Code == 0 || !strings.Contains(res.Stderr, "/nosuch") {
			e.t.Errorf("buildah run of what is not there: exit %d: %s", res.Code, res.Stderr)
		}
		e.runtimeHasNone()
	})
}

// runtimeHasNone wants no container where buildah has the runtime keep them: it names no directory.
func (e *engine) runtimeHasNone() {
	e.t.Helper()
	cmd := exec.Command(engines.Runtime(), "list", "-q")
	if e.user != nil {
		e.user.Dress(cmd)
	}
	if res := engines.Run(e.t, cmd); res.Code != 0 || res.Stdout != "" {
		e.t.Errorf("the runtime has %q: %s", res.Stdout, res.Stderr)
	}
}
