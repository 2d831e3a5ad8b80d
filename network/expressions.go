package network

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The pieces of rules, by their names in the language of nft(8). Each loads into register 1 and compares.

type match []expr.Any

func rule(pieces ...match) []expr.Any {
	var all []expr.Any
	for _, p := range pieces {
		all = append(all, p...)
	}
	return all
}

func compare(load expr.Any, op expr.CmpOp, data []byte) match {
	return match{load, &expr.Cmp{Op: op, Register: 1, Data: data}}
}

// interfaceName is a name as nft(8) compares it: all bytes of the field.
func interfaceName(name string) []byte {
	data := make([]byte, unix.IFNAMSIZ)
	copy(data, name)
	return data
}

func iifname(name string) match {
	return compare(&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, expr.CmpOpEq, interfaceName(name))
}

func oifname(name string) match {
	return compare(&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, expr.CmpOpEq, interfaceName(name))
}

func oifnameNot(name string) match {
	return compare(&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, expr.CmpOpNeq, interfaceName(name))
}

// Offsets in the IPv4 header (RFC 791, 3.1).
const (
	offsetSource      = 12
	offsetDestination = 16
)

func address(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4}
}

func saddr(a netip.Addr) match { return compare(address(offsetSource), expr.CmpOpEq, a.AsSlice()) }

func saddrNot(a netip.Addr) match { return compare(address(offsetSource), expr.CmpOpNeq, a.AsSlice()) }

func daddr(a netip.Addr) match { return compare(address(offsetDestination), expr.CmpOpEq, a.AsSlice()) }

// ipv4 is for tables of IPv4 and IPv6, where the header has to be known before its fields.
func ipv4(m match) match {
	return append(compare(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, expr.CmpOpEq, []byte{unix.NFPROTO_IPV4}), m...)
}

// inNetwork: the destination is in a network of IPv4.
func inNetwork(p netip.Prefix) match {
	bits := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
	mask := &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: bits, Xor: make([]byte, 4)}
	return match{address(offsetDestination), mask, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()}}
}

// setSource writes another source address into a packet, and mends its checksums: no connection is tracked for it.
func setSource(a netip.Addr) match {
	return match{
		&expr.Immediate{Register: 1, Data: a.AsSlice()},
		&expr.Payload{
			OperationType: expr.PayloadWrite, SourceRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offsetSource, Len: 4,
			CsumType: expr.CsumTypeInet, CsumOffset: 10, CsumFlags: unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR,
		},
	}
}

// inLoopback: the address at offset is in 127.0.0.0/8.
func inLoopback(offset uint32) match {
	mask := &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte{255, 0, 0, 0}, Xor: make([]byte, 4)}
	return match{address(offset), mask, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: loopback.Addr().AsSlice()}}
}

// daddrLocal: the destination is one of the host's own addresses.
func daddrLocal() match {
	return compare(&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true}, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL))
}

// dport: the protocol, "tcp" or "udp", and the destination port, which both have at the same place (RFC 768, RFC 9293).
func dport(protocol string, port uint16) match {
	number := byte(unix.IPPROTO_TCP)
	if protocol == "udp" {
		number = unix.IPPROTO_UDP
	}
	m := compare(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, expr.CmpOpEq, []byte{number})
	return append(m, compare(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, expr.CmpOpEq,
		binary.BigEndian.AppendUint16(nil, port))...)
}

func ctBits(key expr.CtKey, bits uint32) match {
	mask := &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)}
	return match{&expr.Ct{Key: key, Register: 1}, mask, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)}}
}

// answers are packets of connections that were let through when they began.
func answers() match {
	return ctBits(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// forwarded are packets of connections whose destination was translated (IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h).
func forwarded() match { return ctBits(expr.CtKeySTATUS, 1<<5) }

func accept() match { return match{&expr.Verdict{Kind: expr.VerdictAccept}} }

func drop() match { return match{&expr.Verdict{Kind: expr.VerdictDrop}} }

func jump(chain string) match { return match{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}} }

// reject answers "communication administratively prohibited" (RFC 1812, 5.2.7.1): programs fail at once instead of waiting.
func reject() match {
	const prohibited = 13
	return match{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: prohibited}}
}

func masquerade() match { return match{&expr.Masq{}} }

func dnat(a netip.Addr, port uint16) match {
	return match{
		&expr.Immediate{Register: 1, Data: a.AsSlice()},
		&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2, Specified: true},
	}
}
