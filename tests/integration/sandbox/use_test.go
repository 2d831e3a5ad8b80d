package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

func TestDetachedSandboxCanBeUsedUntilItIsDeleted(t *testing.T) {
	r := integration.New(t)
	config := newBox(t, r).with("hostname", "inside").with("env", []string{"COLOR=red"}).with("uid", 1000).write(t)
	id := r.ID("box")
	r.Must("run", "-d", "-c", config, id, "--", "sleep", "1000")
	if out := r.Must("list", "-q"); out != id+"\n" {
		t.Errorf("list: %q", out)
	}
	out := r.Must("exec", id, "sh", "-c", "hostname; echo $COLOR; id -u; cat /proc/1/cmdline | tr '\\0' ' '; grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'")
	if want := "inside\nred\n1000\n/bin/busybox sleep 1000 NoNewPrivs:1\nSeccomp:2\n"; out != want {
		t.Errorf("exec: %q, want %q", out, want)
	}
	if res := r.Do("exec", id, "sh", "-c", "exit 9"); res.Code != 9 {
		t.Errorf("exec: exit code %d", res.Code)
	}
	if out, err := exec.Command("ls", r.Root+"/.bundles").Output(); err != nil || string(out) != id+"\n" {
		t.Errorf("the bundle is not there: %q, %v", out, err)
	}
	r.Must("delete", "--force", id) // and the leak check sees that the bundle is gone
}

func TestDetachedSandboxWithoutAnIDPrintsTheOneItGot(t *testing.T) {
	r := integration.New(t)
	out := r.Must("run", "-d", "-c", newBox(t, r).write(t), "--", "sleep", "1000")
	id := strings.TrimSpace(out)
	if !strings.HasPrefix(id, r.Marker+"-") || r.Must("list", "-q") != id+"\n" {
		t.Errorf("printed %q, list %q", out, r.Must("list", "-q"))
	}
	r.Must("delete", "--force", id)
}

// What the file's program lacks is found before anything starts, the rest by execve(2).
func TestProgramThatCannotStartSaysWhy(t *testing.T) {
	r := integration.New(t)
	for name, test := range map[string]struct {
		content string
		mode    os.FileMode
		says    string
	}{
		"script":   {"#!/opt/python3\n", 0o755, "needs the interpreter /opt/python3, which this host does not have: install it"},
		"crlf":     {"#!/bin/sh\r\n", 0o755, `its first line ends with CR LF, so that its interpreter would be "/bin/sh\r": convert it with dos2unix`},
		"plain":    {"echo hello\n", 0o755, `"/bin/plain": neither a program nor a script: a text without a first line such as #!/bin/sh: exec format error`},
		"empty":    {"", 0o755, `"/bin/empty": an empty file: exec format error`},
		"damaged":  {"\x7fELF", 0o755, `"/bin/damaged": damaged: an ELF file that ends in its header: exec format error`},
		"foreign":  {"\x7fELF\x02\x02\x01" + strings.Repeat("\x00", 9) + "\x02\x00\x16\x00" + strings.Repeat("\x00", 44), 0o755, `"/bin/foreign": built for another processor, s390x, and this is`},
		"readonly": {"#!/bin/sh\n", 0o644, "not executable: mode 0644"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(test.content), test.mode); err != nil {
			t.Fatal(err)
		}
		res := r.Do("-c", newBox(t, r).with("binary", path).write(t))
		if res.Code != 1 || !strings.Contains(res.Stderr, test.says) || strings.Count(res.Stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q, want %q", name, res.Code, res.Stderr, test.says)
		}
	}
	id := r.ID("box")
	r.Must("run", "-d", "-c", newBox(t, r).write(t), id, "--", "sleep", "1000")
	for script, says := range map[string]string{
		"echo '#!/bin/nosuch' > /made; chmod +x /made": `"/made": interpreter not found: "/bin/nosuch" (install it in the root filesystem): no such file or directory`,
		"echo > /made; chmod -x /made":                 `"/made" is not executable, mode 0644 (chmod +x): permission denied`,
	} {
		r.Must("exec", id, "sh", "-c", script)
		if res := r.Do("exec", id, "/made"); res.Code != 255 || !strings.Contains(res.Stderr, says) {
			t.Errorf("exec: exit code %d, %q, want %q", res.Code, res.Stderr, says)
		}
	}
	r.Must("delete", "--force", id)
}

func TestDetachedSandboxHasItsTimeoutToo(t *testing.T) {
	r := integration.New(t)
	config := newBox(t, r).with("timeout_seconds", 1).write(t)
	id, result := r.ID("box"), filepath.Join(t.TempDir(), "result.json")
	r.Must("run", "-d", "-c", config, "--result", result, id, "--", "sleep", "1000")
	integration.Eventually(t, "the result is there", func() bool {
		text, err := os.ReadFile(result)
		return err == nil && len(text) > 0
	})
	if o := readOutcome(t, result); o.Reason != "timeout" || o.ExitCode != 124 || o.ID != id {
		t.Errorf("outcome %+v", o)
	}
	r.Must("delete", id)
}

func TestConfigurationComesFromStandardInput(t *testing.T) {
	r := integration.New(t)
	config := newBox(t, r).write(t)
	for _, args := range [][]string{{"-c", "-"}, {"run", "-c", "-", r.ID("box")}} {
		f, err := os.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		cmd := r.Command(append(args, "--", "sh", "-c", "echo hello; exit 5")...)
		cmd.Stdin = f
		if res := r.DoCommand(cmd); res.Code != 5 || res.Stdout != "hello\n" || res.Stderr != "" {
			t.Errorf("%v: exit code %d, %q, %q", args, res.Code, res.Stdout, res.Stderr)
		}
		f.Close()
	}
}

func TestSecondSandboxOfAnIDIsRefusedAndTheFirstLivesOn(t *testing.T) {
	r := integration.New(t)
	config := newBox(t, r).write(t)
	id := r.ID("box")
	r.Must("run", "-d", "-c", config, id, "--", "sleep", "1000")
	if res := r.Do("run", "-c", config, id, "--", "true"); res.Code != 1 || !strings.HasSuffix(res.Stderr, "container with given ID already exists\n") {
		t.Errorf("exit code %d, %q", res.Code, res.Stderr)
	}
	r.Must("exec", id, "sh", "-c", "exit 0")
	r.Must("delete", "--force", id)
}

// Nothing outlives a zbox that is killed in the foreground, whatever the program has done to be spared: left the session, had a child
// orphaned, or asked the kernel not to be killed with its parent.
func TestSandboxDiesWithAKilledZbox(t *testing.T) {
	r := integration.New(t)
	config := newBox(t, r).write(t)
	cmd := r.Command("-c", config, "--", "sh", "-c", "setsid sleep 1000 & (sleep 1001 &); echo ready; trap '' TERM HUP; sleep 1002; sleep 1003")
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
	var pids []int
	id := strings.TrimSpace(r.Must("list", "-q"))
	integration.Eventually(t, "all four processes run", func() bool {
		if err := json.Unmarshal([]byte(r.Must("ps", "--format", "json", id)), &pids); err != nil {
			t.Fatal(err)
		}
		return len(pids) == 4
	})
	if err := cmd.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for _, pid := range pids {
		integration.Eventually(t, fmt.Sprintf("process %d has ended", pid), func() bool {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // process 1 of the sandbox is the test's now
			return errors.Is(unix.Kill(pid, 0), unix.ESRCH)
		})
	}
	// The next sandbox clears away what is left of it; the leak check sees to that.
	r.Must("-c", config, "--", "sh", "-c", "exit 0")
}
