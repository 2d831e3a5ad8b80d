package compile

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// LimitWords says in words what linux.resources limits, in the order of the spec.
func LimitWords(r *specs.LinuxResources) []string {
	if r == nil {
		return nil
	}
	var w words
	w.memory(r.Memory)
	w.cpu(r.CPU)
	if r.Pids != nil && r.Pids.Limit != nil {
		w.add("at most %d processes", *r.Pids.Limit)
	}
	if n := len(r.Devices); n > 0 {
		w.add("%s", count(n, "device rule"))
	}
	if b := r.BlockIO; b != nil {
		w.number("block I/O weight", b.Weight)
		if n := len(b.ThrottleReadBpsDevice) + len(b.ThrottleWriteBpsDevice) + len(b.ThrottleReadIOPSDevice) + len(b.ThrottleWriteIOPSDevice); n > 0 {
			w.add("%s", count(n, "block I/O throttle"))
		}
	}
	for _, h := range r.HugepageLimits {
		w.add("%s huge pages up to %d bytes", h.Pagesize, h.Limit)
	}
	for _, device := range sortedKeys(r.Rdma) {
		w.add("rdma limits of %s", device)
	}
	if r.Network != nil {
		w.add("network class or priorities")
	}
	for _, key := range sortedKeys(r.Unified) {
		w.add("%s = %s", key, r.Unified[key])
	}
	return w.list
}

type words struct{ list []string }

func (w *words) add(format string, args ...any) {
	w.list = append(w.list, fmt.Sprintf(format, args...))
}

// number adds a value that may be absent.
func (w *words) number(what string, value any) {
	switch v := value.(type) {
	case *int64:
		if v != nil {
			w.add("%s %d", what, *v)
		}
	case *uint64:
		if v != nil {
			w.add("%s %d", what, *v)
		}
	case *uint16:
		if v != nil {
			w.add("%s %d", what, *v)
		}
	}
}

func (w *words) memory(m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	w.number("memory limit in bytes", m.Limit)
	w.number("memory reservation in bytes", m.Reservation)
	w.number("memory and swap limit in bytes", m.Swap)
	w.number("swappiness", m.Swappiness)
}

func (w *words) cpu(c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	w.number("CPU shares", c.Shares)
	w.number("CPU quota in µs", c.Quota)
	w.number("CPU period in µs", c.Period)
	w.number("CPU burst in µs", c.Burst)
	w.number("CPU realtime runtime in µs", c.RealtimeRuntime)
	w.number("CPU realtime period in µs", c.RealtimePeriod)
	w.number("CPU idle", c.Idle)
	if c.Cpus != "" {
		w.add("CPUs %s", c.Cpus)
	}
	if c.Mems != "" {
		w.add("memory nodes %s", c.Mems)
	}
}
