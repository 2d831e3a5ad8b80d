package sandbox

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// world is a network of the test's own: a host where zbox runs, with a router behind it that is the rest of the world. The machine's
// own network is out of reach.
//
//	host 192.0.2.10 -- 192.0.2.1 outside, which is 198.51.100.53, too
type world struct {
	*integration.Runtime
	t             *testing.T
	host, outside space
	peer          string // the program of ./peer
	dir           string // everybody may look into it
}

// space is a network namespace, by a process in it.
type space struct {
	t   *testing.T
	pid int
}

const makeHost = `set -e
mount -t tmpfs tmpfs /run
mount --bind "$1" /etc/resolv.conf
mount -t tmpfs tmpfs /dev/net; mknod -m 666 /dev/net/tun c 10 200
sysctl -q -w net.ipv6.conf.default.accept_dad=0 2>/dev/null || echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up
ip link add up0 type veth peer name far0
ip addr add 192.0.2.10/24 dev up0; ip link set up0 up; ip route add default via 192.0.2.1
echo ready; exec cat`

const makeOutside = `set -e
ip link set lo up
ip addr add 198.51.100.53/32 dev lo
echo 1 > /proc/sys/net/ipv4/ip_forward
echo ready; exec cat`

func newWorld(t *testing.T) *world {
	t.Helper()
	r := integration.New(t)
	w := &world{Runtime: r, t: t, dir: integration.PublicDir(t)}
	w.peer = filepath.Join(w.dir, "peer")
	if err := integration.BuildProgram("sandbox/peer", w.peer); err != nil {
		t.Fatal(err)
	}
	resolver := filepath.Join(w.dir, "resolv.conf")
	if err := os.WriteFile(resolver, []byte("nameserver 127.0.0.53\nnameserver 198.51.100.53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.host = newSpace(t, "-nm", makeHost, resolver)
	w.outside = newSpace(t, "-n", makeOutside)
	w.host.must("ip", "link", "set", "far0", "netns", strconv.Itoa(w.outside.pid))
	w.outside.must("ip", "addr", "add", "192.0.2.1/24", "dev", "far0")
	w.outside.must("ip", "link", "set", "far0", "up")
	// The kernel tells the other end in the background, which then gets an address of IPv6, and that is seen in a snapshot.
	_, err := os.Stat("/proc/net/if_inet6")
	integration.Eventually(t, "the host's link is up", func() bool {
		up := strings.Contains(w.host.must("ip", "link", "show", "up0"), " state UP ")
		return up && (err != nil || strings.Contains(w.host.must("ip", "-6", "route", "show", "table", "local", "dev", "up0"), "local fe80:"))
	})
	return w
}

// newSpace runs a script in new namespaces, which stay until the end of the test.
func newSpace(t *testing.T, flags, script string, args ...string) space {
	t.Helper()
	cmd := exec.Command("unshare", append([]string{flags, "sh", "-c", script, "sh"}, args...)...)
	startServer(t, cmd)
	return space{t, cmd.Process.Pid}
}

// startServer starts a command and waits for its "ready". It ends with its standard input, at the end of the test if nobody ends it before.
func startServer(t *testing.T, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			stdin.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "ready\n" {
		stop()
		t.Fatalf("%v: %q, %v, %s", cmd.Args, line, err, stderr.String())
	}
	return stop
}

// command runs in the space.
func (s space) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"-t", strconv.Itoa(s.pid), "-n", "-m", "--"}, args...)...)
}

// must runs a command and returns what it prints.
func (s space) must(args ...string) string {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// ask is what a server answers to a client in the space, or why there is no answer.
func (w *world) ask(s space, protocol, address string) string {
	w.t.Helper()
	return w.say(s, "ask", protocol, address)
}

// knock is ask where nobody is expected to answer.
func (w *world) knock(s space, protocol, address string) string {
	w.t.Helper()
	return w.say(s, "knock", protocol, address)
}

func (w *world) say(s space, args ...string) string {
	w.t.Helper()
	out, _ := s.command(append([]string{w.peer}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out))
}

// asking is how the peer asks who is to hear want.
func asking(want string) string {
	if want == "timeout" {
		return "knock"
	}
	return "ask"
}

// serve runs a server in a space until the end of the test.
func (w *world) serve(s space, args ...string) (stop func()) {
	w.t.Helper()
	return startServer(w.t, s.command(append([]string{w.peer}, args...)...))
}

// box is a sandbox of the peer.
func (w *world) box(access bool, forwards ...map[string]any) box {
	w.t.Helper()
	if forwards == nil {
		forwards = []map[string]any{}
	}
	return newBox(w.t, w.Runtime).with("binary", w.peer).with("network_access", access).with("port_forwards", forwards)
}

func forward(host, sandbox int, more ...string) map[string]any {
	f := map[string]any{"host": host, "sandbox": sandbox}
	for i := 0; i < len(more); i += 2 {
		f[more[i]] = more[i+1]
	}
	return f
}

// zbox is the runtime on the host.
func (w *world) zbox(args ...string) *exec.Cmd {
	return w.host.command(w.Command(args...).Args...)
}

// do runs it to its end.
func (w *world) do(args ...string) integration.Result {
	w.t.Helper()
	return w.DoCommand(w.zbox(args...))
}

// start runs a sandbox that serves, in the background.
func (w *world) start(b box, ports ...string) (stop func()) {
	w.t.Helper()
	return startServer(w.t, w.zbox(append([]string{"-c", b.write(w.t), "--", "serve"}, ports...)...))
}

// inside runs the peer in a sandbox of its own and returns what it prints.
func (w *world) inside(b box, args ...string) string {
	w.t.Helper()
	res := w.do(append([]string{"-c", b.write(w.t), "--"}, args...)...)
	return strings.TrimSpace(res.Stdout + res.Stderr)
}

// snapshot is everything that a sandbox could leave behind on the host.
func (w *world) snapshot() string {
	w.t.Helper()
	return w.host.must("sh", "-c", `ip -o link; ip -o -4 addr; ip route show table all; ip rule; nft list ruleset
		cd /proc/sys/net/ipv4; for f in ip_forward conf/*/forwarding conf/*/route_localnet; do echo $f $(cat $f); done; ls -A /run`)
}

// leavesNothing remembers the host as it is; the returned function fails the test when it is different. The kernel takes links away in the
// background. The file of zbox's lock stays.
func (w *world) leavesNothing() func() {
	w.t.Helper()
	before := w.snapshot()
	return func() {
		w.t.Helper()
		after := ""
		for range 1000 {
			if after = strings.ReplaceAll(w.snapshot(), "zbox-network.lock\n", ""); after == before {
				break
			}
		}
		if after != before {
			w.t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
		}
		if entries, _ := os.ReadDir(filepath.Join(w.Root, ".network")); len(entries) > 0 {
			w.t.Errorf("the journal has %v", entries)
		}
	}
}
