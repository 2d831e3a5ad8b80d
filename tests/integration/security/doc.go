// Package security holds one regression test for every published attack on an OCI runtime that docs/security.md lists.
//
// A test plays the attack, proves that the host is unchanged, and proves that the runtime still works: either the container
// of the attack itself ran and is asked what it saw, or, where refusing is right, the message is checked and the
// same container without the attack runs next to it.
package security
