package spec

import (
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var namespaceTypes = []specs.LinuxNamespaceType{
	specs.CgroupNamespace, specs.IPCNamespace, specs.MountNamespace, specs.NetworkNamespace, specs.PIDNamespace,
	specs.TimeNamespace, specs.UserNamespace, specs.UTSNamespace,
}

// validateNamespaces checks linux.namespaces and everything that works only in one of them.
func validateNamespaces(s *specs.Spec) error {
	linux := s.Linux
	if linux == nil {
		linux = &specs.Linux{}
	}
	if err := validateNamespaceList(linux.Namespaces); err != nil {
		return err
	}
	if s.Hostname != "" && !hasNamespace(linux, specs.UTSNamespace) {
		return fmt.Errorf("hostname: needs a uts namespace in linux.namespaces")
	}
	if s.Domainname != "" && !hasNamespace(linux, specs.UTSNamespace) {
		return fmt.Errorf("domainname: needs a uts namespace in linux.namespaces")
	}
	// __NEW_UTS_LEN of the kernel.
	const longest = 64
	if len(s.Hostname) > longest {
		return fmt.Errorf("hostname: %s is %d bytes long, longer than %d", quoted(s.Hostname), len(s.Hostname), longest)
	}
	if len(s.Domainname) > longest {
		return fmt.Errorf("domainname: %s is %d bytes long, longer than %d", quoted(s.Domainname), len(s.Domainname), longest)
	}
	if err := validateTimeOffsets(linux); err != nil {
		return err
	}
	if err := validateUserMappings(linux); err != nil {
		return err
	}
	return validateNetDevices(linux)
}

func validateNamespaceList(namespaces []specs.LinuxNamespace) error {
	first := map[specs.LinuxNamespaceType]int{}
	for i, ns := range namespaces {
		field := fmt.Sprintf("linux.namespaces[%d]", i)
		if err := requireOneOf(field+".type", ns.Type, namespaceTypes); err != nil {
			return err
		}
		if j, ok := first[ns.Type]; ok {
			return fmt.Errorf("%s.type: %s is already in linux.namespaces[%d]", field, ns.Type, j)
		}
		first[ns.Type] = i
		if ns.Path != "" && !path.IsAbs(ns.Path) {
			return fmt.Errorf("%s.path: %s is not an absolute path", field, quoted(ns.Path))
		}
	}
	return nil
}

func hasNamespace(linux *specs.Linux, t specs.LinuxNamespaceType) bool {
	if linux == nil {
		return false
	}
	for _, ns := range linux.Namespaces {
		if ns.Type == t {
			return true
		}
	}
	return false
}

// makesNamespace tells whether the container gets a new namespace of type t, rather than one to join.
func makesNamespace(linux *specs.Linux, t specs.LinuxNamespaceType) bool {
	for _, ns := range linux.Namespaces {
		if ns.Type == t && ns.Path == "" {
			return true
		}
	}
	return false
}

// validateTimeOffsets is time_namespaces(7): two clocks, whose offsets can be set only before something is in the namespace.
func validateTimeOffsets(linux *specs.Linux) error {
	for _, clock := range sortedKeys(linux.TimeOffsets) {
		field := fmt.Sprintf("linux.timeOffsets.%s", printable(clock, 40))
		if clock != "monotonic" && clock != "boottime" {
			return fmt.Errorf("%s: unknown clock; it is monotonic or boottime", field)
		}
		if n := linux.TimeOffsets[clock].Nanosecs; n >= 1e9 {
			return fmt.Errorf("%s.nanosecs: %d is not from 0 to 999999999", field, n)
		}
	}
	if len(linux.TimeOffsets) > 0 && !makesNamespace(linux, specs.TimeNamespace) {
		return fmt.Errorf("linux.timeOffsets: needs a new time namespace in linux.namespaces")
	}
	return nil
}

func validateUserMappings(linux *specs.Linux) error {
	if len(linux.UIDMappings)+len(linux.GIDMappings) > 0 && !hasNamespace(linux, specs.UserNamespace) {
		return fmt.Errorf("linux.uidMappings, linux.gidMappings: need a user namespace in linux.namespaces")
	}
	return validateMappingPair("linux.", linux.UIDMappings, linux.GIDMappings)
}

// validateMappingPair checks the mappings of a user namespace or of a mount: both or none.
func validateMappingPair(prefix string, uids, gids []specs.LinuxIDMapping) error {
	if len(uids) > 0 && len(gids) == 0 {
		return fmt.Errorf("%sgidMappings: missing; %suidMappings needs it beside it", prefix, prefix)
	}
	if len(gids) > 0 && len(uids) == 0 {
		return fmt.Errorf("%suidMappings: missing; %sgidMappings needs it beside it", prefix, prefix)
	}
	if err := validateMappings(prefix+"uidMappings", uids); err != nil {
		return err
	}
	return validateMappings(prefix+"gidMappings", gids)
}

// validateMappings is user_namespaces(7), "Defining user and group ID mappings": ranges that are not empty, stay below
// (uid_t)-1 and do not overlap, and at most 340 of them.
func validateMappings(field string, mappings []specs.LinuxIDMapping) error {
	const most = 340
	if len(mappings) > most {
		return fmt.Errorf("%s: %d ranges are more than the kernel's %d", field, len(mappings), most)
	}
	for i, m := range mappings {
		at := fmt.Sprintf("%s[%d]", field, i)
		if m.Size == 0 {
			return fmt.Errorf("%s.size: must be at least 1", at)
		}
		if end := uint64(m.ContainerID) + uint64(m.Size); end > invalidID {
			return fmt.Errorf("%s: container ids %d to %d do not fit in 32 bits", at, m.ContainerID, end-1)
		}
		if end := uint64(m.HostID) + uint64(m.Size); end > invalidID {
			return fmt.Errorf("%s: host ids %d to %d do not fit in 32 bits", at, m.HostID, end-1)
		}
		for j, other := range mappings[:i] {
			if overlap(m.ContainerID, m.Size, other.ContainerID, other.Size) {
				return fmt.Errorf("%s: container ids overlap those of %s[%d]", at, field, j)
			}
			if overlap(m.HostID, m.Size, other.HostID, other.Size) {
				return fmt.Errorf("%s: host ids overlap those of %s[%d]", at, field, j)
			}
		}
	}
	return nil
}

func overlap(a, aSize, b, bSize uint32) bool {
	return uint64(a) < uint64(b)+uint64(bSize) && uint64(b) < uint64(a)+uint64(aSize)
}

// validateNetDevices is config-linux.md, "Network Devices": they move into a new namespace, under names that are free there.
func validateNetDevices(linux *specs.Linux) error {
	if len(linux.NetDevices) == 0 {
		return nil
	}
	if !makesNamespace(linux, specs.NetworkNamespace) {
		return fmt.Errorf("linux.netDevices: needs a new network namespace in linux.namespaces")
	}
	taken := map[string]string{"lo": "the loopback device"}
	for _, host := range sortedKeys(linux.NetDevices) {
		field := fmt.Sprintf("linux.netDevices[%s]", quoted(host))
		if !validDeviceName(host) || strings.Contains(host, "%") {
			return fmt.Errorf("%s: not the name of a network device", field)
		}
		name := linux.NetDevices[host].Name
		if name == "" {
			name = host
		}
		if !validDeviceName(name) || !validTemplate(name) {
			return fmt.Errorf("%s.name: %s is not the name of a network device", field, quoted(name))
		}
		if strings.Contains(name, "%d") {
			continue
		}
		if by, ok := taken[name]; ok {
			return fmt.Errorf("%s.name: %s is already the name of %s", field, quoted(name), by)
		}
		taken[name] = fmt.Sprintf("linux.netDevices[%s]", quoted(host))
	}
	return nil
}

// validDeviceName is dev_valid_name of the kernel.
func validDeviceName(name string) bool {
	const longest = 15 // IFNAMSIZ without the final zero byte
	return name != "" && name != "." && name != ".." && len(name) <= longest && !strings.ContainsAny(name, "/: \t\n\v\f\r\x00") &&
		strings.IndexByte(name, 0xa0) < 0
}

// validTemplate: one %d, which the kernel replaces by the first free number, is all that may follow a percent sign.
func validTemplate(name string) bool {
	return !strings.Contains(strings.Replace(name, "%d", "", 1), "%")
}
