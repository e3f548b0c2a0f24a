//go:build faults

package builder

// Tags are the build tags of the helper, separated by commas. This build is for the fault suite,
// and so is its helper.
const Tags = "faults"
