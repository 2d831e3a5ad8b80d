// Package network connects the network namespace of a sandbox, which is empty but for lo, to the world. It is what the hooks
// `zbox network up` (createRuntime) and `zbox network down` (poststop) do.
//
// With privileges over the host's network namespace a sandbox gets a veth pair, a /24 of its own and one nftables table, named
// after it, with NAT, port forwards and what keeps the sandbox to itself. What zbox has to remember about the host is in the names of that
// table's chains: it is there as long as it is needed, it is in the network namespace that it is about, and it survives a kill -9.
// Other sandboxes read it there, whatever state directory they belong to.
//
// Without privileges it is pasta, or else slirp4netns, that carries the sandbox's traffic as the user's own.
//
// Down is the undoing of an Up that was killed at any moment. It may run any number of times.
package network
