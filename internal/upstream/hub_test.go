package upstream

import (
	"strings"
	"testing"
)

// The tree of a leaf cannot be newer than its hub's, so an old one leads to the hub.
func TestSyncAdvice(t *testing.T) {
	t.Parallel()
	if got := (&Mirror{}).syncAdvice(); !strings.Contains(got, "and its source") {
		t.Errorf("without a hub: %q", got)
	}
	if got := (&Mirror{Hub: "hub1"}).syncAdvice(); !strings.Contains(got, "its hub hub1 is as old: mirrorform status") {
		t.Errorf("of a leaf: %q", got)
	}
}
