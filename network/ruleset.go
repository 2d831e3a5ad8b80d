package network

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// answerTime bounds the wait for each answer of the kernel.
const answerTime = 10 * time.Second

// ruleset is the host's nftables, as it was when it was read.
type ruleset struct {
	conn   *nftables.Conn
	socket *netlink.Conn
	chains []*nftables.Chain
}

// openRuleset reads all chains of all tables: one question to the kernel.
func openRuleset() (*ruleset, error) {
	r := &ruleset{}
	var err error
	r.conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		r.socket = c
		return c.SetDeadline(time.Now().Add(answerTime))
	}))
	if err != nil {
		return nil, fmt.Errorf("talking to nftables: %w", err)
	}
	if r.chains, err = r.conn.ListChains(); err != nil {
		r.close()
		return nil, fmt.Errorf("listing the chains of nftables: %w", err)
	}
	return r, nil
}

func (r *ruleset) flush() error {
	if err := r.conn.Flush(); err != nil {
		return fmt.Errorf("changing nftables: %w", err)
	}
	return nil
}

// close closes the socket in the background where it can. Behind a deletion, close(2) of an nfnetlink socket waits in the kernel until all
// processors have seen it (nft_rcv_nl_event), 10 ms or more, for nothing that matters to the caller: the rules are gone already.
func (r *ruleset) close() {
	circle := leave(r.socket)
	_ = r.conn.CloseLasting()
	for _, fd := range circle {
		unix.Close(fd)
	}
}

// leave puts the socket into a message that nobody will read, to a socket that is in the message itself. Once all three are closed, the
// last references are dropped by the kernel's own collector of such circles (unix(7), SCM_RIGHTS). Without success, or with a kernel that
// collects in the context of the caller (before 6.10), the socket is closed as always.
func leave(socket *netlink.Conn) []int {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(int(fd), pair[1]), nil, 0)
	})
	return pair[:]
}

// has reports whether the table is there.
func (r *ruleset) has(table string) bool {
	return slices.ContainsFunc(r.chains, func(c *nftables.Chain) bool { return c.Table.Name == table })
}

// dropTable puts the deletion of a sandbox's table into the batch.
func (r *ruleset) dropTable(name string) {
	r.conn.DelTable(&nftables.Table{Name: name, Family: nftables.TableFamilyIPv4})
}

// sweep puts the deletion of tables into the batch whose sandboxes are gone, as after a kill -9: their links went with them. Their port
// forwards would still take the host's ports. It returns the names of the links whose forwarding they had switched on.
func (r *ruleset) sweep() (uplinks []string) {
	gone := map[string]bool{}
	kept := r.chains[:0]
	for _, c := range r.chains {
		link := linkOf(c.Table.Name)
		known, ok := gone[c.Table.Name]
		if !ok && link != "" {
			known = !linkExists(link)
			gone[c.Table.Name] = known
			if known {
				r.dropTable(c.Table.Name)
			}
		}
		if !known {
			kept = append(kept, c)
		} else if uplink, ok := strings.CutPrefix(c.Name, uplinkPrefix); ok {
			uplinks = append(uplinks, uplink)
		}
	}
	r.chains = kept
	return uplinks
}

// published are the port forwards of all sandboxes.
func (r *ruleset) published() []published {
	var all []published
	for _, c := range r.chains {
		if linkOf(c.Table.Name) == "" {
			continue
		}
		if f, ok := portOf(c.Name); ok {
			all = append(all, published{f, c.Table.Name})
		}
	}
	return all
}

// uplinks are the links where sandboxes have switched forwarding on: this table's, and those of all others.
func (r *ruleset) uplinks(table string) (own, others []string) {
	for _, c := range r.chains {
		uplink, ok := strings.CutPrefix(c.Name, uplinkPrefix)
		switch {
		case !ok || linkOf(c.Table.Name) == "":
		case c.Table.Name == table:
			own = append(own, uplink)
		default:
			others = append(others, uplink)
		}
	}
	return own, others
}
