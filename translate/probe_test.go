package translate

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// probeCalls as its only argument makes the test binary, which is static, the program in the sandbox that tries the system calls.
const probeCalls = "probe-calls"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == probeCalls {
		printCalls()
		return
	}
	os.Exit(m.Run())
}

// printCalls prints the error of each call, one a line. The numbers are those that amd64 and arm64 share (424 and later), or syscall's.
func printCalls() {
	const (
		sysIOUringSetup = 425
		sysPidfdGetfd   = 438
		sysClone3       = 435
		sysOpenTree     = 428
	)
	calls := []struct {
		name       string
		nr         uintptr
		a0, a1, a2 uintptr
	}{
		{"clone3", sysClone3, 0, 0, 0},
		{"clone NEWUSER", syscall.SYS_CLONE, syscall.CLONE_NEWUSER | uintptr(syscall.SIGCHLD), 0, 0},
		{"clone NEWNET and more", syscall.SYS_CLONE, syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER, 0, 0},
		{"unshare", syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER, 0, 0},
		{"mount", syscall.SYS_MOUNT, 0, 0, 0},
		{"open_tree", sysOpenTree, 0, 0, 0},
		{"chroot", syscall.SYS_CHROOT, uintptr(unsafe.Pointer(&[]byte("/tmp\x00")[0])), 0, 0},
		{"ptrace", syscall.SYS_PTRACE, 0, 0, 0},
		{"keyctl", syscall.SYS_KEYCTL, 0, 0, 0},
		{"io_uring_setup", sysIOUringSetup, 1, 0, 0},
		{"pidfd_getfd", sysPidfdGetfd, 0, 0, 0},
		{"ioctl TIOCSTI", syscall.SYS_IOCTL, 0, syscall.TIOCSTI, 0},
		{"ioctl TIOCSTI with a high bit", syscall.SYS_IOCTL, 0, 1<<32 | syscall.TIOCSTI, 0},
		{"ioctl TCGETS", syscall.SYS_IOCTL, 1000, syscall.TCGETS, 0},
		{"socket UNIX", syscall.SYS_SOCKET, syscall.AF_UNIX, syscall.SOCK_STREAM, 0},
		{"socket INET", syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_STREAM, 0},
		{"socket NETLINK", syscall.SYS_SOCKET, syscall.AF_NETLINK, syscall.SOCK_RAW, 0},
		{"socket ALG", syscall.SYS_SOCKET, 38, 5, 0},
		{"socket VSOCK", syscall.SYS_SOCKET, 40, 1, 0},
		{"socket VSOCK with a high bit", syscall.SYS_SOCKET, 1<<32 | 40, 1, 0},
	}
	for _, c := range calls {
		_, _, errno := syscall.RawSyscall(c.nr, c.a0, c.a1, c.a2)
		fmt.Printf("%s: %d\n", c.name, errno)
	}
}

// writeForeign writes a program of one thread for amd64 that makes an x32 call and, when that returns, exits with 42. One thread, because
// libseccomp's default for foreign calls ends the thread only.
func writeForeign(t *testing.T, path string) {
	t.Helper()
	code := []byte{
		0xb8, 0x09, 0x02, 0x00, 0x40, // mov eax, 0x40000000|521: ptrace of x32; the kernel need not have x32 for the filter to see it
		0x0f, 0x05, // syscall
		0xbf, 42, 0, 0, 0, // mov edi, 42
		0xb8, 60, 0, 0, 0, // mov eax, 60: exit
		0x0f, 0x05, // syscall
	}
	const load, headers = 0x400000, 64 + 56
	size := uint64(headers + len(code))
	var file bytes.Buffer
	head := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Entry: load + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	segment := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: load, Paddr: load, Filesz: size, Memsz: size, Align: 0x1000,
	}
	for _, part := range []any{head, segment, code} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, file.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
}
