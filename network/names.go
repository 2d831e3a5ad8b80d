package network

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// linkPrefix begins the name of the host's end of every sandbox's link.
	linkPrefix = "zbx"
	// tablePrefix begins the name of every sandbox's table.
	tablePrefix = "zbox-"
	// insideName is the sandbox's end.
	insideName = "eth0"
	// The chains that remember something, and do it too.
	portPrefix   = "port-"
	uplinkPrefix = "uplink-"
)

// hashLength: 40 bits. Two of 10000 sandboxes at once have the same with a probability of 1 in 20000, and then making the link says so.
const hashLength = 10

// names are those of one sandbox's things on the host. Containers of two state directories may have the same id.
type names struct {
	link, table string
}

func namesOf(stateDir, id string) names {
	sum := sha256.Sum256([]byte(stateDir + "\x00" + id))
	hash := hex.EncodeToString(sum[:])[:hashLength]
	// Names of tables end at 255 bytes (NFT_NAME_MAXLEN), those of links at 15 (IFNAMSIZ).
	return names{link: linkPrefix + hash, table: tablePrefix + id[:min(len(id), 200)] + "-" + hash}
}

// linkOf is the link of the sandbox that a table belongs to; "" for a table that is none of ours.
func linkOf(table string) string {
	rest, ours := strings.CutPrefix(table, tablePrefix)
	if i := len(rest) - hashLength - 1; ours && i >= 0 && rest[i] == '-' {
		return linkPrefix + rest[i+1:]
	}
	return ""
}

// portChain is the name of the chain with the rule of a port forward.
func portChain(f Forward) string {
	return fmt.Sprintf("%s%s-%s-%d", portPrefix, f.Protocol, f.Bind, f.Host)
}

// portOf reads the name of a chain; the sandbox's port is not in it.
func portOf(chain string) (Forward, bool) {
	rest, ok := strings.CutPrefix(chain, portPrefix)
	fields := strings.Split(rest, "-")
	if !ok || len(fields) != 3 {
		return Forward{}, false
	}
	bind, err1 := netip.ParseAddr(fields[1])
	port, err2 := strconv.ParseUint(fields[2], 10, 16)
	return Forward{Protocol: fields[0], Bind: bind, Host: uint16(port)}, err1 == nil && err2 == nil
}
