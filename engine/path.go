package engine

import "strings"

// PathWithin reports whether p is dir or below it. Both are clean absolute paths.
func PathWithin(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
