package ssh

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// lackError is the error of a host that needs what this package's client cannot do, and ssh(1) may.
type lackError struct {
	err error
	why string
}

func (e *lackError) Error() string { return e.err.Error() }
func (e *lackError) Unwrap() error { return e.err }

// lacking returns what this package's client lacks for a login, or "" if the error has another
// cause.
func lacking(err error) string {
	var lack *lackError
	if errors.As(err, &lack) {
		return lack.why
	}
	return ""
}

// lacks marks the error of a negotiation if ssh may do better: unless all algorithms are too old.
func lacks(e *gossh.AlgorithmNegotiationError, err error) error {
	if tooOld(e.RequestedAlgorithms) {
		return err
	}
	return &lackError{err, fmt.Sprintf("its SSH server offers only the %s %s, which mirrorform's own client lacks", e.What,
		quote(strings.Join(genuine(e.RequestedAlgorithms), ",")))}
}

// lacksKeys marks the error of a login with keys that only ssh can use: FIDO keys in files.
func lacksKeys(problems []string, err error) error {
	for _, p := range problems {
		if strings.Contains(p, hardwareKey) {
			return &lackError{err, "an identity file is for a FIDO key, which mirrorform's own client cannot use"}
		}
	}
	return err
}

// hardwareKey is why the file of a FIDO key cannot be used: the key itself is in a device.
const hardwareKey = "the key is in a FIDO device, which only ssh and ssh-agent can use"

// onHardware reports whether a private key file is that of a FIDO key. Its public part is not
// encrypted (OpenSSH, PROTOCOL.key).
func onHardware(data []byte) bool {
	block, _ := pem.Decode(data)
	if block == nil {
		return false
	}
	const magic = "openssh-key-v1\x00"
	var key struct {
		Cipher, KDF, KDFOptions string
		Keys                    uint32
		Public                  []byte
		Rest                    []byte `ssh:"rest"`
	}
	rest, ok := bytes.CutPrefix(block.Bytes, []byte(magic))
	if !ok || gossh.Unmarshal(rest, &key) != nil {
		return false
	}
	var public struct {
		Type string
		Rest []byte `ssh:"rest"`
	}
	return gossh.Unmarshal(key.Public, &public) == nil && strings.HasPrefix(public.Type, "sk-")
}

// mayUseOpenSSH reports whether ssh can be used for a target, and is there.
func (t Target) mayUseOpenSSH() bool {
	if t.OpenSSH == nil {
		return false
	}
	_, err := sshProgram()
	return err == nil
}

// needsOpenSSH reports whether useOpenSSH was called for the target.
func (d *Dialer) needsOpenSSH(t Target) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.needs) > 0 && d.needs[t.identity()]
}

// useOpenSSH makes ssh connect to a target from now on. Why is noted once in a run.
func (d *Dialer) useOpenSSH(t Target, why string) {
	d.mu.Lock()
	d.needs[t.identity()] = true
	d.mu.Unlock()
	d.NoteOpenSSH(t.Name, why)
}

// NoteOpenSSH reports that ssh connects to a host, and why. It reports each cause once in a run.
func (d *Dialer) NoteOpenSSH(host, why string) {
	d.mu.Lock()
	first := !d.noted[why]
	d.noted[why] = true
	d.mu.Unlock()
	if first {
		d.opts.Log(fmt.Sprintf("host %s: %s; connecting with ssh, as for all such hosts. To have it so from the start, "+
			"set connection { type = \"openssh\" } in the host block", host, why))
	}
}

// tooOld reports whether all algorithms are too old to be safe.
func tooOld(algorithms []string) bool {
	return made(algorithms, "sha1", "md5", "cbc", "arcfour", "ssh-dss", "ssh-rsa")
}

// made reports whether the name of each algorithm contains one of the parts.
func made(algorithms []string, parts ...string) bool {
	algorithms = genuine(algorithms)
	return len(algorithms) > 0 && !slices.ContainsFunc(algorithms, func(name string) bool { return !containsAny(name, parts) })
}
