package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// subnet is a sandbox's /24.
type subnet struct{ netip.Prefix }

// host is the host's address in it, the sandbox's gateway.
func (s subnet) host() netip.Addr { return s.Addr().Next() }

// sandbox is the sandbox's address in it.
func (s subnet) sandbox() netip.Addr { return s.host().Next() }

// address is one of its addresses in the form of netlink.
func (s subnet) address(a netip.Addr) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(s.Bits(), 32)}}
}

// The networks that sandboxes get their subnets from, one behind the other: those for private use (RFC 1918). The first subnet of all is the
// seed's, 10.0.2.0/24.
var pools = []netip.Prefix{
	netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, 0}), 8),
	netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, 0, 0}), 12),
	netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 0, 0}), 16),
}

var firstSubnet = netip.AddrFrom4([4]byte{10, 0, 2, 0})

// freeSubnet is the first subnet that none of the taken networks overlaps.
func freeSubnet(taken []netip.Prefix) (subnet, error) {
	for _, pool := range pools {
		a := pool.Addr()
		if pool.Contains(firstSubnet) {
			a = firstSubnet
		}
		for pool.Contains(a) {
			p := netip.PrefixFrom(a, 24)
			in := overlapping(taken, p)
			if !in.IsValid() {
				return subnet{p}, nil
			}
			a = behind(in, p)
		}
	}
	return subnet{}, errors.New("no free /24 in 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16: the host has routes to all of them")
}

// overlapping is the largest of the networks that share an address with p; invalid without one.
func overlapping(networks []netip.Prefix, p netip.Prefix) netip.Prefix {
	var found netip.Prefix
	for _, n := range networks {
		if n.Overlaps(p) && (!found.IsValid() || n.Bits() < found.Bits()) {
			found = n
		}
	}
	return found
}

// behind is the first address of the next /24 that is not in the larger of both.
func behind(taken, p netip.Prefix) netip.Addr {
	bits := min(taken.Bits(), p.Bits())
	start := netip.PrefixFrom(p.Addr(), bits).Masked().Addr().As4()
	n := uint32(start[0])<<24 | uint32(start[1])<<16 | uint32(start[2])<<8 | uint32(start[3])
	n += 1 << (32 - bits)
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// surroundings are what the host has of IPv4.
type surroundings struct {
	networks []netip.Prefix // routed, or with an address of the host in them
	links    []string       // with an address, but for loopback and those of sandboxes
}

// lookAround reads the routes of all tables, and the addresses: those of links that are down have no routes.
func lookAround() (surroundings, error) {
	var s surroundings
	routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return s, fmt.Errorf("listing the host's routes: %w", err)
	}
	for _, r := range routes {
		// The default route leads everywhere, and is no reason.
		if r.Dst != nil {
			s.addNetwork(r.Dst)
		}
	}
	addresses, err := netlink.AddrList(nil, unix.AF_INET)
	if err != nil {
		return s, fmt.Errorf("listing the host's addresses: %w", err)
	}
	seen := map[string]bool{}
	for _, a := range addresses {
		s.addNetwork(a.IPNet)
		// The label is the link's name, with a suffix for aliases.
		name, _, _ := strings.Cut(a.Label, ":")
		if name != "" && !seen[name] && !a.IP.IsLoopback() && !strings.HasPrefix(name, linkPrefix) {
			seen[name] = true
			s.links = append(s.links, name)
		}
	}
	return s, nil
}

func (s *surroundings) addNetwork(n *net.IPNet) {
	a, ok := netip.AddrFromSlice(n.IP.To4())
	bits, _ := n.Mask.Size()
	if ok && bits > 0 {
		s.networks = append(s.networks, netip.PrefixFrom(a, bits).Masked())
	}
}

// avoid keeps subnets away from addresses that are reached by the default route.
func (s *surroundings) avoid(addresses []netip.Addr) {
	for _, a := range addresses {
		s.networks = append(s.networks, netip.PrefixFrom(a, a.BitLen()))
	}
}
