package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// IntelRdtStats are the schemata and the monitoring data of the container's class of service (Documentation/arch/x86/resctrl.rst). What the
// machine has not is left out, and so are counters that the hardware cannot tell at the moment.
type IntelRdtStats struct {
	L3CacheSchemaRoot string    `json:"l3_cache_schema_root,omitempty"`
	L3CacheSchema     string    `json:"l3_cache_schema,omitempty"`
	MemBwSchemaRoot   string    `json:"mem_bw_schema_root,omitempty"`
	MemBwSchema       string    `json:"mem_bw_schema,omitempty"`
	MBM               []MBMStat `json:"mbm_stats,omitempty"` // by L3 cache
	CMT               []CMTStat `json:"cmt_stats,omitempty"` // by L3 cache
}

// MBMStat is memory traffic in bytes: to all memory, and to that of the cache's own node.
type MBMStat struct {
	Total uint64 `json:"mbm_total_bytes"`
	Local uint64 `json:"mbm_local_bytes"`
}

// CMTStat is the part of a cache that is in use, in bytes.
type CMTStat struct {
	Occupancy uint64 `json:"llc_occupancy"`
}

// resctrlStats reads what resctrl, mounted at root, tells of the container: of its monitoring group if it has one, otherwise of its class.
func (c *Container) resctrlStats(root string) (IntelRdtStats, error) {
	s, err := c.Spec()
	if err != nil || s.Linux == nil || s.Linux.IntelRdt == nil {
		return IntelRdtStats{}, err
	}
	class := filepath.Join(root, c.closID(s.Linux.IntelRdt))
	group := class
	if s.Linux.IntelRdt.EnableMonitoring {
		group = filepath.Join(class, "mon_groups", c.j.ID)
	}
	var stats IntelRdtStats
	if stats.L3CacheSchemaRoot, stats.MemBwSchemaRoot, err = readSchemata(root); err != nil {
		return stats, err
	}
	if stats.L3CacheSchema, stats.MemBwSchema, err = readSchemata(class); err != nil {
		return stats, err
	}
	return stats, stats.readMonitors(group)
}

// readSchemata returns the lines of the L3 cache and of the memory bandwidth.
func readSchemata(class string) (l3, bandwidth string, err error) {
	data, err := os.ReadFile(filepath.Join(class, "schemata"))
	if err != nil {
		return "", "", fmt.Errorf("reading the schemata: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "L3:"):
			l3 = line
		case strings.HasPrefix(line, "MB:"):
			bandwidth = line
		}
	}
	return l3, bandwidth, nil
}

func (s *IntelRdtStats) readMonitors(group string) error {
	caches, err := filepath.Glob(filepath.Join(group, "mon_data", "mon_L3_*"))
	if err != nil {
		return fmt.Errorf("looking for monitoring data: %w", err)
	}
	for _, dir := range caches {
		occupancy, known, err := readCounter(filepath.Join(dir, "llc_occupancy"))
		if err != nil {
			return err
		}
		if known {
			s.CMT = append(s.CMT, CMTStat{occupancy})
		}
		total, known, err := readCounter(filepath.Join(dir, "mbm_total_bytes"))
		if err != nil {
			return err
		}
		local, localKnown, err := readCounter(filepath.Join(dir, "mbm_local_bytes"))
		if err != nil {
			return err
		}
		if known || localKnown {
			s.MBM = append(s.MBM, MBMStat{total, local})
		}
	}
	return nil
}

// readCounter reads a number of bytes. It is not known where the machine has no such counter, or where the kernel says so.
func readCounter(file string) (n uint64, known bool, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("reading monitoring data: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "Unavailable" || text == "Error" || text == "Unassigned" {
		return 0, false, nil
	}
	if n, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, false, fmt.Errorf("reading monitoring data: %s: %w", file, err)
	}
	return n, true, nil
}
