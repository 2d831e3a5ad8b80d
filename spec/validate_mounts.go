package spec

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// validateMounts is config.md, "Mounts". Relative destinations are deprecated, but allowed.
func validateMounts(s *specs.Spec) error {
	for i, m := range s.Mounts {
		field := fmt.Sprintf("mounts[%d]", i)
		if m.Destination == "" {
			return fmt.Errorf("%s.destination: missing", field)
		}
		field += " (" + printable(m.Destination, 100) + ")"
		if err := validateMappingPair(field+".", m.UIDMappings, m.GIDMappings); err != nil {
			return err
		}
		idmap := slices.Contains(m.Options, "idmap") || slices.Contains(m.Options, "ridmap")
		if idmap && len(m.UIDMappings) == 0 && !hasNamespace(s.Linux, specs.UserNamespace) {
			return fmt.Errorf("%s: idmap needs uidMappings and gidMappings, or a user namespace in linux.namespaces", field)
		}
	}
	return nil
}
