package integration

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// unstartable are programs that are there and cannot be started, with what zbox says of them behind the path, and what podman then makes of
// it: 127 for "no such file or directory", 126 for "permission denied".
var unstartable = []struct {
	name    string
	content string
	mode    os.FileMode
	says    string
	reason  string
}{
	{"no execute permission", "#!/bin/sh\n", 0o644, " is not executable, mode 0644 (chmod +x)", "permission denied"},
	{"missing interpreter", "#!/opt/python3 -u\n", 0o755, `: interpreter not found: "/opt/python3" (install it in the root filesystem)`, "no such file or directory"},
	{"CR LF behind the interpreter", "#!/bin/sh\r\n", 0o755, `: its first line ends with CR LF, so the interpreter is not found: "/bin/sh\r" (convert it with dos2unix)`, "no such file or directory"},
	{"interpreter without permission", "#!/etc/passwd\n", 0o755, `: its interpreter "/etc/passwd" is not executable, mode 0644 (chmod +x)`, "permission denied"},
	{"interpreter without a loader", "#!/opt/dynamic\n", 0o755, `: its interpreter "/opt/dynamic": dynamic linker not found: "/lib/no-such-linker.so" (install the C library that it was built for, or build it statically)`, "no such file or directory"},
	{"missing loader", elfFor(nativeMachine, "/lib/no-such-linker.so"), 0o755, `: dynamic linker not found: "/lib/no-such-linker.so" (install the C library that it was built for, or build it statically)`, "no such file or directory"},
	{"another processor", elfFor(elf.EM_S390, ""), 0o755, ": built for another processor, s390x, and this is " + nativeName + " (take the build for it, or register an emulator with binfmt_misc)", "exec format error"},
	{"text without #!", "echo hello\n", 0o755, ": neither a program nor a script: a text without a first line such as #!/bin/sh", "exec format error"},
	{"empty file", "", 0o755, ": an empty file", "exec format error"},
	{"damaged program", "\x7fELF\x02", 0o755, ": damaged: an ELF file that ends in its header", "exec format error"},
}

var (
	nativeMachine = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	nativeName    = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
)

// elfFor is a program of a header and, with a linker's path, the segment that names it.
func elfFor(machine elf.Machine, linker string) string {
	const header, segment = 64, 56
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: header, Ehsize: header, Phentsize: segment, Phnum: 1}
	copy(h.Ident[:], []byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1})
	size := uint64(len(linker) + 1)
	p := elf.Prog64{Type: uint32(elf.PT_INTERP), Off: header + segment, Filesz: size, Memsz: size}
	for _, part := range []any{h, p, append([]byte(linker), 0)} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return b.String()
}

func TestProgramThatCannotStartSaysWhy(t *testing.T) {
	ZboxOnly(t, "other runtimes say what execve(2) says")
	for _, test := range unstartable {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			b := NewBundle(t, Args("/opt/program", "x"))
			b.WriteFile("opt/program", test.content, test.mode)
			b.WriteFile("opt/dynamic", elfFor(nativeMachine, "/lib/no-such-linker.so"), 0o755)
			want := `"/opt/program"` + test.says + ": " + test.reason
			check := func(command string, res Result) {
				if res.Code == 0 || !strings.Contains(res.Stderr, want) || strings.Count(res.Stderr, "\n") != 1 {
					t.Errorf("%s: exit code %d, %q, want %q", command, res.Code, res.Stderr, want)
				}
			}
			check("run", r.Run(b))
			b.Change(func(s *specs.Spec) {
				s.Process.Args = []string{"program"}
				s.Process.Env = []string{"PATH=/nowhere:/opt"}
			})
			check("run by name", r.Run(b))
			id := r.ID("box")
			if res := r.Do("create", "-b", b.Dir, id); res.Code != 0 {
				check("create", res)
			} else {
				check("start", r.Do("start", id))
				r.Must("delete", "--force", id)
			}
			b.Change(Sleep)
			c := r.Start(b)
			check("exec", c.Exec(c.ID, "/opt/program", "x"))
			c.Kill()
			c.Delete()
		})
	}
}

func TestProgramOnAFilesystemMountedNoexecSaysSo(t *testing.T) {
	ZboxOnly(t, "other runtimes say what execve(2) says")
	r := New(t)
	source := bindSource(t)
	for name, text := range map[string]string{"tool": "#!/bin/sh\n", "script": "#!/mnt/tool\n"} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b := NewBundle(t, Args("/mnt/tool"), Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: source, Options: []string{"bind", "ro", "noexec"}}))
	b.WriteFile("bin/script", "#!/mnt/tool\n", 0o755)
	const why = `"/mnt/tool" is on a filesystem mounted noexec (mount it with exec, or have the program elsewhere): permission denied`
	r.RefuseRun(b, why)
	b.Change(Args("/bin/script"))
	r.RefuseRun(b, `"/bin/script": its interpreter `+why)
}
