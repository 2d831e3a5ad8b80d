package translate

import (
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// loader is what of a program's dynamic loader decides where it looks: glibc's (ld.so(8)) or musl's (ldso/dynlink.c).
type loader struct {
	musl    bool
	machine elf.Machine
	lib     string   // what $LIB stands for
	dirs    []string // where it looks without being told
}

// maxMuslPath bounds what is read of a path file of musl's.
const maxMuslPath = 1 << 16

// loaderOf describes the loader of a program, whose file is open.
func (s *search) loaderOf(f *os.File, main *elfObject) loader {
	l := loader{machine: main.machine, musl: strings.HasPrefix(path.Base(main.interp), "ld-musl-")}
	if l.musl {
		l.dirs = s.muslDirs(main.interp)
		return l
	}
	l.dirs = defaultDirs(main.elfFile)
	// glibc is installed where its $LIB says, below / or /usr.
	real := path.Dir(s.base.physical(main.interp))
	if s.base == nil {
		real = s.hostDir(f, main.interp)
	}
	l.lib = strings.TrimPrefix(strings.TrimPrefix(real, "/usr"), "/")
	return l
}

// muslDirs are the directories of the loader's path file, which comes along, or those that it has without one.
func (s *search) muslDirs(interp string) []string {
	arch, _, _ := strings.Cut(path.Base(interp), ".so")
	name := path.Join(path.Dir(path.Dir(interp)), "etc", arch+".path")
	f, err := s.bring(name, name)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{"/lib", "/usr/local/lib", "/usr/lib"}
	}
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMuslPath))
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == ':' || r == '\n' })
}

// isMuslOwn: musl's loader is also these libraries.
func isMuslOwn(name string) bool {
	for _, own := range []string{"libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."} {
		if strings.HasPrefix(name, own) {
			return true
		}
	}
	return false
}

// place is a directory where a library could be.
type place struct {
	host, inside string
	// more: another place of the directory before. Which of them the loader takes, only it knows.
	more bool
}

// searchList is where the loader looks before its cache: the RPATHs of the file and of those that brought it, unless it has a RUNPATH. To
// musl both are the same.
func (l loader) searchList(o *elfObject) []place {
	if o.hasRunpath && !l.musl {
		return l.expand(o, o.runpath)
	}
	var out []place
	for by := o; by != nil; by = by.loader {
		switch {
		case !by.hasRunpath:
			out = append(out, l.expand(by, by.rpath)...)
		case l.musl:
			out = append(out, l.expand(by, by.runpath)...)
		}
	}
	return out
}

// expand puts directories in place of the tokens $ORIGIN, $LIB and $PLATFORM. musl knows the first only, and takes no list with another.
func (l loader) expand(o *elfObject, dirs []string) []place {
	var out []place
	for _, dir := range dirs {
		for i, platform := range l.platforms(dir) {
			at := func(origin string) string {
				tokens := []string{"${ORIGIN}", origin, "$ORIGIN", origin}
				if !l.musl {
					tokens = append(tokens, "${LIB}", l.lib, "$LIB", l.lib, "${PLATFORM}", platform, "$PLATFORM", platform)
				}
				return path.Clean(strings.NewReplacer(tokens...).Replace(dir))
			}
			p := place{host: at(o.host), inside: at(o.inside), more: i > 0}
			switch {
			case strings.Contains(p.inside, "$") && l.musl:
				return nil
			case path.IsAbs(p.inside) && !strings.Contains(p.inside, "$"): // what is relative depends on the working directory
				out = append(out, p)
			}
		}
	}
	return out
}

// platforms are what $PLATFORM can stand for: the kernel's AT_PLATFORM (getauxval(3)), or with glibc before 2.37 a processor's name.
func (l loader) platforms(dir string) []string {
	if !strings.Contains(dir, "$PLATFORM") && !strings.Contains(dir, "${PLATFORM}") {
		return []string{""}
	}
	switch l.machine {
	case elf.EM_X86_64:
		return []string{"x86_64", "haswell", "xeon_phi"}
	case elf.EM_AARCH64:
		return []string{"aarch64"}
	case elf.EM_386:
		return []string{"i686", "i586", "i486", "i386"}
	default:
		return []string{"$"} // which expand leaves out
	}
}

// special are the subdirectories for newer processors. What is in the directories themselves runs on all and comes first; this is for what
// is nowhere else.
func (l loader) special(places []place) []place {
	if l.musl {
		return nil
	}
	var names []string
	switch l.machine {
	case elf.EM_X86_64:
		names = []string{"x86-64-v2", "x86-64-v3", "x86-64-v4"}
	case elf.EM_PPC64:
		names = []string{"power9", "power10"}
	case elf.EM_S390:
		names = []string{"z13", "z14", "z15", "z16"}
	default:
	}
	var out []place
	for _, p := range places {
		for i, name := range names {
			out = append(out, place{host: path.Join(p.host, "glibc-hwcaps", name), inside: path.Join(p.inside, "glibc-hwcaps", name), more: i > 0})
		}
	}
	return out
}

// defaultDirs are where glibc's loaders look without being told. Which of them one has is up to its distribution; what fits no program's class
// and machine is passed over.
func defaultDirs(e *elfFile) []string {
	dirs := []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib"}
	if name := multiarch(e.machine); name != "" {
		dirs = append([]string{"/lib/" + name, "/usr/lib/" + name}, dirs...)
	}
	return dirs
}

// multiarch is Debian's name of an architecture.
func multiarch(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "x86_64-linux-gnu"
	case elf.EM_AARCH64:
		return "aarch64-linux-gnu"
	case elf.EM_386:
		return "i386-linux-gnu"
	case elf.EM_ARM:
		return "arm-linux-gnueabihf"
	case elf.EM_RISCV:
		return "riscv64-linux-gnu"
	case elf.EM_S390:
		return "s390x-linux-gnu"
	case elf.EM_PPC64:
		return "powerpc64le-linux-gnu"
	default:
		return ""
	}
}
