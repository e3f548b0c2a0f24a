//go:build !faults

package builder

// Tags are the build tags of the helper, separated by commas.
const Tags = ""
