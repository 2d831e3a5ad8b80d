package compile

import (
	"cmp"
	"maps"
	"slices"
)

// sortedKeys are a map's keys in order: a plan must not depend on Go's random map order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
