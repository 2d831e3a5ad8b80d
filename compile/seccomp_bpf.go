package compile

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// The offsets of struct seccomp_data.
const (
	dataNumber = 0
	dataArch   = 4
)

// callRange is a range of system call numbers of one ABI, and the last one in it that a profile names.
type callRange struct {
	first uint32 // where the range starts; the next one ends it
	last  uint32
	// named: the profile names a call of the range. Otherwise there is nothing to tell old from new by.
	named bool
}

// archCalls are the system calls of one AUDIT_ARCH_* value. Some have numbers in more than one range: those of x32 are behind those of
// x86_64, and those that belong to the processor behind the others of ARM.
type archCalls struct {
	audit  uint32
	ranges []callRange // by first; the first one starts at 0
	// zeroIsUnknown: the kernel hands on number 0 for a number that it does not know (s390: the number is in a register for
	// svc 0, and stays 0 when it is too big).
	zeroIsUnknown bool
}

// enosysRule is the beginning of a filter that answers ENOSYS to system calls with higher numbers than all that the profile
// names, and leaves all others to what follows. Such a call is newer than the profile; a program that tries it falls back to an
// older one on ENOSYS, but takes the EPERM of a profile for an answer about itself (runc issue 2151).
func enosysRule(archs []archCalls) []unix.SockFilter {
	var out []unix.SockFilter
	for _, arch := range archs {
		section := enosysSection(arch)
		// Not this architecture: go on behind the section.
		out = append(out,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: dataArch},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: uint8(len(section)), K: arch.audit})
		out = append(out, section...)
	}
	// Every section ends with a jump that is still to be aimed at the end of all.
	for i := range out {
		if out[i].Code == unix.BPF_JMP|unix.BPF_JA {
			out[i].K = uint32(len(out) - i - 1)
		}
	}
	return out
}

// enosysSection decides about one architecture. It has two instructions in its end, `ret ENOSYS` and `ja` behind everything.
func enosysSection(arch archCalls) []unix.SockFilter {
	const load = 1
	size := load + 2*len(arch.ranges) + 2
	if arch.zeroIsUnknown {
		size++
	}
	refuse, pass := size-2, size-1
	out := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: dataNumber}}
	// jump adds a conditional jump to two instructions of the section.
	jump := func(code uint16, k uint32, yes, no int) {
		from := len(out) + 1
		out = append(out, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | code, Jt: uint8(yes - from), Jf: uint8(no - from), K: k})
	}
	if arch.zeroIsUnknown {
		jump(unix.BPF_JEQ, 0, refuse, len(out)+1)
	}
	// From the highest range down: the first one that begins at or below the number has it.
	for i := len(arch.ranges) - 1; i >= 0; i-- {
		r := arch.ranges[i]
		jump(unix.BPF_JGE, r.first, len(out)+1, len(out)+2)
		if r.named {
			jump(unix.BPF_JGT, r.last, refuse, pass)
		} else {
			jump(unix.BPF_JGE, 0, pass, pass)
		}
	}
	return append(out,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA})
}

// maxInstructions is BPF_MAXINSNS of the kernel.
const maxInstructions = 4096

// joinFilter puts the ENOSYS rule in front of a filter that libseccomp made, struct sock_filter[] in the machine's byte order.
func joinFilter(rule []unix.SockFilter, filter []byte) ([]byte, error) {
	const instruction = 8 // sizeof(struct sock_filter)
	if n := len(rule) + len(filter)/instruction; n > maxInstructions {
		return nil, fmt.Errorf("the filter has %d instructions, more than the kernel's %d", n, maxInstructions)
	}
	out := make([]byte, 0, len(rule)*instruction+len(filter))
	for _, i := range rule {
		out = binary.NativeEndian.AppendUint16(out, i.Code)
		out = append(out, i.Jt, i.Jf)
		out = binary.NativeEndian.AppendUint32(out, i.K)
	}
	return append(out, filter...), nil
}
