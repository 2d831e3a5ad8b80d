package sandbox

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

func TestInitReapsOrphansAndEndsAsTheProgram(t *testing.T) {
	r := integration.New(t)
	config := newBox(t, r).with("init", true).write(t)
	// The orphan ends while the program runs. Without a reaper it would stay in /proc as a zombie.
	script := `echo $$; (sh -c 'echo $$ > /tmp/orphan' &); while [ ! -s /tmp/orphan ] || [ -e /proc/$(cat /tmp/orphan) ]; do sleep 0.01; done; exit 6`
	if res := r.Do("-c", config, "--", "sh", "-c", script); res.Code != 6 || res.Stdout != "2\n" || res.Stderr != "" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
	if res := r.Do("-c", config, "--", "sh", "-c", "kill -ABRT $$"); res.Code != 128+int(unix.SIGABRT) {
		t.Errorf("exit code %d after a signal", res.Code)
	}
}

func TestInitPassesSignalsOn(t *testing.T) {
	r := integration.New(t)
	id := r.ID("box")
	cmd := r.Command("run", "-c", newBox(t, r).with("init", true).write(t), id, "--", "sh", "-c", "trap 'exit 8' TERM; echo ready; while true; do sleep 0.01; done")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 16)); err != nil || n != len("ready\n") {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 8 {
		t.Errorf("exit code %d, want 8", code)
	}
}

func TestInitSaysWhyTheProgramDoesNotStart(t *testing.T) {
	r := integration.New(t)
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("\x7fELFbut nothing more\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	res := r.Do("-c", newBox(t, r).with("init", true).with("binary", broken).write(t))
	if want := "init: \"/bin/broken\": damaged: an ELF file that ends in its header: Exec format error\n"; res.Code != 126 || res.Stderr != want {
		t.Errorf("exit code %d, %q", res.Code, res.Stderr)
	}
}

// The program has the terminal: what is typed reaches it once, and job control works.
func TestInitLeavesTheTerminalToTheProgram(t *testing.T) {
	r := integration.New(t)
	config := newBox(t, r).with("init", true).write(t)
	term, side := integration.NewTerminal(t)
	cmd := r.Command("-c", config, "--", "sh", "-c", "trap 'echo interrupted' INT; echo ready; while true; do read line && echo got $line && exit 3; done")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = side, side, side
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	side.Close()
	term.Expect("ready")
	term.Send("\x03")
	term.Expect("interrupted")
	term.Send("text\n")
	term.Expect("got text")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 3 || strings.Count(term.Text(), "interrupted") != 1 {
		t.Errorf("exit code %d, terminal %q", code, term.Text())
	}
}

// A bundle with an init is plain OCI.
func TestInitWorksOnOtherRuntimes(t *testing.T) {
	r := integration.New(t)
	config := newBox(t, r).with("init", true).write(t)
	dir := filepath.Join(t.TempDir(), "bundle")
	for _, d := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.Must("spec", "-c", config, "-b", dir, "--", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; exit 4")
	out, err := exec.Command("runc", "--root", filepath.Join(t.TempDir(), "state"), "run", "-b", dir, r.Marker+"-runc").CombinedOutput()
	if err == nil || err.Error() != "exit status 4" || !strings.HasPrefix(string(out), "/dev/init /bin/busybox sh -c ") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestStarterConfigurationRuns(t *testing.T) {
	r := integration.New(t)
	newBox(t, r)
	path := filepath.Join(t.TempDir(), "sandbox.json")
	r.Must("init", "-c", path, "busybox")
	if res := r.Do("init", "-c", path, "busybox"); res.Code != 1 || !strings.HasSuffix(res.Stderr, "file exists\n") {
		t.Errorf("overwriting: exit code %d, %q", res.Code, res.Stderr)
	}
	r.Must("validate", "-c", path)
	if res := r.Do("-c", path, "--", "sh", "-c", "echo hello from $(hostname)"); res.Stdout != "hello from busybox\n" || res.Stderr != "" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
	var text map[string]any
	if err := json.Unmarshal([]byte(r.Must("init", "-c", "-", "/bin/sleep")), &text); err != nil || text["binary"] != "/bin/sleep" || text["name"] != "sleep" {
		t.Errorf("standard output: %v, %v", text, err)
	}
}
