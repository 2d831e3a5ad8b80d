package translate

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// IDRange is Size consecutive ids of the host from Start on.
type IDRange struct {
	Start, Size uint32
}

// DefaultRange is what the sandbox's ids are mapped to when root runs zbox and /etc/subuid or /etc/subgid has no range for
// root. It lies above everything that distributions and systemd hand out (container ids of systemd-nspawn end at 1879048191,
// systemd's "Users, Groups, UIDs and GIDs"), so no account and no file of the host belongs to it.
var DefaultRange = IDRange{Start: 1879048192, Size: rangeSize}

// rangeSize covers every id that a usual /etc/passwd holds, nobody (65534) included.
const rangeSize = 65536

// Options are the facts of the machine and of the caller that decide what the bundle looks like.
type Options struct {
	// Terminal gives the process a terminal, and Term (default "xterm") is then its TERM.
	Terminal bool
	Term     string
	// UID and GID are the caller's effective ids. With UID 0, SubUID and SubGID are what the sandbox's ids are mapped to; a zero
	// range is DefaultRange. Otherwise only the caller's own ids are there, as 0.
	UID, GID       uint32
	SubUID, SubGID IDRange
	// CgroupV2: the controllers are on cgroup v2. Only there can the out-of-memory killer end the sandbox as a whole.
	CgroupV2 bool
	// Arch is the GOARCH of the programs inside; "" is that of zbox.
	Arch string
}

// HostOptions reads the options off the machine: the effective ids, /etc/subuid and /etc/subgid, the cgroup version.
func HostOptions() (Options, error) {
	o := Options{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Arch: runtime.GOARCH}
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	o.CgroupV2 = err == nil
	if o.UID != 0 {
		return o, nil
	}
	if o.SubUID, err = readSubordinate("/etc/subuid"); err != nil {
		return o, err
	}
	o.SubGID, err = readSubordinate("/etc/subgid")
	return o, err
}

// readSubordinate finds root's first range of at least rangeSize ids in a file of subuid(5); DefaultRange when there is none.
func readSubordinate(path string) (IDRange, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return DefaultRange, nil
	}
	if err != nil {
		return IDRange{}, fmt.Errorf("reading the subordinate ids of root: %w", err)
	}
	return parseSubordinate(string(data)), nil
}

// parseSubordinate skips malformed lines, as newuidmap(1) does.
func parseSubordinate(text string) IDRange {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		f := strings.Split(lines.Text(), ":")
		if len(f) != 3 || (f[0] != "root" && f[0] != "0") {
			continue
		}
		start, err1 := strconv.ParseUint(f[1], 10, 32)
		size, err2 := strconv.ParseUint(f[2], 10, 32)
		// A range that holds the host's root would undo the mapping.
		if err1 == nil && err2 == nil && start > 0 && size >= rangeSize && start+rangeSize < 1<<32 {
			return IDRange{Start: uint32(start), Size: rangeSize}
		}
	}
	return DefaultRange
}
