package network

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseForward(t *testing.T) {
	f, err := ParseForward("udp:192.0.2.1:5353:53")
	if want := (Forward{Protocol: "udp", Bind: netip.MustParseAddr("192.0.2.1"), Host: 5353, Sandbox: 53}); err != nil || f != want {
		t.Errorf("got %+v, %v", f, err)
	}
	if f.String() != "udp:192.0.2.1:5353:53" {
		t.Errorf("printed as %s", f)
	}
	for text, want := range map[string]string{
		"":                        `"" is not PROTOCOL:ADDRESS:PORT:SANDBOXPORT with an IPv4 address`,
		"tcp:[::1]:1:1":           `"tcp:[::1]:1:1" is not PROTOCOL:ADDRESS:PORT:SANDBOXPORT with an IPv4 address`,
		"sctp:0.0.0.0:1:1":        `"sctp:0.0.0.0:1:1": protocol "sctp" is not tcp or udp`,
		"tcp:localhost:1:1":       `"tcp:localhost:1:1": "localhost" is not an IPv4 address`,
		"tcp:0.0.0.0:0:1":         `"tcp:0.0.0.0:0:1": port "0" is not 1 to 65535`,
		"tcp:0.0.0.0:1:65536":     `"tcp:0.0.0.0:1:65536": port "65536" is not 1 to 65535`,
		"tcp:0.0.0.0:1:1x":        `"tcp:0.0.0.0:1:1x": port "1x" is not 1 to 65535`,
		"tcp:0.0.0.0:1:1:1":       `"tcp:0.0.0.0:1:1:1" is not PROTOCOL:ADDRESS:PORT:SANDBOXPORT with an IPv4 address`,
		"tcp:0.0.0.0:-1:1":        `"tcp:0.0.0.0:-1:1": port "-1" is not 1 to 65535`,
		"tcp:192.0.2.256:1:65535": `"tcp:192.0.2.256:1:65535": "192.0.2.256" is not an IPv4 address`,
	} {
		if _, err := ParseForward(text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestForwardsOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"tcp:0.0.0.0:80:1", "tcp:0.0.0.0:80:2", true},
		{"tcp:0.0.0.0:80:1", "tcp:192.0.2.1:80:1", true},
		{"tcp:192.0.2.1:80:1", "tcp:0.0.0.0:80:1", true},
		{"tcp:192.0.2.1:80:1", "tcp:192.0.2.2:80:1", false},
		{"tcp:0.0.0.0:80:1", "udp:0.0.0.0:80:1", false},
		{"tcp:0.0.0.0:80:1", "tcp:0.0.0.0:81:1", false},
	} {
		a, err1 := ParseForward(test.a)
		b, err2 := ParseForward(test.b)
		if err1 != nil || err2 != nil || a.overlaps(b) != test.want {
			t.Errorf("%s and %s: %v, want %v (%v, %v)", test.a, test.b, a.overlaps(b), test.want, err1, err2)
		}
	}
}

// The kernel keeps what Down and other sandboxes have to know in names; both directions have to agree.
func TestNamesCanBeReadBack(t *testing.T) {
	for _, id := range []string{"web", "a-b-c", strings.Repeat("x", 250)} {
		n := namesOf("/run/zbox/.network", id)
		if len(n.link) > 15 || len(n.table) > 255 {
			t.Errorf("%.20s: link %s, table of %d bytes", id, n.link, len(n.table))
		}
		if linkOf(n.table) != n.link {
			t.Errorf("table %s is of link %s, not of %s", n.table, n.link, linkOf(n.table))
		}
		if other := namesOf("/run/other/.network", id); other.link == n.link || other.table == n.table {
			t.Errorf("two state directories share %v", n)
		}
	}
	for _, table := range []string{"filter", "zbox-", "zbox-x", "zbox-0123456789", "nat-web-0123456789"} {
		if linkOf(table) != "" {
			t.Errorf("table %s passes as a sandbox's, of link %s", table, linkOf(table))
		}
	}
	f, _ := ParseForward("tcp:192.0.2.1:8080:80")
	back, ok := portOf(portChain(f))
	f.Sandbox = 0 // is not in the name
	if !ok || back != f {
		t.Errorf("%s became %+v, %v", portChain(f), back, ok)
	}
	for _, chain := range []string{"ports", "port-", "port-tcp-x-80", "port-tcp-0.0.0.0-x", "port-tcp-0.0.0.0-80-1"} {
		if f, ok := portOf(chain); ok {
			t.Errorf("chain %s passes as port forward %+v", chain, f)
		}
	}
}

func TestFreeSubnetAvoidsEverythingRouted(t *testing.T) {
	for _, test := range []struct {
		taken string
		want  string
	}{
		{"", "10.0.2.0/24"},
		{"192.0.2.0/24 10.0.1.0/24 10.0.3.0/24", "10.0.2.0/24"},
		{"10.0.2.0/24", "10.0.3.0/24"},
		{"10.0.2.53/32", "10.0.3.0/24"},
		{"10.0.2.0/24 10.0.3.0/24 10.0.4.128/25", "10.0.5.0/24"},
		{"10.0.0.0/16", "10.1.0.0/24"},
		{"10.0.2.0/23 10.0.2.9/32", "10.0.4.0/24"},
		{"10.0.0.0/8", "172.16.0.0/24"},
		{"0.0.0.0/1", "172.16.0.0/24"},
		{"10.0.0.0/8 172.16.0.0/12 192.168.0.0/24", "192.168.1.0/24"},
	} {
		s, err := freeSubnet(prefixes(test.taken))
		if err != nil || s.String() != test.want {
			t.Errorf("taken %s: got %v, %v, want %s", test.taken, s, err, test.want)
		}
	}
	_, err := freeSubnet(prefixes("10.0.0.0/8 128.0.0.0/1"))
	if want := "no free /24 in 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16: the host has routes to all of them"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	s, err := freeSubnet(nil)
	if err != nil || s.host().String() != "10.0.2.1" || s.sandbox().String() != "10.0.2.2" {
		t.Errorf("the host is %s, the sandbox %s, %v", s.host(), s.sandbox(), err)
	}
}

func prefixes(text string) []netip.Prefix {
	var all []netip.Prefix
	for field := range strings.FieldsSeq(text) {
		all = append(all, netip.MustParsePrefix(field))
	}
	return all
}

func TestLists(t *testing.T) {
	if got := union([]string{"b", "a"}, []string{"c", "a"}); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("union is %v", got)
	}
	a := []string{"a", "b"}
	if got := without(a, []string{"a", "c"}); !slices.Equal(got, []string{"b"}) || a[0] != "a" {
		t.Errorf("difference is %v, of %v", got, a)
	}
}
