package cgroup

import (
	"fmt"
	"strings"

	devices "github.com/opencontainers/cgroups/devices/config"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// alwaysAllowed comes after the rules of the configuration: making any device node, and using the devices that the runtime
// spec puts into every container (config-linux.md, "Default Devices"). Opening any other device stays forbidden
// (GHSA-g54h-m393-cpwq).
var alwaysAllowed = []*devices.Rule{
	{Type: devices.CharDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "m", Allow: true},
	{Type: devices.BlockDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "m", Allow: true},
	{Type: devices.CharDevice, Major: 1, Minor: 3, Permissions: "rwm", Allow: true},                  // null
	{Type: devices.CharDevice, Major: 1, Minor: 5, Permissions: "rwm", Allow: true},                  // zero
	{Type: devices.CharDevice, Major: 1, Minor: 7, Permissions: "rwm", Allow: true},                  // full
	{Type: devices.CharDevice, Major: 1, Minor: 8, Permissions: "rwm", Allow: true},                  // random
	{Type: devices.CharDevice, Major: 1, Minor: 9, Permissions: "rwm", Allow: true},                  // urandom
	{Type: devices.CharDevice, Major: 5, Minor: 0, Permissions: "rwm", Allow: true},                  // tty
	{Type: devices.CharDevice, Major: 5, Minor: 2, Permissions: "rwm", Allow: true},                  // ptmx
	{Type: devices.CharDevice, Major: 136, Minor: devices.Wildcard, Permissions: "rwm", Allow: true}, // pts, console
}

// deviceRules are the rules of the configuration in their order, then those that always hold. Without any rule, everything else
// is denied.
func deviceRules(r *specs.LinuxResources) ([]*devices.Rule, error) {
	var rules []*devices.Rule
	if r != nil {
		for i, d := range r.Devices {
			rule, err := deviceRule(d)
			if err != nil {
				return nil, fmt.Errorf("linux.resources.devices[%d].%w", i, err)
			}
			rules = append(rules, rule)
		}
	}
	return append(rules, alwaysAllowed...), nil
}

func deviceRule(d specs.LinuxDeviceCgroup) (*devices.Rule, error) {
	rule := &devices.Rule{
		Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard,
		// Union sorts the letters, as the rule sets compare them as text.
		Permissions: devices.Permissions(d.Access).Union(""), Allow: d.Allow,
	}
	switch d.Type {
	case "", "a":
	case "b":
		rule.Type = devices.BlockDevice
	case "c":
		rule.Type = devices.CharDevice
	default:
		return nil, fmt.Errorf("type: %q is not a, b or c", d.Type)
	}
	if d.Major != nil {
		rule.Major = *d.Major
	}
	if d.Minor != nil {
		rule.Minor = *d.Minor
	}
	if d.Access == "" || strings.Trim(d.Access, "rwm") != "" {
		return nil, fmt.Errorf("access: %q is not made of r, w and m", d.Access)
	}
	return rule, nil
}
