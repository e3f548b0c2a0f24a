package ssh

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// sshdOptions maps what is negotiated, by the library's name, to the setting in sshd_config(5).
var sshdOptions = map[string]string{
	"key exchange":            "KexAlgorithms",
	"host key":                "HostKeyAlgorithms",
	"client to server cipher": "Ciphers",
	"server to client cipher": "Ciphers",
	"client to server MAC":    "MACs",
	"server to client MAC":    "MACs",
}

// nothingCommon is the error of a server without a common algorithm.
func (a *attempt) nothingCommon(e *gossh.AlgorithmNegotiationError) error {
	theirs := quote(strings.Join(e.RequestedAlgorithms, ","))
	if len(a.policy.known) > 0 && strings.Contains(e.What, "host key") {
		return fmt.Errorf("%w: the known key is %s, but the host offers only other types, %s. This does not show that "+
			"the known key has "+
			"changed: sshd_config (HostKeyAlgorithms, HostKey) may exclude it, or the host was reinstalled. Compare a key "+
			"of an offered type "+
			"on the host (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub) and add it to known_hosts or host_key, or make sshd "+
			"offer the known type",
			ErrHostKeyNotOffered, strings.Join(a.policy.known, " and "), theirs)
	}
	remedy := "algorithms"
	if option := sshdOptions[e.What]; option != "" {
		remedy = option
	}
	return lacks(e, fmt.Errorf("no common %s: the host's SSH server allows only %s, %s; mirrorform has %s: add one of them to "+
		"%s in the host's sshd_config",
		e.What, theirs, lack(e.RequestedAlgorithms), strings.Join(genuine(e.SupportedAlgorithms), ","), remedy))
}

// lack returns why mirrorform supports none of the server's algorithms.
func lack(theirs []string) string {
	switch {
	case made(theirs, "sntrup", "mlkem"):
		return "which are too new for mirrorform"
	case tooOld(theirs):
		return "which are too old to be safe"
	}
	return "which mirrorform does not support"
}

// genuine removes the markers of extensions (RFC 8308) from a list of algorithms.
func genuine(algorithms []string) []string {
	return slices.DeleteFunc(slices.Clone(algorithms), func(name string) bool {
		return strings.HasPrefix(name, "ext-info-") || strings.HasPrefix(name, "kex-strict-")
	})
}

// hint adds the likely cause to a timeout before the host key: no greeting, or a greeting and then
// no answer to the large packets of the key exchange.
func (a *attempt) hint(cause error) {
	var late *timeoutError
	if !errors.As(cause, &late) || a.keySeen {
		return
	}
	if a.version == "" {
		late.hint = "the host accepted the connection but did not greet; check that this is the port of sshd, and the " +
			"load of the host"
		return
	}
	late.hint = "the host greeted, so small packets arrive, but a link on the path may drop large ones (smaller MTU, " +
		"filtered ICMP); " +
		"test with `ping -M do -s 1400` from this machine, then lower the MTU or clamp the TCP MSS on that link"
}
