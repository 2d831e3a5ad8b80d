//go:build engines

package docker

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// fetch is a shell command that prints the page of a web server. Debian's busybox wget crashes on addresses other than 127.0.0.1.
func fetch(address string) []string {
	return []string{"sh", "-c", `printf 'GET / HTTP/1.0\r\n\r\n' | busybox timeout 60 busybox nc ` + address + ` | busybox tail -n 1`}
}

// outside is a network namespace with a web server at 192.0.2.1, which the host reaches by the link up0.
func outside(t *testing.T) (pid string) {
	t.Helper()
	www := t.TempDir()
	if err := os.WriteFile(filepath.Join(www, "index.html"), []byte("the world\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-n", "sh", "-c", `ip link set lo up; echo ready; read -r _; exec busybox httpd -f -p 80 -h "$1"`, "sh", www)
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil || cmd.Start() != nil {
		t.Fatal("starting a namespace: ", err1, err2)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = exec.Command("ip", "link", "del", "up0").Run()
	})
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	pid = strconv.Itoa(cmd.Process.Pid)
	script := `ip link add up0 type veth peer name far0 netns $1 && ip addr add 192.0.2.10/24 dev up0 && ip link set up0 up
		ip route add default via 192.0.2.1; nsenter -t $1 -n sh -c 'ip addr add 192.0.2.1/24 dev far0; ip link set far0 up'`
	if res := engines.Call(t, "sh", "-e", "-c", script, "sh", pid); res.Code != 0 {
		t.Fatalf("making links: %s", res.Stderr)
	}
	if _, err := fmt.Fprintln(stdin); err != nil {
		t.Fatal(err)
	}
	engines.Eventually(t, "the server outside answers", func() bool {
		return engines.Call(t, fetch("192.0.2.1 80")...).Stdout == "the world\n"
	})
	return pid
}

// docker sets the policy of FORWARD to DROP, and what one table drops no other can accept.
func TestSandboxAndDockerReachTheWorldSideBySide(t *testing.T) {
	if !engines.IsZbox() {
		t.Skip("only zbox has sandboxes")
	}
	begin(t)
	rules := func() string {
		t.Helper()
		res := engines.Call(t, "iptables", "-S")
		if res.Code != 0 {
			t.Errorf("iptables cannot read its own table: %s", res.Stderr)
		}
		return res.Stdout
	}
	before := rules()
	if !strings.Contains(before, "-P FORWARD DROP\n") {
		t.Fatalf("docker does not drop what is forwarded, and the test proves nothing:\n%s", before)
	}
	pid := outside(t)
	config := filepath.Join(t.TempDir(), "sandbox.json")
	text := `{"name": "beside", "binary": "/bin/busybox", "root": "/run/none", "cpu_cores": 1, "cpu_limit_percent": 100, "memory_limit_mb": 32,
		"network_access": true, "dns": ["192.0.2.1"], "port_forwards": [{"host": 18082, "sandbox": 80}]}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	zbox := func(args ...string) string {
		t.Helper()
		res := engines.Call(t, append([]string{engines.Zbox(), "--root", "/run/zbox-beside"}, args...)...)
		if res.Code != 0 || res.Stderr != "" {
			t.Errorf("%q: exit %d, %q", args, res.Code, res.Stderr)
		}
		return res.Stdout
	}
	serve := "mkdir /tmp/w; echo the sandbox >/tmp/w/index.html; exec busybox httpd -f -p 80 -h /tmp/w"
	// The sandbox would hold the pipes of its caller.
	start := exec.Command(engines.Zbox(), "--root", "/run/zbox-beside", "run", "-d", "-c", config, "server", "--", "sh", "-c", serve)
	if err := start.Run(); err != nil {
		t.Fatalf("starting the sandbox: %v", err)
	}
	engines.Eventually(t, "the sandbox answers on its port, from outside", func() bool {
		return engines.Call(t, append([]string{"nsenter", "-t", pid, "-n"}, fetch("192.0.2.10 18082")...)...).Stdout == "the sandbox\n"
	})
	if out := zbox(append([]string{"exec", "server", "busybox"}, fetch("192.0.2.1 80")...)...); out != "the world\n" {
		t.Errorf("the sandbox reads %q", out)
	}
	if out := docker(t, append([]string{"run", "--rm", "img"}, fetch("192.0.2.1 80")...)...); out != "the world" {
		t.Errorf("the container reads %q", out)
	}
	if during := rules(); strings.Count(during, "-A FORWARD -i zbx") != 1 || strings.Count(during, "-A FORWARD -o zbx") != 1 {
		t.Errorf("the rules while the sandbox runs:\n%s", during)
	}
	zbox("delete", "--force", "server")
	if after := rules(); after != before {
		t.Errorf("the rules behind the sandbox:\n%s\nbefore:\n%s", after, before)
	}
	if out := docker(t, append([]string{"run", "--rm", "img"}, fetch("192.0.2.1 80")...)...); out != "the world" {
		t.Errorf("the container reads %q behind the sandbox's end", out)
	}
}
