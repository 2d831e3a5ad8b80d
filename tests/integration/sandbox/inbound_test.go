package sandbox

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

// withEachHelper runs a test of sandboxes without root that have ports but no access; path is a PATH of what they need, with one of the helpers.
func withEachHelper(t *testing.T, test func(t *testing.T, w *world, helper, path string)) {
	t.Helper()
	integration.V1Only(t)
	for _, helper := range []string{"pasta", "slirp4netns"} {
		t.Run(helper, func(t *testing.T) {
			w := newWorld(t)
			test(t, w, helper, w.pathOf(helper, "nsenter"))
		})
	}
}

func TestRootlessForwardWorksWithoutAccess(t *testing.T) {
	withEachHelper(t, func(t *testing.T, w *world, _, path string) {
		check := w.leavesNothing()
		cmd := w.byCaller(path, w.box(false, forward(8080, 80), forward(5353, 53, "protocol", "udp"), forward(5354, 5354, "protocol", "udp")),
			"serve", "tcp::80", "udp::53", "udp::5354")
		stop := startServer(t, cmd)
		for _, test := range []struct {
			from              space
			protocol, address string
		}{
			{w.outside, "tcp", "192.0.2.10:8080"},
			{w.outside, "udp", "192.0.2.10:5353"},
			{w.host, "tcp", "127.0.0.1:8080"},
			{w.host, "udp", "127.0.0.1:5353"},
			{w.host, "udp", "127.0.0.1:5354"},
			{w.host, "udp", "192.0.2.10:5353"},
		} {
			if got := w.ask(test.from, test.protocol, test.address); strings.Count(got, ".") != 3 {
				t.Errorf("%s %s: %q", test.protocol, test.address, got)
			}
		}
		if got := w.ask(w.outside, "tcp", "192.0.2.10:80"); got != "connection refused" {
			t.Errorf("a port that is not forwarded: %q", got)
		}
		stop()
		check()
	})
}

// The same helper lets out a sandbox that has access, with the same servers: TestRootlessSandboxIsConnectedByAHelper.
func TestRootlessForwardLetsNothingOut(t *testing.T) {
	withEachHelper(t, func(t *testing.T, w *world, _, path string) {
		check := w.leavesNothing()
		w.serve(w.outside, "serve", "tcp::80", "udp::80")
		w.serve(w.outside, "dns", "203.0.113.7", "udp:198.51.100.53:53")
		w.serve(w.host, "serve", "tcp::81")
		b := w.box(false, forward(8080, 80))
		for command, want := range map[string]string{
			"ask tcp 192.0.2.1:80":     "no route to host",
			"ask udp 192.0.2.1:80":     "operation not permitted",
			"ask udp 198.51.100.53:53": "operation not permitted",
			"ask tcp 192.0.2.10:81":    "no route to host", // the host itself
			"ask tcp 10.0.2.1:81":      "no route to host", // as the gateway
			"ask tcp 127.0.0.1:81":     "connection refused",
			"lookup host.example":      "connection refused", // the resolver that C libraries and Go take without any is 127.0.0.1
		} {
			res := w.DoCommand(w.byCaller(path, b, strings.Fields(command)...))
			if !strings.HasSuffix(res.Stdout, want+"\n") {
				t.Errorf("%s: %q, %q, want %q", command, res.Stdout, res.Stderr, want)
			}
		}
		check()
	})
}

// talk is a program of a sandbox that answers lines.
type talk struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func startTalk(t *testing.T, cmd *exec.Cmd) *talk {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return &talk{t, in, bufio.NewScanner(out)}
}

func (k *talk) next() string {
	k.t.Helper()
	if !k.out.Scan() {
		k.t.Fatalf("it has ended: %v", k.out.Err())
	}
	return k.out.Text()
}

// A sandbox that was asked from 127.0.0.1 knows an address that leads there. It gets no further than to the one who asked.
func TestRootlessSandboxReachesNoLoopbackOfTheHost(t *testing.T) {
	withEachHelper(t, func(t *testing.T, w *world, _, path string) {
		check := w.leavesNothing()
		w.serve(w.host, "serve", "tcp:127.0.0.1:81", "udp:127.0.0.1:81")
		if got := w.ask(w.host, "udp", "127.0.0.1:81") + w.ask(w.host, "tcp", "127.0.0.1:81"); got != "127.0.0.1127.0.0.1" {
			t.Fatalf("the servers of the host say %q", got)
		}
		for _, protocol := range []string{"udp", "tcp"} {
			for _, access := range []bool{false, true} {
				b := w.box(access, forward(8080, 80, "protocol", "tcp"), forward(8080, 80, "protocol", "udp"))
				program := startTalk(t, w.byCaller(path, b, "turn", protocol+"::80"))
				if got := program.next(); got != "ready" {
					t.Fatalf("%s: %q", protocol, got)
				}
				from := w.ask(w.host, protocol, "127.0.0.1:8080")
				seen, port, err := net.SplitHostPort(from)
				if err != nil {
					t.Fatalf("%s, access %v: %q", protocol, access, from)
				}
				targets := []string{seen + ":81", "127.0.0.1:81", "255.255.255.255:81"}
				for _, last := range []string{"1", "2", "3", "255"} {
					targets = append(targets, "10.0.2."+last+":81")
				}
				if protocol == "tcp" { // who listens there now did not ask; over UDP nobody could tell the two apart
					w.serve(w.host, "serve", "tcp:127.0.0.1:"+port)
					targets = append(targets, from)
				}
				for _, to := range targets {
					if _, err := io.WriteString(program.in, to+"\n"); err != nil {
						t.Fatal(err)
					}
					if got := program.next(); strings.Count(got, ".") > 0 {
						t.Errorf("%s, access %v: %s answers %q", protocol, access, to, got)
					}
				}
				if err := program.in.(io.Closer).Close(); err != nil {
					t.Fatal(err)
				}
				integration.Eventually(t, "the port is free", func() bool { return w.knock(w.host, "tcp", "127.0.0.1:8080") == "connection refused" })
			}
		}
		integration.Eventually(t, "helper and watch are gone", func() bool { return len(integration.Orphans("/.network/")) == 0 })
		check()
	})
}

// With these capabilities the program could undo the rules that stand for what slirp4netns would do itself.
func TestRootlessForwardOverUDPBySlirpIsRefusedToWhoCouldOpenIt(t *testing.T) {
	integration.V1Only(t)
	w := newWorld(t)
	path := w.pathOf("slirp4netns", "nsenter")
	want := "port_forwards over UDP: slirp4netns answers clients at 127.0.0.1 only where it also lets the sandbox reach what listens there"
	b := w.box(true, forward(5353, 53, "protocol", "udp")).with("capabilities", []string{"NET_RAW"})
	if res := w.DoCommand(w.byCaller(path, b, "serve")); res.Code != 1 || !strings.Contains(res.Stderr, want) {
		t.Errorf("exit code %d, %q", res.Code, res.Stderr)
	}
	bound := w.box(true, forward(5353, 53, "protocol", "udp", "bind", "192.0.2.10")).with("capabilities", []string{"NET_RAW"})
	stop := startServer(t, w.byCaller(path, bound, "serve", "udp::53"))
	if got := w.ask(w.outside, "udp", "192.0.2.10:5353"); strings.Count(got, ".") != 3 {
		t.Errorf("bound to another address: %q", got)
	}
	stop()
}

// The program has no way to undo it, and not even root of the sandbox gets past it with what rules see.
func TestRootlessForwardCannotBeOpenedFromInside(t *testing.T) {
	withEachHelper(t, func(t *testing.T, w *world, _, path string) {
		nft := w.box(false, forward(8080, 80)).with("binary", "/usr/sbin/nft")
		for _, command := range []string{"flush ruleset", "delete table inet zbox", "add rule inet zbox output accept"} {
			if res := w.DoCommand(w.byCaller(path, nft, strings.Fields(command)...)); res.Code == 0 || !strings.Contains(res.Stderr, "Operation not permitted") {
				t.Errorf("nft %s: exit code %d, %q", command, res.Code, res.Stderr)
			}
		}
		for _, capability := range []string{"NET_ADMIN", "NET_RAW"} {
			res := w.DoCommand(w.byCaller(path, nft.with("capabilities", []string{capability}), "flush", "ruleset"))
			want := "the capabilities NET_ADMIN and NET_RAW would undo what keeps connections in: leave them out, or run zbox as root"
			if res.Code != 1 || !strings.Contains(res.Stderr, want) {
				t.Errorf("%s: exit code %d, %q", capability, res.Code, res.Stderr)
			}
		}
		if res := w.do("network", "inside", "1", "{}"); res.Code != 1 || !strings.Contains(res.Stderr, "this is another one") {
			t.Errorf("inside on the host: exit code %d, %q", res.Code, res.Stderr)
		}
		cmd := w.byCaller(path, w.box(false, forward(8080, 80)), "serve", "tcp::80")
		stop := startServer(t, cmd)
		pid := w.insideOf(cmd.Process.Pid)
		for _, test := range []struct{ address, want string }{{"192.0.2.1", "Operation not permitted"}, {"127.0.0.1", " 0% packet loss"}} {
			out, _ := exec.Command("nsenter", "-t", pid, "-n", "busybox", "ping", "-c", "1", "-W", "20", test.address).CombinedOutput()
			if !strings.Contains(string(out), test.want) {
				t.Errorf("ping of %s: %s", test.address, out)
			}
		}
		if out := w.host.must("busybox", "ping", "-c", "1", "-W", "20", "192.0.2.1"); !strings.Contains(out, " 0% packet loss") {
			t.Errorf("the ping of the host proves nothing: %s", out)
		}
		stop()
	})
}

// A program that was killed in between leaves nothing, as ever: the rule goes with the namespace.
func TestRootlessForwardOfAKilledZboxLeavesNothing(t *testing.T) {
	integration.V1Only(t)
	w := newWorld(t)
	path := w.pathOf("pasta", "nsenter")
	check := w.leavesNothing()
	cmd := w.byCaller(path, w.box(false, forward(8080, 80)), "serve", "tcp::80")
	startServer(t, cmd)
	if err := cmd.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	integration.Eventually(t, "the port is free", func() bool { return w.knock(w.outside, "tcp", "192.0.2.10:8080") == "connection refused" })
	integration.Eventually(t, "helper and watch are gone", func() bool { return len(integration.Orphans("/.network/")) == 0 })
	check()
}

// insideOf is a process of the sandbox that a zbox runs: its child that is in another network namespace. Others carry the traffic.
func (w *world) insideOf(zbox int) string {
	w.t.Helper()
	name := strconv.Itoa(zbox)
	own, _ := os.Readlink("/proc/" + name + "/ns/net")
	out, _ := exec.Command("sh", "-c", "cat /proc/"+name+"/task/*/children").Output() // threads may end meanwhile
	for pid := range strings.FieldsSeq(string(out)) {
		if ns, err := os.Readlink("/proc/" + pid + "/ns/net"); err == nil && ns != own {
			return pid
		}
	}
	w.t.Fatalf("children of %s: %q, and none in a network of its own", name, out)
	return ""
}
