//go:build !faults

package agent

// faultpoint is called before every step that changes the host. It does nothing, except in builds
// for the fault suite.
func faultpoint(string) {}

// armFaults starts counting fault points.
func armFaults() {}
