// Package fortify, imported for its effect by the programs, lets them be linked against musl with a libseccomp.a that was compiled against
// glibc, as distributions have it: the checked functions of _FORTIFY_SOURCE, which the compiler calls there, are all that musl lacks of what
// libseccomp needs (nm -u libseccomp.a: memory, strings, stdio and a few system calls, whose ABI is that of the psABI and of the kernel).
//
// It is worth it: a program of glibc has spent a fourth of the processor time of `zbox state` before and while the Go runtime starts (cpuid,
// IFUNC relocations, a malloc arena for each thread, page faults), one of musl next to nothing.
package fortify
