package spec

import (
	"bytes"
	"encoding/json"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// encoding/json prepares a whole type, all that it refers to included, before it decodes the first value of it. For specs.Spec,
// with Windows, virtual machines and every cgroup controller, that alone is a tenth of what `zbox run` takes. So a configuration
// is decoded in parts: a json.RawMessage ends the type there, and only the parts that are present are prepared.

// topPart are the fields of specs.Spec that Linux has.
type topPart struct {
	Version     string            `json:"ociVersion"`
	Process     json.RawMessage   `json:"process"`
	Root        *specs.Root       `json:"root"`
	Hostname    string            `json:"hostname"`
	Domainname  string            `json:"domainname"`
	Mounts      []specs.Mount     `json:"mounts"`
	Hooks       json.RawMessage   `json:"hooks"`
	Annotations map[string]string `json:"annotations"`
	Linux       json.RawMessage   `json:"linux"`
}

// linuxPart are the fields of specs.Linux.
type linuxPart struct {
	UIDMappings       []specs.LinuxIDMapping           `json:"uidMappings"`
	GIDMappings       []specs.LinuxIDMapping           `json:"gidMappings"`
	Sysctl            map[string]string                `json:"sysctl"`
	Resources         json.RawMessage                  `json:"resources"`
	CgroupsPath       string                           `json:"cgroupsPath"`
	Namespaces        []specs.LinuxNamespace           `json:"namespaces"`
	Devices           []specs.LinuxDevice              `json:"devices"`
	NetDevices        map[string]specs.LinuxNetDevice  `json:"netDevices"`
	Seccomp           json.RawMessage                  `json:"seccomp"`
	RootfsPropagation string                           `json:"rootfsPropagation"`
	MaskedPaths       []string                         `json:"maskedPaths"`
	ReadonlyPaths     []string                         `json:"readonlyPaths"`
	MountLabel        string                           `json:"mountLabel"`
	IntelRdt          json.RawMessage                  `json:"intelRdt"`
	MemoryPolicy      json.RawMessage                  `json:"memoryPolicy"`
	Personality       json.RawMessage                  `json:"personality"`
	TimeOffsets       map[string]specs.LinuxTimeOffset `json:"timeOffsets"`
}

// resourcesPart are the fields of specs.LinuxResources.
type resourcesPart struct {
	Devices        []specs.LinuxDeviceCgroup  `json:"devices"`
	Memory         json.RawMessage            `json:"memory"`
	CPU            json.RawMessage            `json:"cpu"`
	Pids           *specs.LinuxPids           `json:"pids"`
	BlockIO        json.RawMessage            `json:"blockIO"`
	HugepageLimits []specs.LinuxHugepageLimit `json:"hugepageLimits"`
	Network        json.RawMessage            `json:"network"`
	Rdma           map[string]specs.LinuxRdma `json:"rdma"`
	Unified        map[string]string          `json:"unified"`
}

// parseParts decodes a configuration part by part. Its errors say less than those of Decode: on any, the caller decodes as a whole.
func parseParts(data []byte) (*specs.Spec, error) {
	var top topPart
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, err
	}
	s := &specs.Spec{
		Version: top.Version, Root: top.Root, Hostname: top.Hostname, Domainname: top.Domainname, Mounts: top.Mounts,
		Annotations: top.Annotations,
	}
	if err := parsePart(top.Process, &s.Process); err != nil {
		return nil, err
	}
	if err := parsePart(top.Hooks, &s.Hooks); err != nil {
		return nil, err
	}
	if absent(top.Linux) {
		return s, nil
	}
	var err error
	s.Linux, err = parseLinux(top.Linux)
	return s, err
}

func parseLinux(data []byte) (*specs.Linux, error) {
	var part linuxPart
	if err := json.Unmarshal(data, &part); err != nil {
		return nil, err
	}
	l := &specs.Linux{
		UIDMappings: part.UIDMappings, GIDMappings: part.GIDMappings, Sysctl: part.Sysctl, CgroupsPath: part.CgroupsPath,
		Namespaces: part.Namespaces, Devices: part.Devices, NetDevices: part.NetDevices, RootfsPropagation: part.RootfsPropagation,
		MaskedPaths: part.MaskedPaths, ReadonlyPaths: part.ReadonlyPaths, MountLabel: part.MountLabel, TimeOffsets: part.TimeOffsets,
	}
	for _, p := range []struct {
		data []byte
		into any
	}{
		{part.Seccomp, &l.Seccomp},
		{part.IntelRdt, &l.IntelRdt},
		{part.MemoryPolicy, &l.MemoryPolicy},
		{part.Personality, &l.Personality},
	} {
		if err := parsePart(p.data, p.into); err != nil {
			return nil, err
		}
	}
	if absent(part.Resources) {
		return l, nil
	}
	var err error
	l.Resources, err = parseResources(part.Resources)
	return l, err
}

func parseResources(data []byte) (*specs.LinuxResources, error) {
	var part resourcesPart
	if err := json.Unmarshal(data, &part); err != nil {
		return nil, err
	}
	r := &specs.LinuxResources{
		Devices: part.Devices, Pids: part.Pids, HugepageLimits: part.HugepageLimits, Rdma: part.Rdma, Unified: part.Unified,
	}
	for _, p := range []struct {
		data []byte
		into any
	}{
		{part.Memory, &r.Memory},
		{part.CPU, &r.CPU},
		{part.BlockIO, &r.BlockIO},
		{part.Network, &r.Network},
	} {
		if err := parsePart(p.data, p.into); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// parsePart decodes a part that may be absent into a pointer to a pointer.
func parsePart(data []byte, into any) error {
	if absent(data) {
		return nil
	}
	return json.Unmarshal(data, into)
}

func absent(data []byte) bool { return len(data) == 0 || bytes.Equal(data, []byte("null")) }
