package cli

import (
	"os"
	"testing"
)

// TestMain keeps commands from fetching AlmaLinux's config.yml.
func TestMain(m *testing.M) {
	if err := os.Setenv(offlineVar, "1"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
