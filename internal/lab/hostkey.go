package lab

import (
	"fmt"
	"strings"
)

// HostKey returns the host's ed25519 public key in the format of known_hosts, without the host:
// "ssh-ed25519 AAAA…".
func (h *Host) HostKey() (string, error) {
	line, err := h.Read("/etc/ssh/ssh_host_ed25519_key.pub")
	if err != nil {
		return "", fmt.Errorf("host key of %s: %w", h.Name, err)
	}
	words := strings.Fields(string(line))
	if len(words) < 2 {
		return "", fmt.Errorf("host key of %s: not a public key", h.Name)
	}
	return words[0] + " " + words[1], nil
}
