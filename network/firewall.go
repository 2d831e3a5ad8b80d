package network

import (
	"bytes"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// chainRef names a chain of somebody else's table.
type chainRef struct {
	Family byte   `json:"family"`
	Table  string `json:"table"`
	Chain  string `json:"chain"`
}

func (c chainRef) table() *nftables.Table {
	return &nftables.Table{Name: c.Table, Family: nftables.TableFamily(c.Family)}
}

// closedFirewalls are the chains that drop forwarded packets which no rule of theirs accepts: docker's, ufw's. A packet has to be
// accepted by the chains of all tables, so the sandbox's own table cannot open them.
func (r *ruleset) closedFirewalls() []chainRef {
	var closed []chainRef
	for _, c := range r.chains {
		f := c.Table.Family
		v4 := f == nftables.TableFamilyIPv4 || f == nftables.TableFamilyINet
		if v4 && c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			closed = append(closed, chainRef{Family: byte(f), Table: c.Table.Name, Chain: c.Name})
		}
	}
	return closed
}

// openFirewall puts two rules into the batch that accept what the sandbox's own table has let through. They come last, so that whatever the
// administrator's rules drop stays dropped, and have the form of iptables-nft, which refuses to work with tables that hold other rules.
func (r *ruleset) openFirewall(c chainRef, link string) {
	for _, key := range []expr.MetaKey{expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME} {
		r.conn.AddRule(&nftables.Rule{Table: c.table(), Chain: &nftables.Chain{Name: c.Chain}, Exprs: []expr.Any{
			&expr.Meta{Key: key, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: iptablesName(link)},
			&expr.Counter{},
			&expr.Verdict{Kind: expr.VerdictAccept},
		}})
	}
}

// closeFirewall puts the removal of these rules into the batch. Chains and rules that are gone are no error.
func (r *ruleset) closeFirewall(c chainRef, link string) error {
	there := false
	for _, known := range r.chains {
		there = there || (known.Name == c.Chain && known.Table.Name == c.Table && byte(known.Table.Family) == c.Family)
	}
	if !there {
		return nil
	}
	rules, err := r.conn.GetRules(c.table(), &nftables.Chain{Name: c.Chain})
	if err != nil {
		return fmt.Errorf("listing the rules of chain %s of table %s: %w", c.Chain, c.Table, err)
	}
	for _, rule := range rules {
		if mentions(rule, link) {
			if err := r.conn.DelRule(rule); err != nil {
				return fmt.Errorf("removing a rule from chain %s of table %s: %w", c.Chain, c.Table, err)
			}
		}
	}
	return nil
}

// mentions: the rule compares an interface's name with that of the link, which no other rule has.
func mentions(rule *nftables.Rule, link string) bool {
	for _, e := range rule.Exprs {
		if cmp, ok := e.(*expr.Cmp); ok && bytes.Equal(cmp.Data, iptablesName(link)) {
			return true
		}
	}
	return false
}

// iptablesName is an interface's name as iptables-nft compares it: with its final zero byte.
func iptablesName(link string) []byte { return append([]byte(link), 0) }
