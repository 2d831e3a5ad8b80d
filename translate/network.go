package translate

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxNameservers is MAXNS of resolv.conf(5): C libraries do not look at more.
const maxNameservers = 3

// checkPorts reports addresses that are none, and two forwards that a packet could be meant for. Two of one sandbox port are fine.
func (c *Config) checkPorts() error {
	for i, p := range c.PortForwards {
		bind, err := netip.ParseAddr(p.Bind)
		if err != nil || !bind.Is4() {
			return wrong(fmt.Sprintf("port_forwards[%d].bind", i), "%q is not an IPv4 address; sandboxes have no IPv6", shorten(p.Bind))
		}
		for j, q := range c.PortForwards[:i] {
			other, _ := netip.ParseAddr(q.Bind)
			same := bind == other || bind.IsUnspecified() || other.IsUnspecified()
			if p.Host == q.Host && p.Protocol == q.Protocol && same {
				return wrong(fmt.Sprintf("port_forwards[%d].host", i), "%d is already forwarded by port_forwards[%d]", p.Host, j)
			}
		}
	}
	return nil
}

func (c *Config) checkDNS() error {
	switch {
	case len(c.DNS) > maxNameservers:
		return wrong("dns", "%d addresses; programs look at the first %d only", len(c.DNS), maxNameservers)
	case len(c.DNS) > 0 && !c.NetworkAccess:
		return wrong("dns", "no resolver can be asked without network_access")
	}
	for i, text := range c.DNS {
		field := fmt.Sprintf("dns[%d]", i)
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil || !a.Is4():
			return wrong(field, "%q is not an IPv4 address; sandboxes have no IPv6", shorten(text))
		case !reachable(a):
			return wrong(field, "%s is not an address that a sandbox can reach: inside it is the sandbox itself", text)
		}
	}
	return nil
}

// reachable: 127.0.0.53 and its like answer on the host's loopback interface only.
func reachable(a netip.Addr) bool { return a.Is4() && !a.IsLoopback() && !a.IsUnspecified() }

// nameservers are the resolvers that the sandbox asks.
func (c *Config) nameservers(o Options) []netip.Addr {
	if len(c.DNS) == 0 {
		return o.Nameservers
	}
	var all []netip.Addr
	for _, text := range c.DNS {
		if a, err := netip.ParseAddr(text); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// resolverFiles tell the host's resolvers. The first often names systemd-resolved's stub only, which then writes its own to the second
// (systemd-resolved.service(8)).
var resolverFiles = []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// findNameservers reads the first of the files that names a resolver which a sandbox can reach.
func findNameservers(files []string) ([]netip.Addr, error) {
	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for the host's resolvers: %w", err)
		}
		if found := parseNameservers(string(data)); len(found) > 0 {
			return found, nil
		}
	}
	return nil, nil
}

func parseNameservers(text string) []netip.Addr {
	var found []netip.Addr
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil && reachable(a) && len(found) < maxNameservers {
			found = append(found, a)
		}
	}
	return found
}

// resolvConf is the sandbox's /etc/resolv.conf.
func (c *Config) resolvConf(o Options) string {
	if !c.NetworkAccess {
		return "# no network\n"
	}
	var b strings.Builder
	for _, a := range c.nameservers(o) {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	return b.String()
}

// networkWarnings names what the sandbox will miss.
func (c *Config) networkWarnings(o Options) []string {
	if !c.NetworkAccess || len(c.nameservers(o)) > 0 {
		return nil
	}
	return []string{"network_access: names will not resolve: " + strings.Join(resolverFiles, " and ") +
		" name no IPv4 resolver but the host's own loopback; give the addresses of some in dns"}
}

// Connected reports whether the sandbox needs the hooks, which need Options.Zbox and Options.StateRoot.
func (c *Config) Connected() bool { return c.NetworkAccess || len(c.PortForwards) > 0 }

// hooks are those that the configuration needs; nil for none.
func (c *Config) hooks(l layers, o Options) *specs.Hooks {
	var all specs.Hooks
	if c.Connected() {
		all = c.networkHooks(o)
	}
	if l.portable {
		all.CreateContainer = []specs.Hook{layersHook(l, o)}
	}
	if all.CreateContainer == nil && all.CreateRuntime == nil {
		return nil
	}
	return &all
}

// networkHooks connect the sandbox and take the connection back.
func (c *Config) networkHooks(o Options) specs.Hooks {
	hook := func(args ...string) []specs.Hook {
		return []specs.Hook{{Path: o.Zbox, Args: append([]string{"zbox", "--root", o.StateRoot, "network"}, args...), Env: []string{"PATH=" + o.Path}}}
	}
	up := []string{"up"}
	if c.NetworkAccess {
		up = append(up, "--access")
		for _, a := range c.nameservers(o) {
			up = append(up, "--nameserver="+a.String())
		}
	}
	if caps := c.capabilities().Bounding; slices.Contains(caps, "CAP_NET_ADMIN") || slices.Contains(caps, "CAP_NET_RAW") {
		up = append(up, "--privileged")
	}
	for _, p := range c.PortForwards {
		up = append(up, fmt.Sprintf("--forward=%s:%s:%d:%d", p.Protocol, p.Bind, p.Host, p.Sandbox))
	}
	return specs.Hooks{CreateRuntime: hook(up...), Poststop: hook("down")}
}
