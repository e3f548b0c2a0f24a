//go:build faults

package builder

// Tags are the build tags that the helper is compiled with, separated by commas: this build is for the fault suite, and so is its helper.
const Tags = "faults"
