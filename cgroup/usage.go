package cgroup

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// Usage is what the kernel has counted for a cgroup since it was made. What the cgroup has no controller for, or the kernel no counter,
// is 0.
type Usage struct {
	CPU        time.Duration
	MemoryPeak uint64 // bytes
	OOMKills   uint64 // processes that the out-of-memory killer has killed
	PidsHits   uint64 // forks and clones that pids.max has refused
}

// Usage reads the counters themselves, a file for each, and nothing else: Stats reads some twenty.
func (c *Cgroup) Usage() Usage {
	if c.manager == nil || c.saved.None {
		return Usage{}
	}
	paths := c.saved.Paths
	if c.saved.Version == 2 {
		dir := paths[""]
		return Usage{
			CPU:        time.Duration(counter(dir, "cpu.stat", "usage_usec")) * time.Microsecond,
			MemoryPeak: counter(dir, "memory.peak", ""),
			OOMKills:   counter(dir, "memory.events", "oom_kill"),
			PidsHits:   counter(dir, "pids.events", "max"),
		}
	}
	return Usage{
		CPU:        time.Duration(counter(paths["cpuacct"], "cpuacct.usage", "")),
		MemoryPeak: counter(paths["memory"], "memory.max_usage_in_bytes", ""),
		OOMKills:   counter(paths["memory"], "memory.oom_control", "oom_kill"),
		PidsHits:   counter(paths["pids"], "pids.events", "max"),
	}
}

// counter reads one number: that of a file with nothing else, or that behind a key.
func counter(dir, file, key string) uint64 {
	if dir == "" {
		return 0
	}
	text, err := os.ReadFile(dir + "/" + file)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		name, value, found := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		if !found {
			name, value = nil, name
		}
		if string(name) == key {
			n, _ := strconv.ParseUint(string(value), 10, 64)
			return n
		}
	}
	return 0
}
