//go:build !faults

package agent

import "time"

// faultpoint is called before every step that changes the host. It does nothing, except in builds
// for the fault suite.
func faultpoint(string) {}

// armFaults starts counting fault points.
func armFaults() {}

// probeLimit returns how long a probe that may take that long waits for the expected response.
func probeLimit(timeout time.Duration) time.Duration { return timeout }
