package translate

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// program is the host's file that the sandbox runs.
type program struct {
	path   string // without symbolic links
	loader string // what the kernel starts in its place: the ELF interpreter, or that of a script; "" for none
}

func findProgram(binary string) (*program, error) {
	real, err := filepath.EvalSymlinks(binary)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("%s: %w", binary, err)
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", binary)
	case info.Mode().Perm()&0o111 == 0:
		return nil, fmt.Errorf("%s: not executable: mode %04o", binary, info.Mode().Perm())
	}
	loader, err := readLoader(real)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", binary, err)
	}
	return &program{path: real, loader: loader}, nil
}

// readLoader finds the path that execve(2) starts besides the file itself. A file of another kind has none; execve will say what it thinks
// of it.
func readLoader(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		// Executable but not readable: only execve will know.
		return "", nil
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(f, 256).ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return "", err
	}
	if script, ok := bytes.CutPrefix(line, []byte("#!")); ok {
		first, _, _ := strings.Cut(strings.TrimSpace(string(script)), " ")
		return first, nil
	}
	return elfInterpreter(f), nil
}

// elfInterpreter is the content of the PT_INTERP segment (elf(5)).
func elfInterpreter(r io.ReaderAt) string {
	f, err := elf.NewFile(r)
	if err != nil {
		return ""
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > maxPath {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return ""
		}
		return string(bytes.TrimRight(name, "\x00"))
	}
	return ""
}
