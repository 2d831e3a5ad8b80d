package sandbox

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

// readable lets everybody read what was written for root alone.
func readable(t *testing.T, file string) string {
	t.Helper()
	for path := file; path != os.TempDir(); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// A user with a session gets every limit without asking for anything: zbox finds the systemd of the session.
func TestSandboxOfAUserIsLimitedByTheirSession(t *testing.T) {
	integration.NeedsSystemd(t)
	r := integration.NewAs(t, integration.NeedsUser(t, "tester"))
	config := readable(t, newBox(t, r).write(t))
	script := "cd /sys/fs/cgroup && cat memory.max memory.swap.max pids.max cpu.max memory.oom.group"
	if got, want := r.Must("-c", config, "--", "sh", "-c", script), "67108864\n0\n512\n200000 100000\n1\n"; got != want {
		t.Errorf("limits inside are %q, want %q", got, want)
	}
	if res := r.Do("-c", config, "--", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M count=1"); res.Code != 137 {
		t.Errorf("using 200 MiB under a limit of 64 MiB ended with %d: %s, want 137", res.Code, res.Stderr)
	}
}

// outside is a network namespace that looks like a machine with a network: an interface, 192.0.2.2, and a default route.
func outside(t *testing.T, name string) string {
	t.Helper()
	for _, args := range []string{
		"netns add " + name, "-n " + name + " link set lo up", "-n " + name + " link add outside type dummy",
		"-n " + name + " addr add 192.0.2.2/24 dev outside", "-n " + name + " link set outside up", "-n " + name + " route add default via 192.0.2.1",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "delete", name).CombinedOutput(); err != nil {
			t.Errorf("ip netns delete %s: %v: %s", name, err, out)
		}
	})
	return "/run/netns/" + name
}

// greet answers one connection to port 8080 of a network namespace.
func greet(t *testing.T, netns string) {
	t.Helper()
	listening := make(chan net.Listener, 1)
	go func() {
		defer close(listening)
		runtime.LockOSThread() // and it ends with this goroutine: it stays in the namespace
		ns, err := os.Open(netns)
		if err != nil {
			t.Error(err)
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Errorf("entering %s: %v", netns, err)
			return
		}
		listener, err := net.Listen("tcp4", "0.0.0.0:8080")
		if err != nil {
			t.Error(err)
			return
		}
		listening <- listener
	}()
	listener := <-listening
	if listener == nil {
		t.FailNow()
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return // the test is over
		}
		_, _ = conn.Write([]byte("hello\n"))
		_ = conn.Close()
	}()
}

// What the seed called impossible: limits and a network without root. The AppArmor profile of pasta's package is in force here.
func TestSandboxOfAUserHasLimitsAndANetwork(t *testing.T) {
	integration.NeedsSystemd(t)
	r := integration.NewAs(t, integration.NeedsUser(t, "tester"))
	netns := outside(t, r.Marker)
	greet(t, netns)
	config := readable(t, newBox(t, r).with("network_access", true).write(t))
	cmd := r.Command("-c", config, "--", "sh", "-c", "cat /sys/fs/cgroup/memory.max; nc -w 120 192.0.2.2 8080")
	// nc is not to end its side of the connection first: Debian's pasta may forget the other side then.
	stdin, open, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	defer open.Close()
	cmd.Stdin = stdin
	user := []string{"--reuid", fmt.Sprint(r.User.UID), "--regid", fmt.Sprint(r.User.GID), "--clear-groups"}
	cmd.Args = append(append([]string{"nsenter", "--net=" + netns, "setpriv"}, user...), cmd.Args...)
	cmd.Path, cmd.SysProcAttr.Credential = "/usr/bin/nsenter", nil
	if res := r.DoCommand(cmd); res.Code != 0 || res.Stdout != "67108864\nhello\n" {
		t.Errorf("exit code %d, output %q, %s", res.Code, res.Stdout, res.Stderr)
	}
}

// The same without network_access: clients come in, and nothing gets out, whatever the sandbox's limits. A program in Go would not run in these.
func TestSandboxOfAUserWithPortsOnlyIsHeldIn(t *testing.T) {
	integration.NeedsSystemd(t)
	r := integration.NewAs(t, integration.NeedsUser(t, "tester"))
	netns := outside(t, r.Marker)
	greet(t, netns)
	config := readable(t, newBox(t, r).with("memory_limit_mb", 3).with("pids_limit", 4).with("port_forwards", []any{forward(8081, 80)}).write(t))
	cmd := r.Command("-c", config, "--", "sh", "-c", "nc -w 30 192.0.2.2 8080 2>&1; echo in | nc -l -p 80")
	user := []string{"--reuid", fmt.Sprint(r.User.UID), "--regid", fmt.Sprint(r.User.GID), "--clear-groups"}
	cmd.Args = append(append([]string{"nsenter", "--net=" + netns, "setpriv"}, user...), cmd.Args...)
	cmd.Path, cmd.SysProcAttr.Credential = "/usr/bin/nsenter", nil
	var output, errors strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &errors
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	integration.Eventually(t, "the sandbox answers", func() bool {
		out, _ := exec.Command("nsenter", "--net="+netns, "busybox", "nc", "-w", "30", "192.0.2.2", "8081").Output()
		return string(out) == "in\n"
	})
	if err := cmd.Wait(); err != nil || output.String() != "nc: can't connect to remote host (192.0.2.2): No route to host\n" {
		t.Errorf("%v, output %q, %s", err, output.String(), errors.String())
	}
}

// Over UDP, too, for clients at 127.0.0.1, and by whichever program there is.
func TestSandboxOfAUserAnswersOverUDP(t *testing.T) {
	integration.NeedsSystemd(t)
	r := integration.NewAs(t, integration.NeedsUser(t, "tester"))
	netns := outside(t, r.Marker)
	dir := integration.PublicDir(t)
	peer := filepath.Join(dir, "peer")
	if err := integration.BuildProgram("sandbox/peer", peer); err != nil {
		t.Fatal(err)
	}
	user := []string{"--reuid", fmt.Sprint(r.User.UID), "--regid", fmt.Sprint(r.User.GID), "--clear-groups"}
	for _, helper := range []string{"pasta", "slirp4netns"} {
		path := filepath.Join(dir, "of "+helper)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{helper, "nsenter"} {
			program, err := exec.LookPath(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(program, filepath.Join(path, name)); err != nil {
				t.Fatal(err)
			}
		}
		config := readable(t, newBox(t, r).with("binary", peer).with("port_forwards", []any{forward(5353, 53, "protocol", "udp")}).write(t))
		cmd := r.Command("-c", config, "--", "serve", "udp::53")
		cmd.Args = append(append([]string{"nsenter", "--net=" + netns, "/usr/bin/setpriv"}, user...), cmd.Args...)
		cmd.Path, cmd.SysProcAttr.Credential = "/usr/bin/nsenter", nil
		cmd.Env = append(cmd.Environ(), "PATH="+path)
		stop := startServer(t, cmd)
		for _, address := range []string{"127.0.0.1:5353", "192.0.2.2:5353"} {
			out, err := exec.Command("nsenter", "--net="+netns, peer, "ask", "udp", address).CombinedOutput()
			if err != nil || strings.Count(string(out), ".") != 3 {
				t.Errorf("%s, %s: %q, %v", helper, address, out, err)
			}
		}
		stop()
	}
}

// A user with a range in /etc/subuid and newuidmap has other ids inside, too.
func TestSandboxOfAUserHasTheirSubordinateIDs(t *testing.T) {
	integration.NeedsSystemd(t)
	r := integration.NewAs(t, integration.NeedsUser(t, "tester"))
	config := readable(t, newBox(t, r).with("uid", 33).with("gid", 33).write(t))
	script := "id -u; awk '{ print $1, $2, $3 }' /proc/self/uid_map; echo > /tmp/made; stat -c '%u %g' /tmp/made"
	got := r.Must("-c", config, "--", "sh", "-c", script)
	want := fmt.Sprintf("33\n0 %d 1\n1 100000 65535\n33 33\n", r.User.UID)
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
