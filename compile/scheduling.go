package compile

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/plan"
)

// The numbers of linux/sched.h.
var schedulerPolicies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3, specs.SchedISO: 4, specs.SchedIdle: 5,
	specs.SchedDeadline: 6,
}

var schedulerFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: 0x01, specs.SchedFlagReclaim: 0x02, specs.SchedFlagDLOverrun: 0x04, specs.SchedFlagKeepPolicy: 0x08,
	specs.SchedFlagKeepParams: 0x10, specs.SchedFlagUtilClampMin: 0x20, specs.SchedFlagUtilClampMax: 0x40,
}

// The numbers of linux/ioprio.h.
var ioClasses = map[specs.IOPriorityClass]uint32{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}

const ioClassShift = 13

func (c *compiler) scheduling() error {
	if err := c.scheduler(); err != nil {
		return err
	}
	p := c.process.IOPriority
	if p == nil {
		return nil
	}
	class, ok := ioClasses[p.Class]
	if !ok {
		return fmt.Errorf("process.ioPriority.class: %q is not an I/O priority class", p.Class)
	}
	if p.Priority < 0 || p.Priority > 7 {
		return fmt.Errorf("process.ioPriority.priority: %d is out of range 0 to 7", p.Priority)
	}
	c.add("process.ioPriority", &plan.IOPriority{Value: class<<ioClassShift | uint32(p.Priority)})
	return nil
}

func (c *compiler) scheduler() error {
	s := c.process.Scheduler
	if s == nil {
		return nil
	}
	policy, ok := schedulerPolicies[s.Policy]
	if !ok {
		return fmt.Errorf("process.scheduler.policy: %q is not a scheduling policy", s.Policy)
	}
	step := &plan.Scheduler{
		Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	for i, f := range s.Flags {
		bit, ok := schedulerFlags[f]
		if !ok {
			return fmt.Errorf("process.scheduler.flags[%d]: %q is not a scheduling flag", i, f)
		}
		step.Flags |= bit
	}
	c.add("process.scheduler", step)
	return nil
}

// The numbers of linux/mempolicy.h.
var memoryModes = map[specs.MemoryPolicyModeType]uint32{
	specs.MpolDefault: 0, specs.MpolPreferred: 1, specs.MpolBind: 2, specs.MpolInterleave: 3, specs.MpolLocal: 4,
	specs.MpolPreferredMany: 5, specs.MpolWeightedInterleave: 6,
}

var memoryFlags = map[specs.MemoryPolicyFlagType]uint32{
	specs.MpolFNumaBalancing: 1 << 13, specs.MpolFRelativeNodes: 1 << 14, specs.MpolFStaticNodes: 1 << 15,
}

func (c *compiler) memoryPolicy() error {
	m := c.spec.Linux.MemoryPolicy
	if m == nil {
		return nil
	}
	mode, ok := memoryModes[m.Mode]
	if !ok {
		return fmt.Errorf("linux.memoryPolicy.mode: %q is not a memory policy", m.Mode)
	}
	for i, f := range m.Flags {
		bit, ok := memoryFlags[f]
		if !ok {
			return fmt.Errorf("linux.memoryPolicy.flags[%d]: %q is not a memory policy flag", i, f)
		}
		mode |= bit
	}
	nodes, err := parseMask(m.Nodes)
	if err != nil {
		return fmt.Errorf("linux.memoryPolicy.nodes: %w", err)
	}
	c.add("linux.memoryPolicy", &plan.MemoryPolicy{Mode: mode, Nodes: nodes})
	return nil
}

// maxBit bounds lists of CPUs and nodes; the kernel's own limits are far below.
const maxBit = 1 << 16

// parseMask turns a list such as 0-3,7 into a bit mask, little endian and a multiple of 8 bytes; "" is the empty one.
func parseMask(list string) ([]byte, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	mask := new(big.Int)
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 32)
		b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 32)
		if err1 != nil || err2 != nil || a > b || b >= maxBit {
			return nil, fmt.Errorf("%q is not a list such as 0-3,7", list)
		}
		for i := a; i <= b; i++ {
			mask.SetBit(mask, int(i), 1)
		}
	}
	out := mask.Bytes()
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	for len(out)%8 != 0 {
		out = append(out, 0)
	}
	return out, nil
}
