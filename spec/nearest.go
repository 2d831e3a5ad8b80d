package spec

import "strings"

// Nearest returns the name of known that is most like name, or "" when none is near: at most one difference for every four
// characters (at least one, but never all), where a difference is a character that is missing, added, other or swapped with its
// neighbour, and upper and lower case are the same.
func Nearest(name string, known []string) string {
	// Longer names are no typing errors, and the comparison's cost grows with the square.
	const longest = 100
	if len(name) > longest {
		return ""
	}
	best, nearest := min(len(name), max(1, len(name)/4)+1), ""
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < best {
			best, nearest = d, k
		}
	}
	return nearest
}

// distance is the optimal string alignment distance of two strings, by bytes.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			other := 1
			if a[i-1] == b[j-1] {
				other = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+other)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
