package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

func TestTwoHundredSandboxesLeaveNothing(t *testing.T) {
	w := newWorld(t)
	check := w.leavesNothing()
	w.serve(w.outside, "serve", "tcp::80")
	const sandboxes, atATime = 200, 8
	files := make(chan string)
	var workers sync.WaitGroup
	for range atATime {
		workers.Go(func() {
			for file := range files {
				out, err := w.zbox("-c", file, "--", "ask", "tcp", "192.0.2.1:80").CombinedOutput()
				if string(out) != "192.0.2.10\n" || err != nil {
					t.Errorf("%q, %v", out, err)
				}
			}
		})
	}
	for i := range sandboxes {
		files <- w.box(true, forward(9000+i, 80), forward(9000+i, 53, "protocol", "udp")).write(t)
	}
	close(files)
	workers.Wait()
	check()
}

// What is still to be sent holds a network namespace for minutes.
func TestSandboxLeavesNothingWhenTheOtherEndIsSilent(t *testing.T) {
	w := newWorld(t)
	check := w.leavesNothing()
	w.serve(w.outside, "serve", "tcp::80")
	stop := startServer(t, w.zbox("-c", w.box(true).write(t), "--", "leave", "tcp", "192.0.2.1:80"))
	w.outside.must("nft", "add table ip wall; add chain ip wall in { type filter hook input priority 0; policy drop; }")
	stop()
	check()
}

// killed starts a sandbox with a port, kills zbox, and with it the sandbox, and returns the sandbox's id.
func (w *world) killed() string {
	w.t.Helper()
	cmd := w.zbox("-c", w.box(true, forward(8080, 80)).write(w.t), "--", "serve", "tcp::80")
	startServer(w.t, cmd)
	if got := w.ask(w.outside, "tcp", "192.0.2.10:8080"); got != "192.0.2.1" {
		w.t.Fatalf("before the kill: %q", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		w.t.Fatal(err)
	}
	integration.Eventually(w.t, "the kernel takes the link away", func() bool { return !strings.Contains(w.host.must("ip", "-o", "link"), " zbx") })
	return strings.TrimSpace(w.do("list", "-q").Stdout)
}

func TestKilledSandboxLeavesNothing(t *testing.T) {
	t.Run("behind delete", func(t *testing.T) {
		w := newWorld(t)
		check := w.leavesNothing()
		id := w.killed()
		if !strings.Contains(w.host.must("nft", "list", "tables"), "zbox-"+id+"-") {
			t.Error("the table is gone without anybody's doing: the test proves nothing")
		}
		for range 2 { // the second finds nothing to do
			if res := w.do("delete", "--force", id); res.Code != 0 || res.Stderr != "" {
				t.Errorf("delete: exit code %d, %q", res.Code, res.Stderr)
			}
		}
		check()
	})
	t.Run("behind the next sandbox", func(t *testing.T) {
		w := newWorld(t)
		check := w.leavesNothing()
		id := w.killed()
		// The port is free again, and so is the address.
		stop := w.start(w.box(true, forward(8080, 80)), "tcp::80")
		if tables := w.host.must("nft", "list", "tables"); strings.Contains(tables, "zbox-"+id+"-") {
			t.Errorf("the table of the killed one is there: %s", tables)
		}
		if got := w.ask(w.host, "tcp", "127.0.0.1:8080"); got != "10.0.2.1" {
			t.Errorf("got %q", got)
		}
		if res := w.do("delete", "--force", id); res.Code != 0 || res.Stderr != "" {
			t.Errorf("delete: exit code %d, %q", res.Code, res.Stderr)
		}
		// Which took nothing from the living one.
		if got := w.ask(w.outside, "tcp", "192.0.2.10:8080"); got != "192.0.2.1" {
			t.Errorf("got %q", got)
		}
		stop()
		check()
	})
}

func TestSandboxKilledAtAnyMomentLeavesNothing(t *testing.T) {
	w := newWorld(t)
	check := w.leavesNothing()
	bundle := filepath.Join(w.dir, "bundle")
	spec := w.do("spec", "-c", w.box(true, forward(8080, 80)).write(t), "-b", bundle, "--", "ask", "tcp", "192.0.2.1:9")
	if spec.Code != 0 {
		t.Fatalf("spec: %s", spec.Stderr)
	}
	// Kills are spread from the first step to behind the last, on this machine as it is now.
	run := func(id string) (*exec.Cmd, time.Time) {
		t.Helper()
		cmd := w.zbox("run", "-b", bundle, id)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, time.Now()
	}
	whole, began := run(w.Marker + "-whole")
	_ = whole.Wait() // nobody answers the sandbox
	took := time.Since(began)
	const kills, most = 60, 300
	connected := 0
	for i := 0; i < kills || i < most && connected == 0; i++ {
		id := fmt.Sprintf("%s-%d", w.Marker, i)
		cmd, _ := run(id)
		timer := time.NewTimer(took * time.Duration(i%kills) * 5 / 4 / kills)
		<-timer.C
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if strings.Contains(w.host.must("nft", "list", "tables"), id) {
			connected++
		}
		if res := w.do("delete", "--force", id); res.Code != 0 {
			t.Errorf("delete: exit code %d, %q", res.Code, res.Stderr)
		}
	}
	if connected == 0 {
		t.Error("no kill came while a sandbox was connected")
	}
	check()
}

func TestForwardingOfTheHostStaysAsItIs(t *testing.T) {
	w := newWorld(t)
	w.host.must("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	check := w.leavesNothing()
	stop := w.start(w.box(true, forward(8080, 80)), "tcp::80")
	if got := w.ask(w.outside, "tcp", "192.0.2.10:8080"); got != "192.0.2.1" {
		t.Errorf("got %q", got)
	}
	stop()
	check()
}

// docker switches it on, too, and is not to lose it with the sandbox.
func TestForwardingThatOthersSwitchOnMeanwhileStays(t *testing.T) {
	w := newWorld(t)
	stop := w.start(w.box(true, forward(8080, 80)), "tcp::80")
	w.host.must("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	stop()
	if got := w.host.must("cat", "/proc/sys/net/ipv4/conf/up0/forwarding"); got != "1\n" {
		t.Errorf("forwarding is %q", got)
	}
}

func TestHostBecomesNoRouter(t *testing.T) {
	w := newWorld(t)
	w.outside.must("sh", "-c", "ip route add 203.0.113.0/24 via 192.0.2.10")
	w.host.must("ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.1")
	w.start(w.box(true, forward(8080, 80)), "tcp::80")
	if got := w.host.must("cat", "/proc/sys/net/ipv4/conf/up0/forwarding"); got != "1\n" {
		t.Errorf("forwarding is %q: the test proves nothing", got)
	}
	w.host.must("sh", "-c", "nft add table ip watch; nft 'add chain ip watch out { type filter hook postrouting priority 0; }'; nft add rule ip watch out ip daddr 203.0.113.9 counter")
	_ = w.knock(w.outside, "udp", "203.0.113.9:9")
	if rules := w.host.must("nft", "list", "table", "ip", "watch"); !strings.Contains(rules, "counter packets 0 ") {
		t.Errorf("the host has forwarded a packet from outside to outside:\n%s", rules)
	}
}

// A firewall that drops what it does not know, as docker's and ufw's do, made by iptables.
func TestSandboxWorksBehindAClosedFirewall(t *testing.T) {
	w := newWorld(t)
	w.host.must("sh", "-c", `nft add table ip filter
		nft 'add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }'
		nft add rule ip filter FORWARD ip daddr 198.51.100.53 counter drop
		nft 'add table inet other; add chain inet other fwd0 { type filter hook forward priority 10; policy drop; }'`)
	check := w.leavesNothing()
	w.serve(w.outside, "serve", "tcp::80")
	if got := w.inside(w.box(true), "ask", "tcp", "192.0.2.1:80"); got != "192.0.2.10" {
		t.Errorf("out: %q", got)
	}
	if got := w.inside(w.box(true), "knock", "tcp", "198.51.100.53:80"); got != "timeout" {
		t.Errorf("what the administrator drops: %q", got)
	}
	stop := w.start(w.box(true, forward(8080, 80)), "tcp::80")
	if got := w.ask(w.outside, "tcp", "192.0.2.10:8080"); got != "192.0.2.1" {
		t.Errorf("in: %q", got)
	}
	stop()
	w.host.must("nft", "reset", "counters") // those of rules stay
	w.host.must("sh", "-c", "nft flush chain ip filter FORWARD; nft add rule ip filter FORWARD ip daddr 198.51.100.53 counter drop")
	check()
}

// What translate writes is plain OCI: the hooks call zbox, whoever runs the bundle.
func TestBundleIsConnectedByOtherRuntimes(t *testing.T) {
	w := newWorld(t)
	check := w.leavesNothing()
	w.serve(w.outside, "serve", "tcp::80")
	for _, runtime := range ociRuntimes(w.Runtime) {
		bundle, state, id := bundleIn(w, w.box(true, forward(8080, 80)), "serve", "tcp::80"), filepath.Join(t.TempDir(), "state"), w.Marker+"-"+filepath.Base(runtime)
		stop := startServer(t, w.host.command(runtime, "--root", state, "run", "-b", bundle, id))
		if got := w.ask(w.outside, "tcp", "192.0.2.10:8080"); got != "192.0.2.1" {
			t.Errorf("%s: got %q", runtime, got)
		}
		if !strings.Contains(w.host.must("nft", "list", "tables"), id+"-") {
			t.Errorf("%s: there is no table of that name", runtime)
		}
		stop()
	}
	check()
}

// As its bundle, examples/sandbox.json works on runtimes that can run anything in its 3 MB: runc cannot.
func TestBundleOfTheSeedsExampleRunsOnOtherRuntimes(t *testing.T) {
	w := newWorld(t)
	check := w.leavesNothing()
	b := w.box(true, forward(8080, 80), forward(2222, 22)).with("binary", "/bin/busybox").with("name", "zbox-sandbox").
		with("cpu_limit_percent", 10).with("memory_limit_mb", 3)
	bundle := bundleIn(w, b, "sh", "-c", "echo hello from $(hostname); echo new > /out; cat /out; dd if=/dev/zero of=/out bs=1k count=4000 2>/dev/null || echo full")
	for _, runtime := range ociRuntimes(w.Runtime) {
		if runtime == "runc" {
			continue
		}
		out, err := w.host.command(runtime, "--root", filepath.Join(t.TempDir(), "state"), "run", "-b", bundle, w.Marker+"-"+filepath.Base(runtime)).CombinedOutput()
		if string(out) != "hello from zbox-sandbox\nnew\nfull\n" || err != nil {
			t.Errorf("%s: %q, %v", runtime, out, err)
		}
	}
	check()
}

// bundleIn is what zbox spec writes on the host of a world.
func bundleIn(w *world, b box, args ...string) string {
	w.t.Helper()
	bundle := filepath.Join(integration.PublicDir(w.t), "bundle")
	if res := w.do(append([]string{"spec", "-c", b.write(w.t), "-b", bundle, "--"}, args...)...); res.Code != 0 {
		w.t.Fatalf("spec: %s", res.Stderr)
	}
	return bundle
}

// userBox is a configuration that the caller without privileges can use.
func (w *world) userBox(b box) box {
	w.t.Helper()
	home := filepath.Join(w.dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chown(home, caller, caller); err != nil {
		w.t.Fatal(err)
	}
	zbox := filepath.Join(w.dir, "zbox")
	if _, err := os.Stat(zbox); err != nil {
		if out, err := exec.Command("cp", w.Path, zbox).CombinedOutput(); err != nil {
			w.t.Fatalf("%v: %s", err, out)
		}
	}
	return b.with("strict", false).with("root", filepath.Join(home, "none"))
}

// byCaller is zbox for a user without privileges, with path as its PATH.
func (w *world) byCaller(path string, b box, args ...string) *exec.Cmd {
	w.t.Helper()
	text, err := os.ReadFile(w.userBox(b).write(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	config := filepath.Join(w.dir, "user.json")
	if err := os.WriteFile(config, text, 0o644); err != nil {
		w.t.Fatal(err)
	}
	home := filepath.Join(w.dir, "home")
	return w.host.command(append([]string{
		"setpriv", fmt.Sprintf("--reuid=%d", caller), fmt.Sprintf("--regid=%d", caller), "--clear-groups",
		"env", "-i", "PATH=" + path, "XDG_RUNTIME_DIR=" + home, filepath.Join(w.dir, "zbox"), "-c", config, "--",
	}, args...)...)
}

// pathOf is a PATH of these programs alone.
func (w *world) pathOf(programs ...string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, "bin")
	if err := os.Mkdir(path, 0o755); err != nil {
		w.t.Fatal(err)
	}
	for _, name := range programs {
		program, err := exec.LookPath(name)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := os.Symlink(program, filepath.Join(path, name)); err != nil {
			w.t.Fatal(err)
		}
	}
	return path
}

func TestRootlessSandboxIsConnectedByAHelper(t *testing.T) {
	integration.V1Only(t)
	for _, helper := range []string{"pasta", "slirp4netns"} {
		t.Run(helper, func(t *testing.T) {
			w := newWorld(t)
			path := w.pathOf(helper, "nsenter")
			check := w.leavesNothing()
			w.serve(w.outside, "serve", "tcp::80", "udp:198.51.100.53:80")
			w.serve(w.outside, "dns", "203.0.113.7", "udp:198.51.100.53:53")
			for _, test := range []struct{ want, command string }{
				{"192.0.2.10\n", "ask tcp 192.0.2.1:80"},
				{"192.0.2.10\n", "ask udp 198.51.100.53:80"},
				{"203.0.113.7\n", "lookup host.example"},
			} {
				if res := w.DoCommand(w.byCaller(path, w.box(true), strings.Fields(test.command)...)); res.Stdout != test.want {
					t.Errorf("%s: %q, %q", test.command, res.Stdout, res.Stderr)
				}
			}
			b := w.box(true, forward(8080, 80), forward(5353, 53, "protocol", "udp"), forward(8081, 80, "bind", "127.0.0.1"),
				forward(5354, 53, "protocol", "udp", "bind", "127.0.0.1"), forward(5355, 5353, "protocol", "udp", "bind", "192.0.2.10"))
			serve := func() *exec.Cmd {
				cmd := w.byCaller(path, b, "serve", "tcp::80", "udp::53", "udp::5353")
				startServer(t, cmd)
				return cmd
			}
			cmd := serve()
			for _, test := range []struct {
				from              space
				protocol, address string
				answered          bool
			}{
				{w.outside, "tcp", "192.0.2.10:8080", true},
				{w.outside, "udp", "192.0.2.10:5353", true},
				{w.host, "udp", "127.0.0.1:5353", true},
				{w.host, "udp", "127.0.0.1:5354", true},
				{w.outside, "udp", "192.0.2.10:5354", false},
				{w.outside, "udp", "192.0.2.10:5355", true},
				{w.outside, "udp", "192.0.2.10:5353", true},
				{w.host, "tcp", "127.0.0.1:8080", true},
				{w.host, "tcp", "127.0.0.1:8081", true},
				{w.host, "tcp", "192.0.2.10:8081", false},
				{w.outside, "tcp", "192.0.2.10:80", false},
			} {
				got := w.ask(test.from, test.protocol, test.address)
				if answered := strings.Count(got, ".") == 3; answered != test.answered {
					t.Errorf("%s %s: %q", test.protocol, test.address, got)
				}
			}
			if res := w.DoCommand(w.byCaller(path, w.box(true, forward(8080, 80)), "lookup", "host.example")); res.Code != 1 || !strings.Contains(res.Stderr, "port 8080/tcp of 0.0.0.0 is in use on the host") {
				t.Errorf("a port in use: exit code %d, %q", res.Code, res.Stderr)
			}
			// Helper and sandbox end with a zbox that is killed, and nobody has to delete anything for that.
			if err := cmd.Process.Signal(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			integration.Eventually(t, "the port is free", func() bool { return w.knock(w.outside, "tcp", "192.0.2.10:8080") == "connection refused" })
			integration.Eventually(t, "helper and watch are gone", func() bool { return len(integration.Orphans("/.network/")) == 0 })
			check()
		})
	}
}

func TestRootlessWithoutHelperIsAnError(t *testing.T) {
	integration.V1Only(t)
	w := newWorld(t)
	res := w.DoCommand(w.byCaller("/nonexistent", w.box(true), "serve"))
	want := "a sandbox without root needs pasta (package passt) or slirp4netns (package slirp4netns), and neither is in /nonexistent: install passt, or run zbox as root"
	if res.Code != 1 || !strings.Contains(res.Stderr, want) || res.Stdout != "" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
	res = w.DoCommand(w.byCaller(w.pathOf("pasta"), w.box(false, forward(8080, 80)), "serve"))
	want = "port_forwards without network_access need nsenter (package util-linux), and it is not in "
	if res.Code != 1 || !strings.Contains(res.Stderr, want) || res.Stdout != "" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
	res = w.DoCommand(w.byCaller(filepath.Join(w.dir, "bin"), w.box(true, forward(5353, 53, "protocol", "udp")), "serve"))
	want = "port_forwards over UDP need nsenter (package util-linux), and it is not in "
	if res.Code != 1 || !strings.Contains(res.Stderr, want) || res.Stdout != "" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
}
