package security

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// How filters of other sandboxes were passed: by the numbers of another architecture, by a bit that the kernel ignores, and by
// calls that came later than the list.
func TestSandboxFilterHasNoWayAround_x32_io_uring(t *testing.T) {
	integration.ZboxOnly(t, "a sandbox is described by zbox's own configuration")
	integration.NeedsControllers(t) // for the limits
	if runtime.GOARCH != "amd64" {
		t.Skip("x32 and i386 are numbers of x86")
	}
	r := integration.New(t)
	dir := t.TempDir()
	b := integration.NewBundle(t)
	addAttacker(t, b)
	config := filepath.Join(dir, "sandbox.json")
	text := fmt.Sprintf(`{"name": %q, "root": %q, "binary": %q, "cpu_cores": 1, "cpu_limit_percent": 100, "memory_limit_mb": 128}`,
		r.Marker, filepath.Join(dir, "base"), b.Rootfs("bin/attacker"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	res := r.Do("-c", config, "--", "calls")
	var seen map[string]string
	if err := json.Unmarshal([]byte(res.Stdout), &seen); err != nil {
		t.Fatalf("exit %d, %s%s", res.Code, res.Stdout, res.Stderr)
	}
	const killed = "signal: bad system call"
	for name, want := range map[string]string{
		"io_uring_setup": "EPERM", "io_uring_enter": "EPERM", "io_uring_register": "EPERM",
		"clone3": "ENOSYS", "unshare user": "EPERM", "unshare nothing": "EPERM", "mount": "EPERM", "fsopen": "EPERM", "bpf": "EPERM",
		"userfaultfd": "EPERM", "keyctl": "EPERM", "ptrace": "EPERM",
		"AF_VSOCK": "EAFNOSUPPORT", "AF_ALG": "EAFNOSUPPORT", "AF_PACKET": "EAFNOSUPPORT", "AF_VSOCK + 2^32": "EAFNOSUPPORT",
		"TIOCSTI": "EPERM", "TIOCSTI + 2^32": "EPERM",
		"x32 getpid": killed, "x32 io_uring": killed, "i386 getpid": killed, "i386 mount": killed,
		// controls: answered by the kernel itself
		"getpid": "", "TCGETS": "EBADF", "sendmmsg": "EBADF", "AF_UNIX": "", "AF_INET": "EPROTONOSUPPORT",
	} {
		if seen[name] != want {
			t.Errorf("%s: %q, want %q", name, seen[name], want)
		}
	}
}

// Every way out that the attacker knows is tried in a process of its own, by root of the sandbox and by another user, with a directory of the
// host as a descriptor that the caller forgot to close.
func TestSandboxHasNoWayOut(t *testing.T) {
	integration.ZboxOnly(t, "a sandbox is described by zbox's own configuration")
	integration.NeedsControllers(t) // for the limits
	for _, uid := range []int{0, 1000} {
		t.Run(fmt.Sprintf("uid %d", uid), func(t *testing.T) {
			r := integration.New(t)
			dir := t.TempDir()
			b := integration.NewBundle(t)
			addAttacker(t, b)
			config := filepath.Join(dir, "sandbox.json")
			text := fmt.Sprintf(`{"name": %q, "root": %q, "binary": %q, "uid": %d, "cpu_cores": 2, "cpu_limit_percent": 100, "memory_limit_mb": 128}`,
				r.Marker, filepath.Join(dir, "base"), b.Rootfs("bin/attacker"), uid)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			host, err := os.Open("/")
			if err != nil {
				t.Fatal(err)
			}
			defer host.Close()
			cmd := r.Command("-c", config, "--", "escapes")
			for range 30 { // the first ones have the numbers of zbox's own
				cmd.ExtraFiles = append(cmd.ExtraFiles, host)
			}
			res := r.DoCommand(cmd)
			var seen map[string]string
			if err := json.Unmarshal([]byte(res.Stdout), &seen); err != nil {
				t.Fatalf("exit %d, %s%s", res.Code, res.Stdout, res.Stderr)
			}
			if len(seen) < 60 {
				t.Errorf("only %d were tried", len(seen))
			}
			for name, result := range seen {
				if strings.HasPrefix(name, "control: ") != (result == "") || strings.Contains(result, "status") || strings.Contains(result, "signal") {
					t.Errorf("%s: %q", name, result)
				}
			}
			if res.Stderr != "" {
				t.Error(res.Stderr)
			}
		})
	}
}
