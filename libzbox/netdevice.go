package libzbox

import (
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// moveNetDevice moves a network device of the host into the network namespace of pid, renames it on the way, restores its
// permanent global addresses there and sets it up (config-linux.md, "Network Devices"). It is never moved back: it goes with the
// namespace.
func moveNetDevice(pid int, s *plan.NetDevice) error {
	link, err := netlink.LinkByName(s.Device)
	if err != nil {
		return fmt.Errorf("finding the network device %s: %w", s.Device, err)
	}
	addresses, err := permanentAddresses(link)
	if err != nil {
		return err
	}
	ns, err := openNamespace(fmt.Sprintf("/proc/%d/ns/net", pid), "network")
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := setNetNS(link, int(ns.Fd()), s.NewName); err != nil {
		return err
	}
	inside, err := netlink.NewHandleAt(netns.NsHandle(int(ns.Fd())), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("entering the container's network namespace: %w", err)
	}
	defer inside.Close()
	moved, err := findMoved(inside, s)
	if err != nil {
		return err
	}
	for i := range addresses {
		if err := inside.AddrAdd(moved, &addresses[i]); err != nil {
			return fmt.Errorf("restoring the address %s: %w", addresses[i].IPNet, err)
		}
	}
	if err := inside.LinkSetUp(moved); err != nil {
		return fmt.Errorf("setting %s up: %w", moved.Attrs().Name, err)
	}
	return nil
}

// permanentAddresses are the global addresses that no router or DHCP gave: those survive the move.
func permanentAddresses(link netlink.Link) ([]netlink.Addr, error) {
	list, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	var keep []netlink.Addr
	for _, a := range list {
		if a.Flags&unix.IFA_F_PERMANENT == 0 || a.Scope != unix.RT_SCOPE_UNIVERSE {
			continue
		}
		keep = append(keep, netlink.Addr{IPNet: a.IPNet, Label: "", Flags: a.Flags &^ unix.IFA_F_PERMANENT, Scope: a.Scope, Peer: a.Peer, Broadcast: a.Broadcast})
	}
	return keep, nil
}

// setNetNS moves and renames in one RTM_NEWLINK, so that no other name ever shows in the container. A device must be down to be renamed.
func setNetNS(link netlink.Link, ns int, name string) error {
	if err := netlink.LinkSetDown(link); err != nil {
		return fmt.Errorf("setting the device down: %w", err)
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(link.Attrs().Index)
	req.AddData(msg)
	if name == "" {
		name = link.Attrs().Name
	}
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(ns))))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		_ = netlink.LinkSetUp(link)
		return fmt.Errorf("moving it as %s: %w", name, err)
	}
	return nil
}

// findMoved finds the device by its name in the container; with a pattern such as eth%d the kernel chose the number.
func findMoved(inside *netlink.Handle, s *plan.NetDevice) (netlink.Link, error) {
	name := s.NewName
	if name == "" {
		name = s.Device
	}
	if !strings.Contains(name, "%d") {
		link, err := inside.LinkByName(name)
		if err != nil {
			return nil, fmt.Errorf("finding %s in the container: %w", name, err)
		}
		return link, nil
	}
	links, err := inside.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing the container's devices: %w", err)
	}
	prefix, suffix, _ := strings.Cut(name, "%d")
	var found netlink.Link
	for _, l := range links {
		n := l.Attrs().Name
		if strings.HasPrefix(n, prefix) && strings.HasSuffix(n, suffix) && (found == nil || l.Attrs().Index > found.Attrs().Index) {
			found = l
		}
	}
	if found == nil {
		return nil, fmt.Errorf("finding %s in the container: no such device", name)
	}
	return found, nil
}
