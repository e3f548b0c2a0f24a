//go:build !faults

package builder

// Tags are the build tags that the helper is compiled with, separated by commas.
const Tags = ""
