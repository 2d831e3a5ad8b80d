// Package report is what the probe tells the integration tests.
package report

import "strings"

// Report is what the probe sees from inside a container.
type Report struct {
	Args        []string
	Env         []string
	Cwd         string
	Pid         int
	Sid         int
	Pgid        int
	UID         []int // real, effective, saved, filesystem
	GID         []int
	Groups      []int
	Umask       int
	Caps        map[string]string // Inh, Prm, Eff, Bnd, Amb in hexadecimal
	NoNewPrivs  int
	Seccomp     int
	OOMScoreAdj int
	Rlimits     map[string][2]uint64 // soft, hard
	FDs         map[int]string
	Namespaces  map[string]string
	Hostname    string
	Domainname  string
	Mounts      []string // lines of mountinfo
	Policy      int
	Nice        int
	RTPriority  int
	IOPriority  int
	Affinity    []int
	Personality uint64
	Columns     int
	Rows        int
	TTY         string // controlling terminal, as /proc/self/stat numbers it
	Monotonic   int64  // seconds
	Boottime    int64  // seconds
	SessionKey  string
	MemPolicy   int
}

// MountLine is one line of mountinfo, taken apart.
type MountLine struct {
	Root, Point, Options, Propagation, Type, Source, Super string
}

// MountAt finds the topmost mount at a path of the container.
func (r Report) MountAt(path string) (MountLine, bool) {
	var found MountLine
	ok := false
	for _, line := range r.Mounts {
		if m := ParseMount(line); m.Point == path {
			found, ok = m, true
		}
	}
	return found, ok
}

// ParseMount takes a line of mountinfo apart, see proc_pid_mountinfo(5).
func ParseMount(line string) MountLine {
	before, after, _ := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	m := MountLine{Root: left[3], Point: left[4], Options: left[5], Propagation: strings.Join(left[6:], " ")}
	m.Type, m.Source = right[0], right[1]
	if len(right) > 2 {
		m.Super = right[2]
	}
	return m
}
