package sandbox

import (
	"strings"
	"testing"
)

func TestSandboxWithoutNetworkReachesItselfOnly(t *testing.T) {
	w := newWorld(t)
	defer w.leavesNothing()()
	w.serve(w.outside, "serve", "tcp::80")
	if got := w.inside(w.box(false), "ask", "tcp", "192.0.2.1:80"); got != "network is unreachable" {
		t.Errorf("got %q", got)
	}
	if got := w.inside(w.box(false), "alone", "/tmp/socket"); got != "unix\ntcp4" {
		t.Errorf("by itself: %q", got)
	}
}

func TestSandboxWithAccessReachesTheWorld(t *testing.T) {
	w := newWorld(t)
	check := w.leavesNothing()
	w.serve(w.outside, "serve", "tcp::80", "udp:198.51.100.53:80")
	w.serve(w.host, "serve", "tcp::81")
	for _, test := range []struct{ protocol, address, want string }{
		{"tcp", "192.0.2.1:80", "192.0.2.10"}, // the host's own address
		{"udp", "198.51.100.53:80", "192.0.2.10"},
		{"tcp", "192.0.2.10:81", "10.0.2.2"}, // the host itself
		{"tcp", "192.0.2.1:9", "connection refused"},
	} {
		if got := w.inside(w.box(true), "ask", test.protocol, test.address); got != test.want {
			t.Errorf("%s %s: got %q, want %q", test.protocol, test.address, got, test.want)
		}
	}
	check()
}

func TestNamesResolve(t *testing.T) {
	w := newWorld(t)
	defer w.leavesNothing()()
	w.serve(w.outside, "dns", "203.0.113.7", "udp:198.51.100.53:53")
	w.serve(w.outside, "dns", "203.0.113.8", "udp:192.0.2.1:53")
	if got := w.inside(w.box(true), "lookup", "host.example"); got != "203.0.113.7" {
		t.Errorf("by the host's resolvers: %q", got)
	}
	if got := w.inside(w.box(true).with("dns", []string{"192.0.2.1"}), "lookup", "host.example"); got != "203.0.113.8" {
		t.Errorf("by the configuration's: %q", got)
	}
	w.host.must("sh", "-c", "echo nameserver 127.0.0.53 > /etc/resolv.conf")
	want := "zbox: warning: network_access: names will not resolve: /etc/resolv.conf and /run/systemd/resolve/resolv.conf name no IPv4 resolver " +
		"but the host's own loopback; give the addresses of some in dns"
	if got := w.inside(w.box(true), "ask", "tcp", "192.0.2.1:9"); !strings.Contains(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	w.host.must("sh", "-c", "mkdir -p /run/systemd/resolve; echo nameserver 198.51.100.53 > /run/systemd/resolve/resolv.conf")
	if got := w.inside(w.box(true), "lookup", "host.example"); got != "203.0.113.7" {
		t.Errorf("by systemd-resolved's own: %q", got)
	}
	w.host.must("rm", "-r", "/run/systemd")
}

func TestForwardIsReachedFromEverywhere(t *testing.T) {
	for name, access := range map[string]bool{"with access": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			check := w.leavesNothing()
			stop := w.start(w.box(access, forward(8080, 80), forward(5353, 53, "protocol", "udp"), forward(8081, 80)), "tcp::80", "udp::53")
			for _, test := range []struct {
				from              space
				protocol, address string
				want              string
			}{
				{w.host, "tcp", "192.0.2.10:8080", "192.0.2.10"},
				{w.host, "tcp", "127.0.0.1:8080", "10.0.2.1"},
				{w.host, "tcp", "127.0.0.2:8081", "10.0.2.1"},
				{w.host, "tcp", "10.0.2.1:8080", "10.0.2.1"},
				{w.outside, "tcp", "192.0.2.10:8080", "192.0.2.1"},
				{w.host, "udp", "192.0.2.10:5353", "192.0.2.10"},
				{w.host, "udp", "127.0.0.1:5353", "10.0.2.1"},
				{w.outside, "udp", "192.0.2.10:5353", "192.0.2.1"},
				{w.outside, "udp", "192.0.2.10:8080", "connection refused"},
				{w.outside, "tcp", "192.0.2.10:80", "connection refused"},
			} {
				if got := w.ask(test.from, test.protocol, test.address); got != test.want {
					t.Errorf("%s %s: got %q, want %q", test.protocol, test.address, got, test.want)
				}
			}
			stop()
			check()
			if got := w.ask(w.outside, "tcp", "192.0.2.10:8080"); got != "connection refused" {
				t.Errorf("behind the sandbox's end: %q", got)
			}
		})
	}
}

func TestForwardWorksWithoutAccess(t *testing.T) {
	w := newWorld(t)
	w.serve(w.outside, "serve", "tcp::80", "udp:198.51.100.53:80")
	w.serve(w.host, "serve", "tcp::81")
	b := w.box(false, forward(8080, 80))
	for _, test := range []struct{ protocol, address string }{
		{"tcp", "192.0.2.1:80"}, {"udp", "192.0.2.1:80"}, {"tcp", "192.0.2.10:81"}, {"tcp", "10.0.2.1:81"}, {"udp", "198.51.100.53:80"},
	} {
		if got := w.inside(b, "ask", test.protocol, test.address); got != "no route to host" {
			t.Errorf("%s %s: got %q", test.protocol, test.address, got)
		}
	}
}

// The seed's rule took every connection to that port, wherever it went.
func TestForwardTakesOnlyTheHostsAddresses(t *testing.T) {
	w := newWorld(t)
	w.outside.must("ip", "route", "add", "10.0.2.0/24", "via", "192.0.2.10")
	w.start(w.box(true, forward(8080, 80), forward(8082, 80, "bind", "127.0.0.1"), forward(8083, 80, "bind", "192.0.2.10")), "tcp::80", "tcp::90")
	for _, test := range []struct {
		name    string
		from    space
		address string
		want    string
	}{
		{"another host's port of the same number, where nobody listens", w.host, "192.0.2.1:8080", "connection refused"},
		{"a port on loopback only, on loopback", w.host, "127.0.0.1:8082", "10.0.2.1"},
		{"a port on loopback only, from the host", w.host, "192.0.2.10:8082", "connection refused"},
		{"a port on loopback only, from outside", w.outside, "192.0.2.10:8082", "connection refused"},
		{"a port of one address", w.outside, "192.0.2.10:8083", "192.0.2.1"},
		{"a port of one address, on another", w.host, "127.0.0.1:8083", "connection refused"},
		{"a port that is not forwarded, by the sandbox's address", w.outside, "10.0.2.2:90", "timeout"},
		{"a port that is forwarded, by the sandbox's address", w.outside, "10.0.2.2:80", "timeout"},
		{"the sandbox from the host", w.host, "10.0.2.2:90", "10.0.2.1"},
	} {
		if got := w.say(test.from, asking(test.want), "tcp", test.address); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	// Packets for 127.0.0.1 from the wire are not the host's own, whatever is forwarded there.
	w.outside.must("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet; ip route add 127.0.0.9/32 via 192.0.2.10; ip rule add to 127.0.0.9 lookup main pref 0")
	if got := w.knock(w.outside, "tcp", "127.0.0.9:8080"); got == "192.0.2.1" || got == "10.0.2.1" {
		t.Errorf("127.0.0.9 from outside: %q", got)
	}
}

func TestSandboxesHaveNetworksOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	check := w.leavesNothing()
	w.serve(w.outside, "serve", "tcp::80")
	stop1 := w.start(w.box(true, forward(8081, 80)), "tcp::80", "tcp::90")
	stop2 := w.start(w.box(true, forward(8082, 80)), "tcp::80", "tcp::90")
	for _, test := range []struct{ address, want string }{{"127.0.0.1:8081", "10.0.2.1"}, {"127.0.0.1:8082", "10.0.3.1"}} {
		if got := w.ask(w.host, "tcp", test.address); got != test.want {
			t.Errorf("%s: got %q, want %q", test.address, got, test.want)
		}
	}
	third := w.box(true)
	for _, test := range []struct{ address, want string }{
		{"192.0.2.10:8082", "10.0.3.1"}, // what is forwarded, by the host, which is how the other one sees it
		{"10.0.2.2:90", "timeout"},      // what is not
		{"10.0.3.2:80", "timeout"},      // nor past the host
		{"192.0.2.1:80", "192.0.2.10"},  // everybody's
		{"127.0.0.1:8081", "connection refused"},
	} {
		if got := w.inside(third, asking(test.want), "tcp", test.address); got != test.want {
			t.Errorf("from a third sandbox, %s: got %q, want %q", test.address, got, test.want)
		}
	}
	stop1()
	if got := w.ask(w.outside, "tcp", "192.0.2.10:8082"); got != "192.0.2.1" {
		t.Errorf("the second one without the first: %q", got)
	}
	stop2()
	check()
}

func TestSandboxAvoidsTheHostsNetworks(t *testing.T) {
	w := newWorld(t)
	w.host.must("ip", "route", "add", "10.0.2.128/25", "via", "192.0.2.1")
	w.host.must("ip", "link", "add", "down0", "type", "veth", "peer", "name", "down1")
	w.host.must("ip", "addr", "add", "10.0.3.77/24", "dev", "down0") // is down: no route
	w.host.must("ip", "route", "add", "10.0.5.0/24", "via", "192.0.2.1", "table", "77")
	w.start(w.box(true, forward(8080, 80)).with("dns", []string{"10.0.4.53"}), "tcp::80")
	if got := w.ask(w.host, "tcp", "127.0.0.1:8080"); got != "10.0.6.1" {
		t.Errorf("got %q", got)
	}
}

func TestPortInUseIsAnError(t *testing.T) {
	w := newWorld(t)
	defer w.leavesNothing()()
	w.serve(w.host, "serve", "tcp::8080", "udp::8080")
	stop := w.start(w.box(true, forward(8081, 80)), "tcp::80")
	for _, test := range []struct {
		name    string
		forward map[string]any
		want    string
	}{
		{"by a program", forward(8080, 80), "port 8080/tcp of 0.0.0.0 is in use on the host: stop the program that listens there, or choose another port"},
		{"by a program, udp", forward(8080, 80, "protocol", "udp"), "port 8080/udp of 0.0.0.0 is in use on the host"},
		{"by a sandbox", forward(8081, 80), "port 8081/tcp of 0.0.0.0 is already forwarded to the sandbox of table zbox-" + w.Marker},
		{"by a sandbox, on one address", forward(8081, 80, "bind", "127.0.0.1"), "port 8081/tcp of 127.0.0.1 is already forwarded"},
		{"not the host's address", forward(8082, 80, "bind", "192.0.2.77"), "192.0.2.77 is not an address of this host"},
	} {
		res := w.do("-c", w.box(true, test.forward).write(t), "--", "ask", "tcp", "192.0.2.1:9")
		if res.Code != 1 || !strings.Contains(res.Stderr, test.want) || res.Stdout != "" {
			t.Errorf("%s: exit code %d, %q, %q, want %q", test.name, res.Code, res.Stdout, res.Stderr, test.want)
		}
	}
	if got := w.inside(w.box(true, forward(8081, 80, "protocol", "udp")), "ask", "tcp", "192.0.2.1:9"); got != "connection refused" {
		t.Errorf("the same port of the other protocol: %q", got)
	}
	stop()
}

// The seed ran `ip` and `iptables`, inside the sandbox's root even.
func TestNetworkNeedsNoPrograms(t *testing.T) {
	w := newWorld(t)
	w.serve(w.outside, "serve", "tcp::80")
	cmd := w.zbox("-c", w.box(true, forward(8080, 80)).write(t), "--", "ask", "tcp", "192.0.2.1:80")
	cmd.Env = []string{"PATH=/nonexistent"}
	if res := w.DoCommand(cmd); res.Stdout != "192.0.2.10\n" {
		t.Errorf("%q, %q", res.Stdout, res.Stderr)
	}
}
