package translate

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/bxrne/zbox/spec"
)

// maxConfigSize bounds what Load reads, so that a wrong path (a device, an endless pipe) ends in an error.
const maxConfigSize = 1 << 20

// Config is a sandbox as the user describes it. It is the one source of the decoder, of the JSON Schema and of the table in
// docs/sandbox.md, by its tags: `need` marks a field that must be given, `min` and `max` bound a number (both inclusive), `values` are
// what a string may be, `pattern` is its regular expression for the schema, `default` is the JSON text of what an absent field means,
// `doc` is its line in the documentation. fieldType lists the Go types that a field can have.
type Config struct {
	Name   string `json:"name" need:"yes" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$" doc:"1 to 63 of a-z A-Z 0-9 . _ - starting with a letter or digit; the host name, and the start of the container's id"`
	Binary string `json:"binary" need:"yes" pattern:"^/" doc:"absolute path of a program on the host; it is bound read-only to /bin/NAME inside, and the loader and libraries that it needs come along"`
	Root   string `json:"root" need:"yes" pattern:"^/" doc:"absolute path of a directory whose content is the base that the run sees and never changes; a fresh minimal one when it is missing or empty; never /"`

	CPUCores        int64 `json:"cpu_cores" need:"yes" min:"1" max:"8192" doc:"processors the sandbox may use; the quota is cores x percent / 100"`
	CPULimitPercent int64 `json:"cpu_limit_percent" need:"yes" min:"1" max:"100" doc:"share of each of these processors"`
	MemoryLimitMB   int64 `json:"memory_limit_mb" need:"yes" min:"1" max:"4294967295" doc:"memory in MiB"`

	NetworkAccess bool          `json:"network_access" default:"false" doc:"let the sandbox open connections, over IPv4; false: it has its loopback interface only, and port_forwards"`
	PortForwards  []PortForward `json:"port_forwards" default:"[]" doc:"ports of the host that lead into the sandbox, with or without network_access"`
	DNS           []string      `json:"dns" default:"[]" doc:"IPv4 addresses of up to 3 resolvers for network_access; default: those of the host that a sandbox can reach"`

	Args     []string `json:"args" default:"[\"sh\"]" doc:"arguments of the program; those behind -- on the command line take their place"`
	Env      []string `json:"env" default:"[]" doc:"NAME=value each; they add to PATH, HOME and TERM and may replace them. Nothing of the caller's environment comes in by itself"`
	Cwd      string   `json:"cwd" pattern:"^/" doc:"working directory inside, an absolute path; made when it is missing; default: the workspace, or / without one"`
	Hostname string   `json:"hostname" pattern:"^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$" doc:"host name inside; default: name, with - for _"`
	UID      int64    `json:"uid" default:"0" min:"0" max:"65535" doc:"user inside; 0 is an unprivileged user of the host, too"`
	GID      int64    `json:"gid" default:"0" min:"0" max:"65535" doc:"group inside"`
	Terminal Switch   `json:"terminal" default:"\"auto\"" doc:"give the program a terminal of its own; auto: when standard input and output are one"`
	Init     bool     `json:"init" default:"false" doc:"run a small init as process 1 that passes signals on and reaps; otherwise the program is process 1"`

	Mounts       []Mount    `json:"mounts" default:"[]" doc:"files and directories of the host to show inside"`
	Workspace    *Workspace `json:"workspace" doc:"a directory of the host to work in; what is written there stays, and belongs to its owner"`
	ReadonlyRoot bool       `json:"readonly_root" default:"false" doc:"nothing can be written but /tmp, /dev/shm, and mounts that are not readonly"`
	TmpfsSizeMB  int64      `json:"tmpfs_size_mb" min:"1" max:"4294967295" doc:"how much in MiB the run may write to its root, and as much again to /tmp and to /dev/shm; it counts as the sandbox's memory. Default: half of memory_limit_mb"`
	Persist      string     `json:"persist" pattern:"^/" doc:"absolute path of a directory that keeps what is written to the root, for the next run; made when it is missing. Not limited by tmpfs_size_mb"`

	PidsLimit      int64 `json:"pids_limit" default:"512" min:"1" max:"4194304" doc:"processes and threads at one time"`
	TimeoutSeconds int64 `json:"timeout_seconds" default:"0" min:"0" max:"31536000" doc:"kill the sandbox with all its processes after so many seconds, exit code 124; 0: never"`
	MemorySwapMB   int64 `json:"memory_swap_mb" default:"0" min:"0" max:"4294967295" doc:"swap in MiB that may be used besides memory_limit_mb"`

	Capabilities []string `json:"capabilities" default:"[]" doc:"Linux capabilities of the program inside its user namespace, such as NET_RAW; none are needed for ports below 1024"`
	Seccomp      *Seccomp `json:"seccomp" doc:"changes of the system call filter"`
	Rootless     Switch   `json:"rootless" default:"\"auto\"" doc:"work without root privileges; auto: unless root runs zbox; false: refuse to run for another user"`
	Strict       bool     `json:"strict" default:"true" doc:"refuse to run with a limit that cannot be applied; false: without root privileges, run and warn"`

	// file is the name for messages, data its content and places the offsets of the values that are in it, by path ("mounts[0].source").
	file   string
	data   []byte
	places map[string]int
}

// PortForward leads a port of the host into the sandbox.
type PortForward struct {
	Host     int64  `json:"host" need:"yes" min:"1" max:"65535" doc:"port on the host; no two entries may share it, but for different protocols or addresses"`
	Sandbox  int64  `json:"sandbox" need:"yes" min:"1" max:"65535" doc:"port inside the sandbox"`
	Protocol string `json:"protocol" default:"\"tcp\"" values:"tcp,udp" doc:"protocol of both ports"`
	Bind     string `json:"bind" default:"\"0.0.0.0\"" doc:"IPv4 address of the host that the port is on; 0.0.0.0 is all of them"`
}

// Mount shows a file or directory of the host.
type Mount struct {
	Source   string `json:"source" need:"yes" pattern:"^/" doc:"absolute path on the host"`
	Target   string `json:"target" need:"yes" pattern:"^/" doc:"absolute path inside, not / and not in /proc, /sys or /dev; made in the fresh root when it is missing"`
	Readonly bool   `json:"readonly" default:"false" doc:"with all that is mounted below"`
}

// Workspace is a directory of the host that can be written.
type Workspace struct {
	Source string `json:"source" need:"yes" pattern:"^/" doc:"absolute path on the host"`
	Target string `json:"target" default:"\"/workspace\"" pattern:"^/" doc:"absolute path inside"`
}

// Seccomp changes the system call filter: some calls more or less than the built-in list, or a filter of the user's own.
type Seccomp struct {
	Deny    []string `json:"deny" default:"[]" doc:"system calls to refuse with EPERM besides the built-in list"`
	Allow   []string `json:"allow" default:"[]" doc:"system calls of the built-in list to let pass"`
	Profile string   `json:"profile" pattern:"^/" doc:"absolute path of a file with an OCI linux.seccomp object that takes the place of the built-in filter; excludes deny and allow"`
}

// Load reads and checks the configuration at path; "-" is standard input. It reads to the end of the file, so pipes and procfs
// files work, and refuses more than 1 MiB.
func Load(path string) (*Config, error) {
	if path == "" {
		return nil, errors.New("the name of the configuration is empty")
	}
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
	if err := decode(c, data); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, c.locate(err)
	}
	return c, nil
}

// Text is the configuration as it was read.
func (c *Config) Text() []byte { return c.data }

// A FieldError is what is wrong with the value of one field, such as "port_forwards[1].host". Locate makes it one that names file, line
// and column, too.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

func (e *FieldError) Unwrap() error { return e.Err }

// wrong is a FieldError; format and args are those of fmt.Errorf.
func wrong(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// locate puts the file in front of an error, and line and column where the field of a FieldError is in it.
func (c *Config) locate(err error) error {
	place := c.file
	var fe *FieldError
	if errors.As(err, &fe) {
		if at, ok := c.places[fe.Field]; ok {
			e := spec.ErrorAt(c.file, c.data, at, "", "")
			place = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
		}
	}
	return fmt.Errorf("%s: %w", place, err)
}
