package translate

import (
	"bytes"
	"debug/elf"
	"io"
	"strings"
)

// Bounds of what is read of a program's dynamic section; those of real programs are a hundred times smaller.
const (
	maxDynamic = 1 << 16
	maxStrings = 1 << 24
	maxNeeded  = 1 << 10
)

// elfFile is what a dynamic loader looks at (elf(5), ld.so(8)).
type elfFile struct {
	class          elf.Class
	machine        elf.Machine
	order          elf.Data
	interp         string
	needed         []string
	rpath, runpath []string
	hasRunpath     bool
}

// readELF is nil for a file that is no ELF file or a broken one. It goes by the segments, as the loader does: sections may have been
// stripped.
func readELF(r io.ReaderAt) *elfFile {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil
	}
	e := &elfFile{class: f.Class, machine: f.Machine, order: f.Data}
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_INTERP:
			e.interp = segmentText(p)
		case elf.PT_DYNAMIC:
			e.readDynamic(f, p)
		default:
		}
	}
	return e
}

func segmentText(p *elf.Prog) string {
	if p.Filesz > maxPath {
		return ""
	}
	text := make([]byte, p.Filesz)
	if _, err := p.ReadAt(text, 0); err != nil {
		return ""
	}
	return string(bytes.TrimRight(text, "\x00"))
}

// readDynamic reads the entries of the dynamic section and then the names that they point to.
func (e *elfFile) readDynamic(f *elf.File, p *elf.Prog) {
	if p.Filesz > maxDynamic {
		return
	}
	data := make([]byte, p.Filesz)
	if _, err := p.ReadAt(data, 0); err != nil {
		return
	}
	word, size := f.ByteOrder.Uint64, 8
	if f.Class == elf.ELFCLASS32 {
		word, size = func(b []byte) uint64 { return uint64(f.ByteOrder.Uint32(b)) }, 4
	}
	var strtab, strsz uint64
	var needed, rpath, runpath []uint64
	for ; len(data) >= 2*size; data = data[2*size:] {
		value := word(data[size:])
		switch elf.DynTag(word(data)) {
		case elf.DT_STRTAB:
			strtab = value
		case elf.DT_STRSZ:
			strsz = value
		case elf.DT_NEEDED:
			if len(needed) < maxNeeded {
				needed = append(needed, value)
			}
		case elf.DT_RPATH:
			rpath = append(rpath, value)
		case elf.DT_RUNPATH:
			runpath = append(runpath, value)
		default:
		}
	}
	names := tableOf(f, strtab, strsz)
	for _, at := range needed {
		if name := textAt(names, at); name != "" {
			e.needed = append(e.needed, name)
		}
	}
	e.rpath, e.runpath, e.hasRunpath = pathList(names, rpath), pathList(names, runpath), len(runpath) > 0
}

// tableOf is a string table, which is at an address of the loaded program.
func tableOf(f *elf.File, address, size uint64) []byte {
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || address < p.Vaddr || address-p.Vaddr >= p.Filesz {
			continue
		}
		table := make([]byte, min(size, p.Filesz-(address-p.Vaddr), maxStrings))
		if _, err := p.ReadAt(table, int64(address-p.Vaddr)); err != nil {
			return nil
		}
		return table
	}
	return nil
}

// textAt is the text that ends in a zero byte at an offset; "" for one that is not there or longer than a path.
func textAt(table []byte, at uint64) string {
	if at >= uint64(len(table)) {
		return ""
	}
	text := table[at:]
	end := bytes.IndexByte(text, 0)
	if end < 0 || end > maxPath {
		return ""
	}
	return string(text[:end])
}

func pathList(table []byte, at []uint64) []string {
	var out []string
	for _, offset := range at {
		for dir := range strings.SplitSeq(textAt(table, offset), ":") {
			if dir != "" {
				out = append(out, dir)
			}
		}
	}
	return out
}
