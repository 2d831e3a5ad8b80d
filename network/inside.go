package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// inside are rules of nftables in the network namespace of a sandbox without privileges, for what the program that carries its traffic cannot
// do. They last as long as the namespace: no program of a sandbox has CAP_NET_ADMIN over it. The fields are what Inside reads.
type inside struct {
	// Shut lets nothing out but answers to what came in: these programs let connections out as well as in.
	Shut bool
	// Off lets nothing out to there but answers. Invalid for nothing.
	Off netip.Prefix
	// Moved are UDP ports that come in with the number of the host's, at the sandbox's Address. Local: also by the sandbox's own loopback
	// interface.
	Moved   []Forward
	Address netip.Addr
	Local   bool
	// Loopback is where clients come from that come in with a loopback address, which no kernel takes from a link. Invalid for nowhere.
	Loopback netip.Addr
}

func (i inside) empty() bool {
	return !i.Shut && !i.Off.IsValid() && len(i.Moved) == 0 && !i.Loopback.IsValid()
}

// InsideCommand is the argument of `zbox network` that is Inside.
const InsideCommand = "inside"

// start runs Inside in the sandbox's network namespace.
//
// nsenter(1) is in between because a process of more than one thread, as every program in Go is, cannot enter a user namespace (setns(2)).
// A createContainer hook would be there already, but within the sandbox's limits, where a program in Go is killed for the seed's 3 MB.
func (i inside) start(c Config) error {
	if i.empty() {
		return nil
	}
	program := lookPath("nsenter", c.Path)
	if program == "" {
		kind := "over UDP"
		if i.Shut {
			kind = "without network_access"
		}
		return fmt.Errorf("port_forwards %s need nsenter (package util-linux), and it is not in %s: install util-linux, or run zbox as root", kind, c.Path)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding zbox itself: %w", err)
	}
	namespace := fmt.Sprintf("/proc/%d/ns/net", c.Pid)
	number, err := inode(namespace)
	if err != nil {
		return err
	}
	rules, err := json.Marshal(i)
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "--preserve-credentials", fmt.Sprintf("--user=/proc/%d/ns/user", c.Pid), "--net="+namespace,
		self, "network", InsideCommand, strconv.FormatUint(number, 10), string(rules))
	cmd.Env, cmd.Dir = []string{}, "/"
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making rules in the sandbox's network: %s: %w: %s", program, err, lastWords(string(output)))
	}
	return nil
}

// Inside makes the rules in the caller's network namespace. number is that of the namespace: nobody is to do this to the host's by mistake.
func Inside(number, rules string) error {
	own, err := inode(hostNamespace)
	if err != nil {
		return err
	}
	if number != strconv.FormatUint(own, 10) {
		return errors.New(InsideCommand + " is what up starts in a sandbox's network namespace, and this is another one")
	}
	var i inside
	if err := json.Unmarshal([]byte(rules), &i); err != nil {
		return fmt.Errorf("reading the rules: %w", err)
	}
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("talking to nftables: %w", err)
	}
	t := &table{conn: conn}
	t.Table = conn.CreateTable(&nftables.Table{Name: "zbox", Family: nftables.TableFamilyINet})
	t.addOutput(i)
	if len(i.Moved) > 0 {
		t.addMoved(i)
	}
	if i.Loopback.IsValid() { // before conntrack sees them
		c := t.base("loopback", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
		t.rule(c, iifname(insideName), ipv4(inLoopback(offsetSource)), setSource(i.Loopback))
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("changing nftables: %w", err)
	}
	return nil
}

// addOutput keeps connections in.
func (t *table) addOutput(i inside) {
	c := t.base("output", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
	t.rule(c, oifname("lo"), accept())
	var refused []match
	if i.Shut {
		refused = append(refused, match{})
	} else if i.Off.IsValid() {
		broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255}) // slirp takes it for the host's 127.0.0.1
		refused = append(refused, ipv4(inNetwork(i.Off)), ipv4(daddr(broadcast)))
	}
	for _, to := range refused {
		t.rule(c, to, answers(), accept())
		t.rule(c, to, rejectAll())
	}
}

// moved are the forwards over UDP whose port inside has another number than that of the host.
func moved(forwards []Forward) (out []Forward) {
	for _, f := range forwards {
		if f.Protocol == "udp" && f.Host != f.Sandbox {
			out = append(out, f)
		}
	}
	return out
}

// addMoved leads a port of the host's number to the sandbox's: what comes in by its interface, and what pasta sends from clients at the
// host's 127.0.0.1 by the sandbox's own loopback interface.
func (t *table) addMoved(i inside) {
	arriving := t.base("moved", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	for _, f := range i.Moved {
		t.rule(arriving, iifname(insideName), ipv4(daddr(i.Address)), dport(f.Protocol, f.Host), dnat(i.Address, f.Sandbox))
	}
	if !i.Local {
		return
	}
	local := t.base("moved-local", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	for _, f := range i.Moved {
		for _, a := range []netip.Addr{i.Address, netip.AddrFrom4([4]byte{127, 0, 0, 1})} {
			t.rule(local, oifname("lo"), ipv4(daddr(a)), dport(f.Protocol, f.Host), dnat(a, f.Sandbox))
		}
	}
}

// rejectAll is reject for tables of IPv4 and IPv6 (NFT_REJECT_ICMPX_ADMIN_PROHIBITED, linux/netfilter/nf_tables.h).
func rejectAll() match {
	const prohibited = 3
	return match{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: prohibited}}
}
