package network

import (
	"errors"
	"fmt"
)

// routedUp connects a sandbox by a link of its own.
func routedUp(c Config) error {
	host, err := inode(hostNamespace)
	if err != nil {
		return err
	}
	ns, err := openSandbox(c.Pid, host)
	if err != nil {
		return err
	}
	defer ns.Close()
	l, err := lock()
	if err != nil {
		return err
	}
	defer l.Close()
	rules, err := openRuleset()
	if err != nil {
		return err
	}
	defer rules.close()
	d, err := decide(c, rules)
	if err != nil {
		return err
	}
	r := record{Version: recordVersion, ID: c.ID, Namespace: host, Firewalls: d.firewalls}
	if err := r.write(c.StateDir); err != nil {
		return err
	}
	n := namesOf(c.StateDir, c.ID)
	err = d.make(c, rules, n)
	if err == nil {
		err = addLink(ns, n.link, d.net, len(c.Forwards) > 0)
	}
	if err != nil {
		return errors.Join(err, removeLink(n.link), undo(c.StateDir, n, r))
	}
	return nil
}

// decision is everything that is known before the first change.
type decision struct {
	net       subnet
	uplinks   []string // to be remembered as switched on for sandboxes
	closed    []string // those of them that are still off
	firewalls []chainRef
}

func decide(c Config, rules *ruleset) (decision, error) {
	inherited := rules.sweep()
	if err := checkPorts(c.Forwards, rules.published()); err != nil {
		return decision{}, err
	}
	around, err := lookAround()
	if err != nil {
		return decision{}, err
	}
	around.avoid(c.Nameservers)
	d := decision{firewalls: rules.closedFirewalls()}
	if d.net, err = freeSubnet(around.networks); err != nil {
		return decision{}, err
	}
	if d.closed, err = closedUplinks(around.links); err != nil {
		return decision{}, err
	}
	_, others := rules.uplinks("")
	d.uplinks = union(union(d.closed, others), inherited)
	return d, nil
}

// make makes the table and the rules elsewhere, all in one step of the kernel, and then switches forwarding on: the table remembers that it
// was off.
func (d decision) make(c Config, rules *ruleset, n names) error {
	addTable(rules.conn, n, d.net, c, d.uplinks)
	for _, f := range d.firewalls {
		rules.openFirewall(f, n.link)
	}
	if err := rules.flush(); err != nil {
		return err
	}
	return switchForwarding(d.closed, true)
}

// routedDown undoes routedUp. What has names of its own is removed even without a record. The link goes with the sandbox's network
// namespace where that is sure to go now; otherwise it is removed here.
func routedDown(stateDir, id string, r *record, w *Witness) error {
	host, err := inode(hostNamespace)
	if err != nil {
		return err
	}
	if r == nil {
		r = &record{ID: id, Namespace: host}
	}
	if r.Namespace != host {
		return fmt.Errorf("the sandbox was connected in another network namespace (%d, this is %d): delete it from there", r.Namespace, host)
	}
	l, err := lock()
	if err != nil {
		return err
	}
	defer l.Close()
	n := namesOf(stateDir, id)
	goes := w.idle()
	if err := undo(stateDir, n, *r); err != nil || goes {
		return err
	}
	return removeLink(n.link)
}

// undo needs the lock. Forwarding is switched off before the table goes that remembers it.
func undo(stateDir string, n names, r record) error {
	rules, err := openRuleset()
	if err != nil {
		return err
	}
	defer rules.close()
	own, others := rules.uplinks(n.table)
	if err := restoreForwarding(without(own, others)); err != nil {
		return err
	}
	if err := releaseLink(n.link); err != nil {
		return err
	}
	for _, f := range r.Firewalls {
		if err := rules.closeFirewall(f, n.link); err != nil {
			return err
		}
	}
	if rules.has(n.table) {
		rules.dropTable(n.table)
	}
	if err := rules.flush(); err != nil {
		return err
	}
	return removeRecord(stateDir, r.ID)
}
