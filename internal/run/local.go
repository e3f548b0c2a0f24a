package run

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/mirrorform/mirrorform/internal/config"
)

// localState returns the state directory of host local, this machine. Each configuration directory
// has its own.
func localState(configuration string) (string, error) {
	state, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("host local needs a directory for its state: %w", err)
	}
	dir, err := filepath.Abs(configuration)
	if err != nil {
		return "", fmt.Errorf("host local: %w", err)
	}
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(state, "mirrorform", "local", hex.EncodeToString(sum[:8])), nil
}

// declaredHosts returns the hosts of the configuration in dir. It adds host local if resources of
// the configuration are still managed there.
func declaredHosts(c *config.Config, dir string) []*config.DeclaredHost {
	hosts := c.Hosts()
	if slices.ContainsFunc(hosts, func(h *config.DeclaredHost) bool { return h.Local }) {
		return hosts
	}
	state, err := localState(dir)
	if err != nil {
		return hosts
	}
	text, err := os.ReadFile(filepath.Join(state, "manifest.json"))
	var manifest struct{ Resources []json.RawMessage }
	if err != nil || json.Unmarshal(text, &manifest) == nil && len(manifest.Resources) == 0 {
		return hosts // a damaged manifest is reported later
	}
	return append(slices.Clip(hosts), &config.DeclaredHost{Name: "local", Local: true})
}

func hostsByName(hosts []*config.DeclaredHost) map[string]*config.DeclaredHost {
	byName := map[string]*config.DeclaredHost{}
	for _, h := range hosts {
		byName[h.Name] = h
	}
	return byName
}
