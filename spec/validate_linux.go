package spec

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// propagations are the values of rootfsPropagation: the four of config-linux.md and their recursive forms, which containerd and
// docker write.
var propagations = []string{
	"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable",
}

// validateLinux checks what config-linux.md defines, but for namespaces and what belongs to them.
func validateLinux(linux *specs.Linux) error {
	if linux == nil {
		return nil
	}
	if err := validateDevices(linux.Devices); err != nil {
		return err
	}
	for _, list := range []struct {
		field string
		paths []string
	}{{"linux.maskedPaths", linux.MaskedPaths}, {"linux.readonlyPaths", linux.ReadonlyPaths}} {
		for i, p := range list.paths {
			if err := requireAbsolute(fmt.Sprintf("%s[%d]", list.field, i), p); err != nil {
				return err
			}
		}
	}
	if linux.RootfsPropagation != "" {
		if err := requireOneOf("linux.rootfsPropagation", linux.RootfsPropagation, propagations); err != nil {
			return err
		}
	}
	if linux.Resources != nil {
		if err := validateResources("linux.resources.", linux.Resources); err != nil {
			return err
		}
	}
	if linux.Seccomp != nil {
		if err := ValidateSeccomp(linux.Seccomp); err != nil {
			return err
		}
	}
	if err := validatePersonality(linux.Personality); err != nil {
		return err
	}
	if err := validateMemoryPolicy(linux.MemoryPolicy); err != nil {
		return err
	}
	return validateIntelRdt(linux.IntelRdt)
}

// Device numbers have 12 and 20 bits in the kernel (MINORBITS).
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

func validateDevices(devices []specs.LinuxDevice) error {
	for i, d := range devices {
		field := fmt.Sprintf("linux.devices[%d]", i)
		if err := requireAbsolute(field+".path", d.Path); err != nil {
			return err
		}
		field += " (" + printable(d.Path, 100) + ")"
		if err := requireOneOf(field+".type", d.Type, []string{"b", "c", "p", "u"}); err != nil {
			return err
		}
		if d.Type != "p" && (d.Major < 0 || d.Major > maxMajor) {
			return fmt.Errorf("%s.major: %d is not from 0 to %d", field, d.Major, maxMajor)
		}
		if d.Type != "p" && (d.Minor < 0 || d.Minor > maxMinor) {
			return fmt.Errorf("%s.minor: %d is not from 0 to %d", field, d.Minor, maxMinor)
		}
		if d.UID != nil && *d.UID == invalidID {
			return fmt.Errorf("%s.uid: %d is no user", field, *d.UID)
		}
		if d.GID != nil && *d.GID == invalidID {
			return fmt.Errorf("%s.gid: %d is no group", field, *d.GID)
		}
	}
	return nil
}

func validatePersonality(p *specs.LinuxPersonality) error {
	if p == nil {
		return nil
	}
	domains := []specs.LinuxPersonalityDomain{specs.PerLinux, specs.PerLinux32}
	if err := requireOneOf("linux.personality.domain", p.Domain, domains); err != nil {
		return err
	}
	if len(p.Flags) > 0 {
		return fmt.Errorf("linux.personality.flags: %s: no flags are defined", quoted(p.Flags[0]))
	}
	return nil
}

var memoryPolicyModes = []specs.MemoryPolicyModeType{
	specs.MpolDefault, specs.MpolBind, specs.MpolInterleave, specs.MpolWeightedInterleave, specs.MpolPreferred,
	specs.MpolPreferredMany, specs.MpolLocal,
}

var memoryPolicyFlags = []specs.MemoryPolicyFlagType{
	specs.MpolFNumaBalancing, specs.MpolFRelativeNodes, specs.MpolFStaticNodes,
}

// validateMemoryPolicy is set_mempolicy(2): which modes take nodes and flags.
func validateMemoryPolicy(p *specs.LinuxMemoryPolicy) error {
	if p == nil {
		return nil
	}
	if err := requireOneOf("linux.memoryPolicy.mode", p.Mode, memoryPolicyModes); err != nil {
		return err
	}
	for i, flag := range p.Flags {
		if err := requireOneOf(fmt.Sprintf("linux.memoryPolicy.flags[%d]", i), flag, memoryPolicyFlags); err != nil {
			return err
		}
	}
	if err := validateList("linux.memoryPolicy.nodes", p.Nodes); err != nil {
		return err
	}
	none := strings.Trim(p.Nodes, " \t\n,") == ""
	switch p.Mode {
	case specs.MpolDefault, specs.MpolLocal:
		if !none {
			return fmt.Errorf("linux.memoryPolicy.nodes: %s takes none", p.Mode)
		}
	case specs.MpolPreferred:
		// Without nodes it is the same as MPOL_LOCAL.
	default:
		if none {
			return fmt.Errorf("linux.memoryPolicy.nodes: missing; %s needs at least one", p.Mode)
		}
	}
	static, relative := slices.Contains(p.Flags, specs.MpolFStaticNodes), slices.Contains(p.Flags, specs.MpolFRelativeNodes)
	switch {
	case static && relative:
		return fmt.Errorf("linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other")
	case (static || relative) && none:
		return fmt.Errorf("linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES need nodes")
	case slices.Contains(p.Flags, specs.MpolFNumaBalancing) && p.Mode != specs.MpolBind && p.Mode != specs.MpolPreferredMany:
		return fmt.Errorf("linux.memoryPolicy.flags: MPOL_F_NUMA_BALANCING needs MPOL_BIND or MPOL_PREFERRED_MANY")
	}
	return nil
}

// validateIntelRdt is config-linux.md, "IntelRdt". closID becomes a directory of resctrl; "/" is resctrl itself.
func validateIntelRdt(rdt *specs.LinuxIntelRdt) error {
	if rdt == nil {
		return nil
	}
	if id := rdt.ClosID; id == "." || id == ".." || id != "/" && strings.ContainsAny(id, "/\n") {
		return fmt.Errorf("linux.intelRdt.closID: %s is no name of a directory", quoted(id))
	}
	if s := rdt.MemBwSchema; s != "" && !strings.HasPrefix(s, "MB:") {
		return fmt.Errorf("linux.intelRdt.memBwSchema: %s does not start with %q", quoted(s), "MB:")
	}
	if strings.Contains(rdt.MemBwSchema, "\n") {
		return fmt.Errorf("linux.intelRdt.memBwSchema: holds a newline")
	}
	for i, s := range rdt.Schemata {
		if strings.Contains(s, "\n") {
			return fmt.Errorf("linux.intelRdt.schemata[%d]: holds a newline", i)
		}
	}
	return nil
}
