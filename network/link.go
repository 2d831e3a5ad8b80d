package network

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// linkExists asks by the cheapest call there is.
func linkExists(name string) bool {
	_, err := linkIndex(name)
	return err == nil
}

func linkIndex(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0, err
	}
	return int(req.Uint32()), nil
}

// addLink makes the veth pair, one end in the sandbox's namespace from the start, and gives both ends their addresses.
func addLink(ns *os.File, name string, s subnet, loopbackAnswers bool) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: insideName, PeerNamespace: netlink.NsFd(int(ns.Fd()))}
	err := netlink.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) {
		// A sandbox of the same id has just ended, and the kernel has not come to its link yet.
		if err = removeLink(name); err == nil {
			err = netlink.LinkAdd(veth)
		}
	}
	if err != nil {
		return fmt.Errorf("making the link %s: %w", name, err)
	}
	if err := configureHost(name, s, loopbackAnswers); err != nil {
		return err
	}
	return configureInside(ns, s)
}

// configureHost sets the host's end up. There is no IPv6 on it: the sandbox has no address to use, and the host's own must not be in its
// reach past the table.
func configureHost(name string, s subnet, loopbackAnswers bool) error {
	if err := writeSetting(conf6, name, "disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := writeSetting(conf4, name, "forwarding", "1"); err != nil {
		return err
	}
	if loopbackAnswers {
		if err := writeSetting(conf4, name, "route_localnet", "1"); err != nil {
			return err
		}
	}
	index, err := linkIndex(name)
	if err != nil {
		return fmt.Errorf("finding the link %s: %w", name, err)
	}
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index}}
	if err := netlink.AddrAdd(link, s.address(s.host())); err != nil {
		return fmt.Errorf("giving %s the address %s: %w", name, s.host(), err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", name, err)
	}
	return nil
}

// configureInside sets the sandbox's end up. Without access it has a default route all the same: clients may be anywhere.
func configureInside(ns *os.File, s subnet) error {
	inside, err := netlink.NewHandleAt(netns.NsHandle(int(ns.Fd())), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("entering the sandbox's network namespace: %w", err)
	}
	defer inside.Close()
	link, err := inside.LinkByName(insideName)
	if err != nil {
		return fmt.Errorf("finding %s in the sandbox: %w", insideName, err)
	}
	if err := inside.AddrAdd(link, s.address(s.sandbox())); err != nil {
		return fmt.Errorf("giving the sandbox the address %s: %w", s.sandbox(), err)
	}
	if err := inside.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s of the sandbox up: %w", insideName, err)
	}
	if err := inside.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: s.host().AsSlice()}); err != nil {
		return fmt.Errorf("giving the sandbox its default route: %w", err)
	}
	return nil
}

// releaseLink takes the address, and with it the subnet, from a link whose sandbox is gone. The link itself goes with the sandbox's network
// namespace: deleting it here would wait for what the kernel does in the background anyway, 15 ms or more.
func releaseLink(name string) error {
	index, err := linkIndex(name)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding the link %s: %w", name, err)
	}
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index}}
	addresses, err := netlink.AddrList(link, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("listing the addresses of %s: %w", name, err)
	}
	for _, a := range addresses {
		err := netlink.AddrDel(link, &a)
		if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("taking the address %s from %s: %w", a.IPNet, name, err)
		}
	}
	return nil
}

// removeLink deletes a link that does not go by itself.
func removeLink(name string) error {
	index, err := linkIndex(name)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index}})
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing the link %s: %w", name, err)
	}
	return nil
}
