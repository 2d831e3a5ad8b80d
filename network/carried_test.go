package network

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// What each program cannot do is done by rules, and no rule is made that nobody needs.
func TestHelpersHaveTheRulesThatTheyNeed(t *testing.T) {
	net := subnet{netip.MustParsePrefix("10.0.2.0/24")}
	everywhere, elsewhere, here := netip.IPv4Unspecified(), netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("127.0.0.1")
	tcp := Forward{"tcp", everywhere, 8080, 80}
	datagrams, bound, same := Forward{"udp", everywhere, 5353, 53}, Forward{"udp", elsewhere, 5353, 53}, Forward{"udp", here, 53, 53}
	address, far, gateway := netip.MustParseAddr("10.0.2.2"), netip.MustParseAddr("10.0.2.100"), netip.MustParseAddr("10.0.2.2")
	for name, test := range map[string]struct {
		inside func(Config, subnet) (inside, error)
		config Config
		want   inside
		empty  bool
	}{
		"pasta":                   {insideOfPasta, Config{Access: true, Forwards: []Forward{tcp, same}}, inside{Address: address, Local: true}, true},
		"pasta, shut":             {insideOfPasta, Config{Forwards: []Forward{tcp}}, inside{Shut: true, Address: address, Local: true}, false},
		"pasta, UDP":              {insideOfPasta, Config{Access: true, Forwards: []Forward{datagrams}}, inside{Moved: []Forward{datagrams}, Address: address, Local: true}, false},
		"slirp":                   {insideOfSlirp, Config{Access: true, Forwards: []Forward{tcp}}, inside{Address: far}, true},
		"slirp, shut":             {insideOfSlirp, Config{Forwards: []Forward{tcp}}, inside{Shut: true, Address: far}, false},
		"slirp, UDP":              {insideOfSlirp, Config{Access: true, Forwards: []Forward{same}}, inside{Off: net.Prefix, Loopback: gateway, Address: far}, false},
		"slirp, UDP, shut":        {insideOfSlirp, Config{Forwards: []Forward{same}}, inside{Shut: true, Loopback: gateway, Address: far}, false},
		"slirp, UDP of elsewhere": {insideOfSlirp, Config{Access: true, Privileged: true, Forwards: []Forward{bound}}, inside{Moved: []Forward{bound}, Address: far}, false},
	} {
		got, err := test.inside(test.config, net)
		if err != nil || !reflect.DeepEqual(got, test.want) || got.empty() != test.empty {
			t.Errorf("%s: got  %+v, empty %v, %v\nwant %+v", name, got, got.empty(), err, test.want)
		}
	}
	if _, err := insideOfSlirp(Config{Access: true, Privileged: true, Forwards: []Forward{datagrams}}, net); err == nil || !strings.Contains(err.Error(), "would undo the rules") {
		t.Errorf("with privileges: %v", err)
	}
}

func TestPortsOfDatagramsAreUnique(t *testing.T) {
	one, other := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("127.0.0.1")
	err := checkDatagrams([]Forward{{"udp", one, 53, 53}, {"udp", other, 53, 5353}})
	if want := "port_forwards: port 53/udp is forwarded at 192.0.2.10 and at 127.0.0.1, which takes root: use two ports, or run zbox as root"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := checkDatagrams([]Forward{{"tcp", one, 53, 53}, {"tcp", other, 53, 53}, {"udp", one, 53, 53}, {"udp", one, 54, 53}}); err != nil {
		t.Error(err)
	}
}
