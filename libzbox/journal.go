package libzbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/spec"
	"github.com/bxrne/zbox/spec/oneshot"
)

// The files of a container's state directory.
const (
	journalFile = "state.json"
	configFile  = "config.json"
	startSocket = "start.sock"
)

// phase is how far a container got; with the life of its processes it gives the Status.
type phase string

const (
	phaseCreating phase = "creating" // side effects may exist
	phaseCreated  phase = "created"  // the stage waits at the start barrier
	phaseStarting phase = "starting" // the barrier may be passed
	phaseStarted  phase = "started"  // the user's process was executed
	phaseDeleted  phase = "deleted"  // only the poststop hooks are left: for all but delete the container is gone
)

// journal is a record of the state file, one JSON object on a line; the last complete one counts. It is written before the first side effect and before each step that would otherwise be
// unknown to `delete --force` after a kill -9 (DESIGN.md, rule 3).
type journal struct {
	Version     int               `json:"version"`
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	OwnerUID    int               `json:"ownerUid"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Phase       phase             `json:"phase"`
	// Worker is the zbox that creates or starts the container right now; it holds the lock.
	Worker processID `json:"worker"`
	// Criu works on the container right now, or is what a killed zbox has left.
	Criu *processID `json:"criu,omitempty"`
	// CriuDir has the log of a restore that has not ended well yet; the log names what CRIU has made there.
	CriuDir string    `json:"criuDir,omitempty"`
	Init    processID `json:"init"`
	// HookOutput is the pipe of the hook that the worker runs right now, see hookOutput; 0 for none.
	HookOutput uint64 `json:"hookOutput,omitempty"`
	// Settled: what start and delete do depends on nothing in the saved configuration, which they need not read.
	Settled bool `json:"settled,omitempty"`
	// Steps is the number of steps of the plan, Tail those behind the start barrier.
	Steps   int          `json:"steps,omitempty"`
	Tail    []tailStep   `json:"tail,omitempty"`
	Cgroup  cgroup.Saved `json:"cgroup"`
	Resctrl string       `json:"resctrl,omitempty"` // the resctrl directory that we made
	// ResctrlMonitor is the monitoring group that we made, which may be in a class of others.
	ResctrlMonitor string `json:"resctrlMonitor,omitempty"`
	// CgroupOptions are those of the machine's cgroup v2, which criu may have cleared while they stand here.
	CgroupOptions []string `json:"cgroupOptions,omitempty"`
}

const journalVersion = 1

// Container is one container of a Runtime, as its state directory tells.
type Container struct {
	runtime *Runtime
	dir     string
	lock    *os.File // the state directory, locked; nil when only read
	j       journal
	spec    *specs.Spec
	made    *os.File // the state directory, not locked, when this process made it; nil behind Remove
}

// ID is the container's id.
func (c *Container) ID() string { return c.j.ID }

// InitPid is the pid of the container's init process, also of one that has ended; 0 when none was made.
func (c *Container) InitPid() int { return c.j.Init.Pid }

// CgroupDirs are the absolute directories of the container's cgroup by controller, as in /proc/self/cgroup; on v2 only "". They are nil
// without a cgroup.
func (c *Container) CgroupDirs() map[string]string { return c.j.Cgroup.Paths }

// Load reads a container's state, without locking it. The error of a container that is not there is ErrNotExist.
func (r *Runtime) Load(id string) (*Container, error) {
	if err := validateID(id); err != nil {
		return nil, err
	}
	c := &Container{runtime: r, dir: filepath.Join(r.opts.Root, id)}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// read is readJournal for a container that is not being deleted.
func (c *Container) read() error {
	if err := c.readJournal(); err != nil {
		return err
	}
	if c.j.Phase == phaseDeleted {
		return ErrNotExist
	}
	return nil
}

// readJournal reads the last complete record. A last line without its newline was cut off by a crash while it was written.
func (c *Container) readJournal() error {
	path := filepath.Join(c.dir, journalFile)
	data, err := readNoFollow(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("reading the state file: %w", err)
	}
	record := lastRecord(data)
	if record == nil { // made, and not yet written
		return ErrNotExist
	}
	c.j = journal{}
	if err := oneshot.Unmarshal(record, &c.j); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if c.j.Version != journalVersion {
		return fmt.Errorf("%s: version %d is not known to this zbox", path, c.j.Version)
	}
	return nil
}

// readOlderRecord reads the last record that can be read at all.
func (c *Container) readOlderRecord() bool {
	data, err := readNoFollow(filepath.Join(c.dir, journalFile))
	if err != nil {
		return false
	}
	lines := bytes.Split(data, []byte{'\n'})
	for i := len(lines) - 1; i >= 0; i-- {
		c.j = journal{}
		if oneshot.Unmarshal(lines[i], &c.j) == nil && c.j.Version == journalVersion {
			return true
		}
	}
	return false
}

// lastRecord is the last complete line, or nil.
func lastRecord(data []byte) []byte {
	end := bytes.LastIndexByte(data, '\n')
	if end < 0 {
		return nil
	}
	return data[bytes.LastIndexByte(data[:end], '\n')+1 : end]
}

// readNoFollow reads a file of ours; a link in its place is an error.
func readNoFollow(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	// In one read, most of the time, where io.ReadAll would begin with half a kilobyte.
	data := make([]byte, 0, st.Size+1)
	for {
		n, err := unix.Read(fd, data[len(data):cap(data)])
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			return data, nil
		}
		data = slices.Grow(data[:len(data)+n], 1)
	}
}

// writeJournal appends the state as one more record, with a single write(2). It is no replacement by rename(2): on ext4 that
// waits for the disk, which costs a third of a container's start.
func (c *Container) writeJournal() error {
	data, err := oneshot.Marshal(&c.j)
	if err != nil {
		return fmt.Errorf("writing the state file: %w", err)
	}
	return c.writeFile(journalFile, unix.O_APPEND, append(data, '\n'))
}

// writeFile makes or extends a file of the state directory.
func (c *Container) writeFile(name string, flags int, data []byte) error {
	path := filepath.Join(c.dir, name)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC|flags, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer unix.Close(fd)
	if n, err := unix.Write(fd, data); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	} else if n != len(data) {
		return fmt.Errorf("writing %s: %w", path, unix.ENOSPC)
	}
	return nil
}

// Spec is the configuration as it was at create: later edits of the bundle have no effect (runtime.md, lifecycle, step 2).
func (c *Container) Spec() (*specs.Spec, error) {
	if c.spec != nil {
		return c.spec, nil
	}
	data, err := readNoFollow(filepath.Join(c.dir, configFile))
	if err != nil {
		return nil, fmt.Errorf("reading the saved configuration: %w", err)
	}
	if c.spec, err = spec.Parse("the saved "+configFile, data); err != nil {
		return nil, err
	}
	return c.spec, nil
}
