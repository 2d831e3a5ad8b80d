package network

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// table is a sandbox's nftables table while it is put together; the next flush of the connection makes it, all at once or not at all.
type table struct {
	conn *nftables.Conn
	*nftables.Table
	link string
	net  subnet
}

// addTable adds the sandbox's table. uplinks are the host's links where forwarding is on for the sake of sandboxes only.
func addTable(conn *nftables.Conn, n names, net subnet, c Config, uplinks []string) {
	t := &table{conn: conn, link: n.link, net: net}
	t.Table = conn.CreateTable(&nftables.Table{Name: n.table, Family: nftables.TableFamilyIPv4})
	t.addSpoofing()
	t.addForward(c.Access, uplinks)
	if !c.Access {
		t.addInput()
	}
	t.addMasquerade(c.Access)
	if len(c.Forwards) > 0 {
		t.addPorts(c.Forwards)
	}
}

func (t *table) base(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	policy := nftables.ChainPolicyAccept
	return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.Table, Type: kind, Hooknum: hook, Priority: priority, Policy: &policy})
}

func (t *table) chain(name string) *nftables.Chain {
	return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.Table})
}

func (t *table) rule(c *nftables.Chain, pieces ...match) {
	t.conn.AddRule(&nftables.Rule{Table: t.Table, Chain: c, Exprs: rule(pieces...)})
}

// addSpoofing drops what does not come from the sandbox's address, and what wants to reach the host's loopback interface: route_localnet lets
// answers through to there (CVE-2020-8558). It sees packets before conntrack turns the addresses of answers back.
func (t *table) addSpoofing() {
	c := t.base("spoofing", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	t.rule(c, iifname(t.link), saddrNot(t.net.sandbox()), drop())
	t.rule(c, iifname(t.link), inLoopback(offsetDestination), drop())
}

// addForward: only answers and forwarded ports lead into the sandbox, so neither other sandboxes nor the neighbours of the host reach the
// rest. Without access only answers lead out.
func (t *table) addForward(access bool, uplinks []string) {
	for _, from := range uplinks {
		c := t.chain(uplinkPrefix + from)
		for _, to := range uplinks {
			t.rule(c, oifname(to), drop())
		}
	}
	c := t.base("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	t.rule(c, oifname(t.link), answers(), accept())
	t.rule(c, oifname(t.link), forwarded(), accept())
	t.rule(c, oifname(t.link), drop())
	if !access {
		t.rule(c, iifname(t.link), answers(), accept())
		t.rule(c, iifname(t.link), reject())
	}
	// The host was no router between these links, and does not become one.
	for _, from := range uplinks {
		t.rule(c, iifname(from), jump(uplinkPrefix+from))
	}
}

// addInput keeps a sandbox without access away from the host's own servers.
func (t *table) addInput() {
	c := t.base("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	t.rule(c, iifname(t.link), answers(), accept())
	t.rule(c, iifname(t.link), reject())
}

func (t *table) addMasquerade(access bool) {
	c := t.base("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	if access {
		t.rule(c, saddr(t.net.sandbox()), oifnameNot(t.link), masquerade())
	}
	// A client at 127.0.0.1 is nobody that the sandbox could answer, and neither is the sandbox that calls itself by the host's address.
	t.rule(c, oifname(t.link), inLoopback(offsetSource), masquerade())
	t.rule(c, oifname(t.link), saddr(t.net.sandbox()), masquerade())
}

// addPorts forwards ports of the host's own addresses only; the seed took all traffic to that port, wherever it went (SEED.md 6.2, row 8).
func (t *table) addPorts(forwards []Forward) {
	arriving := t.base("ports", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	local := t.base("ports-local", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	for _, f := range forwards {
		c := t.chain(portChain(f))
		t.rule(c, dnat(t.net.sandbox(), f.Sandbox))
		to := daddr(f.Bind)
		if f.Bind.IsUnspecified() {
			to = daddrLocal()
		}
		t.rule(local, to, dport(f.Protocol, f.Host), jump(c.Name))
		// Nobody but the host itself has to do with its loopback addresses; they are looked at only after this hook.
		if !loopback.Contains(f.Bind) {
			t.rule(arriving, notToLoopback(), to, dport(f.Protocol, f.Host), jump(c.Name))
		}
	}
}

func notToLoopback() match {
	m := inLoopback(offsetDestination)
	m[len(m)-1].(*expr.Cmp).Op = expr.CmpOpNeq
	return m
}
