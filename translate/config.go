package translate

import (
	"fmt"
	"io"
	"os"
)

// maxConfigSize bounds what Load reads, so that a wrong path (a device, an endless pipe) ends in an error.
const maxConfigSize = 1 << 20

// Config is a sandbox as the user describes it. The tags are read by Fields: `need` marks a field without a default, `min` and
// `max` bound a number (both inclusive), `default` is the JSON text of what an absent field means, `doc` is its line in
// docs/sandbox.md.
type Config struct {
	Name   string `json:"name" need:"yes" doc:"1 to 63 of a-z A-Z 0-9 . _ - starting with a letter or digit; the host name, and the start of the container's id"`
	Binary string `json:"binary" need:"yes" doc:"absolute path of a program on the host; it is bound read-only to /bin/NAME inside"`
	Root   string `json:"root" need:"yes" doc:"absolute path of a directory whose content is the read-only base; a fresh minimal one is made when it is missing or empty; never /"`

	CPUCores        int64 `json:"cpu_cores" need:"yes" min:"1" max:"8192" doc:"processors the sandbox may use; the quota is cores x percent / 100"`
	CPULimitPercent int64 `json:"cpu_limit_percent" need:"yes" min:"1" max:"100" doc:"share of each of these processors"`
	MemoryLimitMB   int64 `json:"memory_limit_mb" need:"yes" min:"1" max:"4294967295" doc:"memory in MiB, without swap"`

	NetworkAccess bool          `json:"network_access" default:"false" doc:"not available yet: the sandbox has a loopback interface of its own, and a warning says so"`
	PortForwards  []PortForward `json:"port_forwards" default:"[]" doc:"not available yet: checked, and a warning says so"`

	// file is the name for messages.
	file string
}

// PortForward leads a port of the host into the sandbox.
type PortForward struct {
	Host    int64 `json:"host" need:"yes" min:"1" max:"65535" doc:"port on the host; no two entries may share it"`
	Sandbox int64 `json:"sandbox" need:"yes" min:"1" max:"65535" doc:"port inside the sandbox"`
}

// Load reads and checks the configuration at path; "-" is standard input. It reads to the end of the file, so pipes and procfs
// files work, and refuses more than 1 MiB.
func Load(path string) (*Config, error) {
	if path == "-" {
		return read("standard input", os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	return read(path, f)
}

func read(name string, r io.Reader) (*Config, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfigSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if len(data) > maxConfigSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxConfigSize)
	}
	return Parse(name, data)
}

// Parse decodes and checks the configuration in data; file names it in messages. A field that does not exist, one that is
// missing and a value outside its range are errors (SEED.md 6.2, rows 6, 21, 32, 40).
func Parse(file string, data []byte) (*Config, error) {
	c := &Config{file: file}
	if err := decode(file, data, c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}
