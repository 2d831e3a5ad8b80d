//go:build cgo

package compile

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// call is a system call as a filter sees it: struct seccomp_data without the instruction pointer.
type call struct {
	arch uint32
	nr   uint32
	args [6]uint64
}

// load reads a word of struct seccomp_data, whose 64-bit values are in the machine's byte order; the tests assume little-endian.
func (c call) load(offset uint32) (uint32, error) {
	switch {
	case offset%4 != 0 || offset >= 64:
		return 0, fmt.Errorf("load at %d", offset)
	case offset == dataNumber:
		return c.nr, nil
	case offset == dataArch:
		return c.arch, nil
	case offset < 16:
		return 0, nil
	}
	arg := c.args[(offset-16)/8]
	if offset%8 == 4 {
		arg >>= 32
	}
	return uint32(arg), nil
}

func decodeFilter(filter []byte) ([]unix.SockFilter, error) {
	if len(filter)%8 != 0 {
		return nil, fmt.Errorf("%d bytes are no whole instructions", len(filter))
	}
	var out []unix.SockFilter
	for i := 0; i < len(filter); i += 8 {
		out = append(out, unix.SockFilter{
			Code: binary.NativeEndian.Uint16(filter[i:]), Jt: filter[i+2], Jf: filter[i+3],
			K: binary.NativeEndian.Uint32(filter[i+4:]),
		})
	}
	return out, nil
}

// runFilter executes a filter as the kernel does and returns its SECCOMP_RET_* value. Only what seccomp_check_filter of the kernel
// allows and libseccomp uses is known.
func runFilter(program []unix.SockFilter, c call) (uint32, error) {
	var a, x uint32
	var memory [16]uint32
	for pc := 0; pc < len(program); pc++ {
		i := program[pc]
		jump := func(yes bool) {
			if yes {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		}
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			var err error
			if a, err = c.load(i.K); err != nil {
				return 0, fmt.Errorf("instruction %d: %w", pc, err)
			}
		case unix.BPF_LD | unix.BPF_MEM:
			a = memory[i.K]
		case unix.BPF_ST:
			memory[i.K] = a
		case unix.BPF_MISC | unix.BPF_TAX:
			x = a
		case unix.BPF_MISC | unix.BPF_TXA:
			a = x
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(i.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(a == i.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			jump(a > i.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(a >= i.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(a&i.K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return i.K, nil
		default:
			return 0, fmt.Errorf("instruction %d: unknown code %#x", pc, i.Code)
		}
	}
	return 0, fmt.Errorf("the filter runs over its end")
}
