package network

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// startShut runs Shut in the sandbox's network namespace: what carries a sandbox's traffic without privileges lets connections out as
// well as in.
//
// nsenter(1) is in between because a process of more than one thread, as every program in Go is, cannot enter a user namespace (setns(2)).
// A createContainer hook would be there already, but within the sandbox's limits, where a program in Go is killed for the seed's 3 MB.
func startShut(c Config) error {
	program := lookPath("nsenter", c.Path)
	if program == "" {
		return errors.New("port_forwards without network_access need nsenter (package util-linux), and it is not in " + c.Path +
			": install util-linux, or run zbox as root")
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
	cmd := exec.Command(program, "--preserve-credentials",
		fmt.Sprintf("--user=/proc/%d/ns/user", c.Pid), "--net="+namespace, self, "network", "shut", strconv.FormatUint(number, 10))
	cmd.Env, cmd.Dir = []string{}, "/"
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("keeping the sandbox's connections in: %s: %w: %s", program, err, lastWords(string(output)))
	}
	return nil
}

// Shut lets nothing out of the caller's network namespace but answers to what came in. number is that of the namespace: nobody is to do this
// to the host's by mistake. It lasts as long as the namespace: no program of a
// sandbox has CAP_NET_ADMIN over it, nor CAP_NET_RAW, whose AF_PACKET sockets send past all rules.
func Shut(number string) error {
	own, err := inode(hostNamespace)
	if err != nil {
		return err
	}
	if number != strconv.FormatUint(own, 10) {
		return errors.New("shut is what up starts in a sandbox's network namespace, and this is another one")
	}
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("talking to nftables: %w", err)
	}
	t := &table{conn: conn}
	t.Table = conn.CreateTable(&nftables.Table{Name: "zbox", Family: nftables.TableFamilyINet})
	c := t.base("output", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
	t.rule(c, oifname("lo"), accept())
	t.rule(c, answers(), accept())
	t.rule(c, rejectAll())
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("changing nftables: %w", err)
	}
	return nil
}

// rejectAll is reject for tables of IPv4 and IPv6 (NFT_REJECT_ICMPX_ADMIN_PROHIBITED, linux/netfilter/nf_tables.h).
func rejectAll() match {
	const prohibited = 3
	return match{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: prohibited}}
}
