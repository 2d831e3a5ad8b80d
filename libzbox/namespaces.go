package libzbox

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// namespacePath is the path of the namespace of a type that the container joins; "" when it has a new one, or none of its own.
func namespacePath(s *specs.Spec, kind specs.LinuxNamespaceType) string {
	if s.Linux != nil {
		for _, ns := range s.Linux.Namespaces {
			if ns.Type == kind {
				return ns.Path
			}
		}
	}
	return ""
}

// hasNewNamespace reports whether the container gets a namespace of a type that is its own alone.
func hasNewNamespace(s *specs.Spec, kind specs.LinuxNamespaceType) bool {
	return s.Linux != nil && slices.ContainsFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == kind && ns.Path == "" })
}
