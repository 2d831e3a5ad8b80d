package network

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Config is what a sandbox wants of the network, as the flags of the hook say it.
type Config struct {
	// ID is the container's id; names of links, tables and files derive from it and StateDir.
	ID string
	// StateDir is the directory of the journal. It is made with mode 0700 and goes with the last sandbox in it.
	StateDir string
	// Pid is a process in the sandbox's network namespace, as the host sees it.
	Pid int
	// Access: the sandbox may open connections. Otherwise it only answers those that Forwards let in.
	Access   bool
	Forwards []Forward
	// Privileged: the sandbox has CAP_NET_ADMIN or CAP_NET_RAW in its own user namespace.
	Privileged bool
	// Nameservers are the resolvers that the sandbox will ask: its own subnet must not hide them.
	Nameservers []netip.Addr
	// Path is the list of directories where pasta, slirp4netns and nsenter are looked for, as in $PATH.
	Path string
}

// Forward leads a port of the host to one of the sandbox.
type Forward struct {
	Protocol string     // "tcp" or "udp"
	Bind     netip.Addr // the host's address that it is for; 0.0.0.0 is all of them
	Host     uint16
	Sandbox  uint16
}

// ParseForward reads PROTOCOL:ADDRESS:PORT:SANDBOXPORT, "tcp:0.0.0.0:8080:80". The address is an IPv4 address: a sandbox has no other.
func ParseForward(text string) (Forward, error) {
	fields := strings.Split(text, ":")
	if len(fields) != 4 {
		return Forward{}, fmt.Errorf("%q is not PROTOCOL:ADDRESS:PORT:SANDBOXPORT with an IPv4 address", text)
	}
	f := Forward{Protocol: fields[0]}
	if f.Protocol != "tcp" && f.Protocol != "udp" {
		return f, fmt.Errorf("%q: protocol %q is not tcp or udp", text, f.Protocol)
	}
	var err error
	if f.Bind, err = netip.ParseAddr(fields[1]); err != nil || !f.Bind.Is4() {
		return f, fmt.Errorf("%q: %q is not an IPv4 address", text, fields[1])
	}
	if f.Host, err = parsePort(fields[2]); err != nil {
		return f, fmt.Errorf("%q: %w", text, err)
	}
	if f.Sandbox, err = parsePort(fields[3]); err != nil {
		return f, fmt.Errorf("%q: %w", text, err)
	}
	return f, nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %q is not 1 to 65535", text)
	}
	return uint16(n), nil
}

// String is the form that ParseForward reads.
func (f Forward) String() string {
	return fmt.Sprintf("%s:%s:%d:%d", f.Protocol, f.Bind, f.Host, f.Sandbox)
}

// overlaps: a packet could be meant for both.
func (f Forward) overlaps(o Forward) bool {
	return f.Protocol == o.Protocol && f.Host == o.Host && (f.Bind == o.Bind || f.Bind.IsUnspecified() || o.Bind.IsUnspecified())
}
