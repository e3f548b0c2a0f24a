package ssh

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// sshdOptions are the settings of sshd_config(5) for what is negotiated, by the library's names.
var sshdOptions = map[string]string{
	"key exchange":            "KexAlgorithms",
	"host key":                "HostKeyAlgorithms",
	"client to server cipher": "Ciphers",
	"server to client cipher": "Ciphers",
	"client to server MAC":    "MACs",
	"server to client MAC":    "MACs",
}

// nothingCommon is the error of a server that has no algorithm in common with this program.
func (a *attempt) nothingCommon(e *gossh.AlgorithmNegotiationError) error {
	theirs := quote(strings.Join(e.RequestedAlgorithms, ","))
	if len(a.policy.known) > 0 && strings.Contains(e.What, "host key") {
		return fmt.Errorf("%w: known is %s, and the host offers only other types, %s; nothing shows that the known key has changed: sshd_config (HostKeyAlgorithms, HostKey) may "+
			"leave it out, or the host was reinstalled. Compare a key of an offered type on the host (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub) "+
			"and add it to known_hosts or host_key, or have sshd offer the known type",
			ErrHostKeyNotOffered, strings.Join(a.policy.known, " and "), theirs)
	}
	remedy := "algorithms"
	if option := sshdOptions[e.What]; option != "" {
		remedy = option
	}
	return fmt.Errorf("no common %s: the host's SSH server allows only %s, %s; mirrorform has %s: add one of them to %s in the host's sshd_config",
		e.What, theirs, lack(e.RequestedAlgorithms), strings.Join(genuine(e.SupportedAlgorithms), ","), remedy)
}

// lack tells which side a list of algorithms is the fault of.
func lack(theirs []string) string {
	theirs = genuine(theirs)
	all := func(parts ...string) bool {
		return len(theirs) > 0 && !slices.ContainsFunc(theirs, func(name string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
		})
	}
	switch {
	case all("sntrup", "mlkem"):
		return "which are too new for mirrorform"
	case all("sha1", "md5", "cbc", "arcfour", "ssh-dss", "ssh-rsa"):
		return "which are too old to be safe"
	}
	return "which mirrorform does not have"
}

// genuine leaves out of a list what only marks an extension (RFC 8308).
func genuine(algorithms []string) []string {
	return slices.DeleteFunc(slices.Clone(algorithms), func(name string) bool {
		return strings.HasPrefix(name, "ext-info-") || strings.HasPrefix(name, "kex-strict-")
	})
}

// hint adds to a time-out what is likely, when a server greets and the key exchange, whose packets
// are large, goes no further.
func (a *attempt) hint(cause error) {
	var late *timeoutError
	if !errors.As(cause, &late) || a.keySeen {
		return
	}
	if a.version == "" {
		late.hint = "the host accepted the connection and did not greet: is this the port of sshd, and is the host overloaded?"
		return
	}
	late.hint = "the host greeted, so small packets arrive: a link on the way may drop large ones (its MTU is smaller, and ICMP is filtered). " +
		"Try `ping -M do -s 1400` from here, and lower the MTU or clamp the MSS of TCP there"
}
