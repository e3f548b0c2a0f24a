package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshKey is a key pair in the formats of OpenSSH.
type sshKey struct {
	private []byte // PEM
	public  string // "ssh-ed25519 AAAA…", without comment and newline
}

func newKey(kind string) (*sshKey, error) {
	var private crypto.Signer
	var err error
	switch kind {
	case "ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		// ssh-keygen uses 3072 bits. 2048 bits take a quarter of the time.
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("unknown kind %q", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("generating an SSH key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, fmt.Errorf("generating an SSH key: %w", err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("generating an SSH key: %w", err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	return &sshKey{private: pem.EncodeToMemory(block), public: line}, nil
}

// writeClientKey generates an ed25519 key and writes it to path and path.pub.
func writeClientKey(path, comment string) error {
	key, err := newKey("ed25519")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, key.private, 0o600); err != nil {
		return fmt.Errorf("writing the lab's SSH key: %w", err)
	}
	if err := os.WriteFile(path+".pub", []byte(key.public+" "+comment+"\n"), 0o644); err != nil {
		return fmt.Errorf("writing the lab's SSH key: %w", err)
	}
	return nil
}

// containerLogin is how long ssh waits for the sshd of a container.
const containerLogin = 10 * time.Second

// SSHCommand returns an argv of ssh(1) that logs in to the host as user with the lab's key. It
// checks the host key and does not read the caller's SSH configuration. Without argv it opens a
// login shell. The words of argv are quoted for the remote shell, so that the program receives them
// unchanged.
func (l *Lab) SSHCommand(host *Host, user string, argv ...string) []string {
	limit := containerLogin
	if host.vm != nil {
		limit = loginLimit
	}
	command := []string{"ssh", "-F", "/dev/null", "-i", l.KeyPath(),
		"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "UserKnownHostsFile=" + l.KnownHosts(), "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "StrictHostKeyChecking=yes", "-o", fmt.Sprintf("ConnectTimeout=%.0f", limit.Seconds()), "-o", "LogLevel=ERROR",
		"-l", user, host.Address}
	if len(argv) > 0 {
		command = append(command, "--")
	}
	for _, word := range argv {
		command = append(command, quoteWord(word))
	}
	return command
}

// quoteWord quotes a word so that sh, csh and fish read it unchanged. It quotes each special
// character separately. Apostrophes and backslashes are escaped outside quotes, since shells treat
// them differently inside. Newlines do not work in csh.
func quoteWord(word string) string {
	if word == "" {
		return "''"
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,@%+", r)
	}
	if strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	var b strings.Builder
	for _, r := range word {
		switch {
		case plain(r):
			b.WriteRune(r)
		case r == '\'' || r == '\\' || r == '!':
			b.WriteString(`\` + string(r))
		default:
			b.WriteString("'" + string(r) + "'")
		}
	}
	return b.String()
}
