package translate

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNameserversAreThoseThatASandboxReaches(t *testing.T) {
	const stub = "# by systemd-resolved\nnameserver 127.0.0.53\noptions edns0\nsearch example\n"
	for _, test := range []struct {
		name          string
		first, second string
		want          []string
	}{
		{"plain", "nameserver 192.0.2.1\nnameserver\t198.51.100.2 \n", "nameserver 203.0.113.1\n", []string{"192.0.2.1", "198.51.100.2"}},
		{"the stub of systemd-resolved", stub, "nameserver 203.0.113.1\n", []string{"203.0.113.1"}},
		{"loopback beside another", "nameserver 127.0.0.1\nnameserver 192.0.2.1\n", "", []string{"192.0.2.1"}},
		{"IPv6 and scopes", "nameserver fe80::1%eth0\nnameserver 2001:db8::1\n", "nameserver ::1\n", nil},
		{"more than is looked at", "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n", "", []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}},
		{"comments and nonsense", "#nameserver 192.0.2.1\n; nameserver 192.0.2.1\nnameserver 0.0.0.0\nnameserver x\nnameservers 192.0.2.1\n", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			files := []string{filepath.Join(dir, "missing"), filepath.Join(dir, "first"), filepath.Join(dir, "second")}
			for i, text := range []string{test.first, test.second} {
				if err := os.WriteFile(files[i+1], []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			found, err := findNameservers(files)
			var got []string
			for _, a := range found {
				got = append(got, a.String())
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestSandboxWithoutNetworkHasNoHooks(t *testing.T) {
	c := box()
	s, warnings, err := c.Spec(nil, Options{})
	if err != nil || s.Hooks != nil || len(warnings) > 0 {
		t.Errorf("hooks %+v, warnings %q, %v", s.Hooks, warnings, err)
	}
	if got := c.resolvConf(Options{}); got != "# no network\n" {
		t.Errorf("resolv.conf: %q", got)
	}
}

// Without root, a sandbox that answers only is held by rules in its own network namespace.
func TestHooksAreToldOfCapabilitiesOverTheNetwork(t *testing.T) {
	for _, tc := range []struct {
		capabilities []string
		want         string
	}{
		{nil, "up --forward=tcp:0.0.0.0:8080:80"},
		{[]string{"CHOWN"}, "up --forward=tcp:0.0.0.0:8080:80"},
		{[]string{"net_raw"}, "up --privileged --forward=tcp:0.0.0.0:8080:80"},
		{[]string{"CHOWN", "CAP_NET_ADMIN"}, "up --privileged --forward=tcp:0.0.0.0:8080:80"},
	} {
		c := box()
		c.Capabilities, c.PortForwards = tc.capabilities, []PortForward{{Host: 8080, Sandbox: 80, Protocol: "tcp", Bind: "0.0.0.0"}}
		args := c.networkHooks(Options{}).CreateRuntime[0].Args
		if got := strings.Join(args[4:], " "); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.capabilities, got, tc.want)
		}
	}
}

func TestResolvConfHasTheResolversOfTheConfiguration(t *testing.T) {
	c := box()
	c.NetworkAccess, c.DNS = true, []string{"192.0.2.1", "192.0.2.2"}
	o := Options{Nameservers: []netip.Addr{netip.MustParseAddr("198.51.100.1")}}
	if got, want := c.resolvConf(o), "nameserver 192.0.2.1\nnameserver 192.0.2.2\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if w := c.networkWarnings(Options{}); len(w) > 0 {
		t.Errorf("warnings %q", w)
	}
}
