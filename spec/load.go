package spec

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxFile bounds what is read of one JSON file, in bytes: real configurations have tens of KiB.
const maxFile = 16 << 20

// Load reads, decodes and validates the config.json at path. The errors name the file by its last element, as
// "config.json: process.cwd: ...", except those of opening and reading it. It also returns what the file holds.
func Load(path string) (*specs.Spec, []byte, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	name := filepath.Base(path)
	s, err := Parse(name, data)
	if err != nil {
		return nil, nil, err
	}
	if err := Validate(s); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, data, nil
}

// Parse decodes a config.json without validating it. Fields that the OCI specification does not know are ignored, as its section
// on extensibility asks. The error is a *SyntaxError.
func Parse(name string, data []byte) (*specs.Spec, error) {
	s := &specs.Spec{}
	if err := Decode(name, data, s, DecodeOptions{}); err != nil {
		return nil, err
	}
	return s, nil
}

// LoadProcess reads, decodes and validates the file of `exec --process`, an OCI process object.
func LoadProcess(path string) (*specs.Process, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	p := &specs.Process{}
	if err := Decode(path, data, p, DecodeOptions{}); err != nil {
		return nil, err
	}
	if err := ValidateProcess("", p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// LoadResources reads, decodes and validates the resources of `update --resources`, an OCI linux.resources object. name is what
// errors call the source.
func LoadResources(r io.Reader, name string) (*specs.LinuxResources, error) {
	data, err := readBounded(r, name)
	if err != nil {
		return nil, err
	}
	res := &specs.LinuxResources{}
	if err := Decode(name, data, res, DecodeOptions{}); err != nil {
		return nil, err
	}
	if err := validateResources("", res); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return res, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, path)
}

func readBounded(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d MiB", name, maxFile>>20)
	}
	return data, nil
}
