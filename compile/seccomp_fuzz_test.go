//go:build cgo

package compile

import (
	"encoding/json"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// FuzzFilter: whatever the profile, Filter gives an error or a filter that the kernel would take and that comes to an answer.
func FuzzFilter(f *testing.F) {
	whole, err := json.Marshal(engineProfile(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_S390X","SCMP_ARCH_ARM"],"flags":[],
		"syscalls":[{"names":["read","socket"],"action":"SCMP_ACT_TRACE","errnoRet":65535,
		"args":[{"index":5,"value":18446744073709551615,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"},{"index":5,"op":"SCMP_CMP_NE"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p specs.LinuxSeccomp
		if json.Unmarshal(data, &p) != nil {
			return
		}
		_ = FilterWords(&p)
		_, _, _ = FilterFlags(&p)
		raw, err := Filter(&p)
		if err != nil {
			return
		}
		program, err := decodeFilter(raw)
		if err != nil || len(program) == 0 || len(program) > maxInstructions {
			t.Fatalf("%d instructions: %v", len(program), err)
		}
		for _, arch := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, 0} {
			for _, nr := range []uint32{0, 1, 41, 500, 0x40000000, 0xffffffff} {
				if _, err := runFilter(program, call{arch: arch, nr: nr, args: [6]uint64{16, 1}}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
