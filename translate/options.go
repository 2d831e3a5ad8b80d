package translate

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
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
	// range is DefaultRange. Otherwise the caller's own ids are there as 0, and SubUID and SubGID from 1 on if they are not zero.
	UID, GID       uint32
	SubUID, SubGID IDRange
	// Nested: the caller is root of a user namespace without these ids. It is then the sandbox's root itself, as any other caller is.
	Nested bool
	// SudoUID is the user who called sudo, whose directories root trusts, too; 0 for none.
	SudoUID uint32
	// Kernel is the running one; the zero value is a new one.
	Kernel Kernel
	// CgroupV2: the controllers are on cgroup v2. Only there can the out-of-memory killer end the sandbox as a whole.
	CgroupV2 bool
	// Portable asks for a bundle that people read and that other runtimes run, and for warnings of what they will do otherwise.
	Portable bool
	// HelperProgram is what a sandbox with an init has as its process 1, and what makes the root of a portable bundle: see
	// libzbox.HelperProgram.
	HelperProgram []byte
	// Zbox is the absolute path of zbox for the hooks, StateRoot its --root, and Path the PATH where they look for pasta.
	Zbox, StateRoot, Path string
	// Nameservers are the resolvers of the host that a sandbox can reach; Bundle finds them.
	Nameservers []netip.Addr
	// Arch is the GOARCH of the programs inside; "" is that of zbox.
	Arch string

	// Roots are the root file systems that sandboxes share; nil makes one in the bundle.
	Roots *Roots

	dir    string // the bundle's, an absolute path
	rootfs string // an absolute path; "" is in the bundle
}

// HostOptions reads the options off the machine: the effective ids, /etc/subuid and /etc/subgid, the cgroup version.
func HostOptions() (Options, error) {
	o := Options{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Arch: runtime.GOARCH, Path: os.Getenv("PATH"), Kernel: runningKernel()}
	var err error
	if o.Zbox, err = os.Executable(); err != nil {
		return o, fmt.Errorf("finding zbox itself: %w", err)
	}
	_, err = os.Stat("/sys/fs/cgroup/cgroup.controllers")
	o.CgroupV2 = err == nil
	if o.UID == 0 {
		err = o.findRootsRanges()
	} else {
		err = o.findOwnRanges()
	}
	return o, err
}

// unprivileged: the sandbox's root is the caller.
func (o Options) unprivileged() bool { return o.UID != 0 || o.Nested }

// findRootsRanges finds the ids that the sandboxes of root have.
func (o *Options) findRootsRanges() error {
	if id, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32); err == nil {
		o.SudoUID = uint32(id)
	}
	names := []string{"root", "0"}
	var err error
	if o.SubUID, err = readSubordinate("/etc/subuid", names, rangeSize, DefaultRange); err != nil {
		return err
	}
	if o.SubGID, err = readSubordinate("/etc/subgid", names, rangeSize, DefaultRange); err != nil {
		return err
	}
	uids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return fmt.Errorf("reading the ids of the user namespace: %w", err)
	}
	gids, err := os.ReadFile("/proc/self/gid_map")
	if err != nil {
		return fmt.Errorf("reading the ids of the user namespace: %w", err)
	}
	if o.Nested = !mapped(string(uids), o.SubUID) || !mapped(string(gids), o.SubGID); o.Nested {
		o.SubUID, o.SubGID = IDRange{}, IDRange{}
	}
	return nil
}

// mapped reports whether a user namespace with that uid_map (user_namespaces(7)) has all ids of a range. The initial one has all there are.
func mapped(idMap string, r IDRange) bool {
	for line := range strings.Lines(idMap) {
		var start, outside, size uint64
		n, _ := fmt.Sscan(line, &start, &outside, &size)
		if first, end := uint64(r.Start), uint64(r.Start)+uint64(r.Size); n == 3 && start <= first && end <= start+size {
			return true
		}
	}
	return false
}

// findOwnRanges finds the subordinate ids of a caller who is not root. Both kinds are needed, and the two programs that map them.
func (o *Options) findOwnRanges() error {
	for _, program := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil
		}
	}
	names := namesOf(strconv.FormatUint(uint64(o.UID), 10))
	uids, err := readSubordinate("/etc/subuid", names, 1, IDRange{})
	if err != nil {
		return err
	}
	gids, err := readSubordinate("/etc/subgid", names, 1, IDRange{})
	if err == nil && uids.Size > 0 && gids.Size > 0 {
		o.SubUID, o.SubGID = uids, gids
	}
	return err
}

// namesOf are a uid and the names that /etc/passwd has for it. Users of a directory service are in /etc/subuid by number.
func namesOf(uid string) []string {
	names := []string{uid}
	data, _ := os.ReadFile("/etc/passwd")
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == uid {
			names = append(names, f[0])
		}
	}
	return names
}

// readSubordinate finds the first range of at least so many ids that a file of subuid(5) has for one of the names, cut to rangeSize;
// otherwise it is preset.
func readSubordinate(path string, names []string, least uint64, preset IDRange) (IDRange, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return preset, nil
	}
	if err != nil {
		return IDRange{}, fmt.Errorf("reading subordinate ids: %w", err)
	}
	if r, ok := parseSubordinate(string(data), names, least); ok {
		return r, nil
	}
	return preset, nil
}

// parseSubordinate skips malformed lines, as newuidmap(1) does.
func parseSubordinate(text string, names []string, least uint64) (IDRange, bool) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		f := strings.Split(lines.Text(), ":")
		if len(f) != 3 || !slices.Contains(names, f[0]) {
			continue
		}
		start, err1 := strconv.ParseUint(f[1], 10, 32)
		size, err2 := strconv.ParseUint(f[2], 10, 32)
		size = min(size, rangeSize)
		// A range that holds the host's root would undo the mapping.
		if err1 == nil && err2 == nil && start > 0 && size >= least && start+size < 1<<32 {
			return IDRange{Start: uint32(start), Size: uint32(size)}, true
		}
	}
	return IDRange{}, false
}
