package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// record is the journal of one sandbox: what Down has to undo besides what it finds by its name. It is written before anything is
// made and removed when all is gone.
type record struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	// Namespace is the inode of the host's network namespace.
	Namespace uint64 `json:"namespace"`
	// Firewalls are the chains that hold rules for the sandbox.
	Firewalls []chainRef `json:"firewalls,omitempty"`
}

const recordVersion = 1

func recordPath(stateDir, id string) string { return filepath.Join(stateDir, id+".json") }

// write replaces the record in one step.
func (r record) write(stateDir string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding the journal: %w", err)
	}
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return fmt.Errorf("making the journal's directory: %w", err)
	}
	path := recordPath(stateDir, r.ID)
	if err := os.WriteFile(path+"~", data, 0o600); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// readRecord returns nil when there is none.
func readRecord(stateDir, id string) (*record, error) {
	path := recordPath(stateDir, id)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	r := &record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("%s: version %d is not known to this zbox", path, r.Version)
	}
	return r, nil
}

// removeRecord also removes the directory behind the last record. What a kill left half-written goes, too.
func removeRecord(stateDir, id string) error {
	path := recordPath(stateDir, id)
	for _, p := range []string{path + "~", path} {
		if err := unix.Unlink(p); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("removing %s: %w", p, err)
		}
	}
	_ = unix.Rmdir(stateDir)
	return nil
}

// lockPath is one for all state directories: what sandboxes share is the host's network.
const lockPath = "/run/zbox-network.lock"

// lock makes sandboxes connect one by one, so that two do not find the same subnet free, or the last one does not switch off what the next
// one needs. A lock goes with its process.
func lock() (*os.File, error) {
	fd, err := unix.Open(lockPath, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: lockPath, Err: err}
	}
	f := os.NewFile(uintptr(fd), lockPath)
	for {
		err := unix.Flock(fd, unix.LOCK_EX)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, &os.PathError{Op: "lock", Path: lockPath, Err: err}
		}
	}
}
