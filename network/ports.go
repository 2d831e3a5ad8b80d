package network

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// checkPorts reports the first port that another sandbox or a program of the host has, or an address that is not the host's.
func checkPorts(forwards []Forward, others []published) error {
	for _, f := range forwards {
		for _, o := range others {
			if f.overlaps(o.Forward) {
				return fmt.Errorf("port %d/%s of %s is already forwarded to the sandbox of table %s: stop that one, or choose another port", f.Host, f.Protocol, f.Bind, o.table)
			}
		}
		if err := tryPort(f); err != nil {
			return err
		}
	}
	return nil
}

// published is another sandbox's port forward.
type published struct {
	Forward
	table string
}

// tryPort takes the port for a moment.
func tryPort(f Forward) error {
	kind := unix.SOCK_DGRAM
	if f.Protocol == "tcp" {
		kind = unix.SOCK_STREAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("trying port %d/%s: %w", f.Host, f.Protocol, err)
	}
	defer unix.Close(fd)
	if f.Protocol == "tcp" {
		// Connections of a server that has ended stay for a minute and are in nobody's way.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	switch err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(f.Host), Addr: f.Bind.As4()}); {
	case err == nil:
		return nil
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("port %d/%s of %s is in use on the host: stop the program that listens there, or choose another port: %w", f.Host, f.Protocol, f.Bind, err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%s is not an address of this host: %w", f.Bind, err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("port %d/%s needs privileges: choose one from net.ipv4.ip_unprivileged_port_start (1024) on, or run zbox as root: %w", f.Host, f.Protocol, err)
	default:
		return fmt.Errorf("trying port %d/%s of %s: %w", f.Host, f.Protocol, f.Bind, err)
	}
}

var loopback = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 0}), 8)
