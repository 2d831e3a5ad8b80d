package translate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// program is the host's file that the sandbox runs.
type program struct {
	path string // without symbolic links
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
	return &program{path: real}, nil
}
