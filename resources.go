package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
)

// resourceFlags are the limits of update.
func resourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "blkio-weight", Usage: "share of block I/O, `10-1000`"},
		&cli.StringFlag{Name: "cpu-period", Usage: "period of --cpu-quota, `TIME`"},
		&cli.StringFlag{Name: "cpu-quota", Usage: "processor `TIME` within a period; -1 is no limit"},
		&cli.StringFlag{Name: "cpu-burst", Usage: "unused quota that may be saved up, `TIME`"},
		&cli.StringFlag{Name: "cpu-share", Usage: "share of processor time, `2-262144`"},
		&cli.StringFlag{Name: "cpu-rt-period", Usage: "period of --cpu-rt-runtime, `TIME` (cgroup v1)"},
		&cli.StringFlag{Name: "cpu-rt-runtime", Usage: "real-time `TIME` within a period (cgroup v1)"},
		&cli.StringFlag{Name: "cpu-idle", Usage: "`1` to run only when no other cgroup wants to, 0 for normal"},
		&cli.StringFlag{Name: "cpuset-cpus", Usage: "processors to use, `LIST` such as 0-2,7"},
		&cli.StringFlag{Name: "cpuset-mems", Usage: "memory nodes to use, `LIST`"},
		&cli.StringFlag{Name: "memory", Usage: "memory limit, `SIZE`"},
		&cli.StringFlag{Name: "memory-reservation", Usage: "memory that is kept under pressure, `SIZE`"},
		&cli.StringFlag{Name: "memory-swap", Usage: "limit of memory and swap together, `SIZE`"},
		&cli.StringFlag{Name: "kernel-memory", Hidden: true, Usage: "obsolete: no kernel has it"},
		&cli.StringFlag{Name: "kernel-memory-tcp", Hidden: true, Usage: "obsolete: only cgroup v1 has it"},
		&cli.StringFlag{Name: "pids-limit", Usage: "number of processes; -1 is no limit"},
	}
}

// resourcesOf reads resourceFlags; what is not given stays nil, which means no change.
func resourcesOf(c *cli.Context) (*specs.LinuxResources, error) {
	r := reader{c: c}
	resources := &specs.LinuxResources{
		CPU: &specs.LinuxCPU{
			Period: r.unsigned("cpu-period"), Quota: r.signed("cpu-quota"), Burst: r.unsigned("cpu-burst"), Shares: r.unsigned("cpu-share"),
			RealtimePeriod: r.unsigned("cpu-rt-period"), RealtimeRuntime: r.signed("cpu-rt-runtime"), Idle: r.signed("cpu-idle"),
			Cpus: c.String("cpuset-cpus"), Mems: c.String("cpuset-mems"),
		},
		Memory: &specs.LinuxMemory{
			Limit: r.size("memory"), Reservation: r.size("memory-reservation"), Swap: r.size("memory-swap"),
			Kernel: r.size("kernel-memory"), KernelTCP: r.size("kernel-memory-tcp"),
		},
		Pids:    &specs.LinuxPids{Limit: r.signed("pids-limit")},
		BlockIO: &specs.LinuxBlockIO{Weight: r.weight("blkio-weight")},
	}
	if *resources.CPU == (specs.LinuxCPU{}) {
		resources.CPU = nil
	}
	if *resources.Memory == (specs.LinuxMemory{}) {
		resources.Memory = nil
	}
	if resources.Pids.Limit == nil {
		resources.Pids = nil
	}
	if resources.BlockIO.Weight == nil {
		resources.BlockIO = nil
	}
	return resources, r.err
}

// reader reads numbers from flags and keeps the first error.
type reader struct {
	c   *cli.Context
	err error
}

func (r *reader) fail(name, kind string) {
	if r.err == nil {
		r.err = fmt.Errorf("--%s: %q is not %s", name, r.c.String(name), kind)
	}
}

func (r *reader) unsigned(name string) *uint64 {
	if !r.c.IsSet(name) {
		return nil
	}
	v, err := strconv.ParseUint(r.c.String(name), 10, 64)
	if err != nil {
		r.fail(name, "a number")
	}
	return &v
}

func (r *reader) signed(name string) *int64 {
	if !r.c.IsSet(name) {
		return nil
	}
	v, err := strconv.ParseInt(r.c.String(name), 10, 64)
	if err != nil {
		r.fail(name, "a number")
	}
	return &v
}

func (r *reader) weight(name string) *uint16 {
	v := r.unsigned(name)
	if v == nil {
		return nil
	}
	if *v < 10 || *v > 1000 {
		r.fail(name, "between 10 and 1000")
	}
	w := uint16(*v)
	return &w
}

func (r *reader) size(name string) *int64 {
	if !r.c.IsSet(name) {
		return nil
	}
	v, err := parseSize(r.c.String(name))
	if err != nil {
		r.fail(name, "a size such as 1048576, 512m, 1.5GiB or -1")
	}
	return &v
}

// parseSize reads a number of bytes with an optional unit (k, m, g, t, p, with an optional i and b, in any case: powers of 1024), or -1.
func parseSize(text string) (int64, error) {
	if text == "-1" {
		return -1, nil
	}
	bad := fmt.Errorf("%q is not a size", text)
	number := strings.TrimRight(strings.TrimSpace(text), "bBiIkKmMgGtTpP ")
	unit := strings.ToLower(strings.TrimSpace(strings.TrimSpace(text)[len(number):]))
	shift, known := sizeUnits[strings.TrimSuffix(strings.TrimSuffix(unit, "b"), "i")]
	if !known || strings.Trim(number, "0123456789.") != "" {
		return 0, bad
	}
	if v, err := strconv.ParseInt(number, 10, 64); err == nil {
		if v > math.MaxInt64>>shift {
			return 0, bad
		}
		return v << shift, nil
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v*float64(int64(1)<<shift) >= math.MaxInt64 {
		return 0, bad
	}
	return int64(v * float64(int64(1)<<shift)), nil
}

var sizeUnits = map[string]uint{"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
