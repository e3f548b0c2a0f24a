package ssh

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Target is a host and how to log in to it.
type Target struct {
	Name    string // what the configuration calls the host; used in messages
	Address string // a host name, an IPv4 or an IPv6 address (without brackets)
	Port    int    // default: 22
	User    string // default: the name of the user who runs this process
	// Identities are private key files ("~/" is the home directory); a public key file names a key of the agent's.
	// They are tried first. Default: the agent's keys, then ~/.ssh/id_ed25519, id_ecdsa and id_rsa.
	Identities []string
	// HostKey pins the host's key: lines as in a .pub file, "ssh-ed25519 AAAA…". known_hosts is not looked at then.
	HostKey string
	// Become is how the helper gets root's rights: "none" (or ""), "sudo" or "doas".
	Become string
	// BecomePassword asks for sudo's password, if the host asks for it. Nil: there is none.
	BecomePassword func() (string, error)
	// ConnectTimeout bounds each stage of connecting in which no human is asked. Default: 20 s.
	ConnectTimeout time.Duration
}

var (
	// hostName has the characters of host names (RFC 1123), and the underscore, which DNS has too.
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?$`)
	// userName is wide enough for directory services (DOMAIN\user, user@realm) and never looks like an option.
	userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@+\\-]{0,255}\$?$`)
	zoneName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
)

// complete checks a target and fills in the defaults.
func (t Target) complete() (Target, error) {
	if err := checkAddress(t.Address); err != nil {
		return t, err
	}
	// Host names have no case, and known_hosts has them in lower case (ssh(1)).
	t.Address = strings.ToLower(t.Address)
	if t.Name == "" {
		t.Name = t.Address
	}
	if t.Port == 0 {
		t.Port = DefaultPort
	}
	if t.Port < 1 || t.Port > 65535 {
		return t, fmt.Errorf("port %d is not between 1 and 65535", t.Port)
	}
	if t.User == "" {
		me, err := user.Current()
		if err != nil {
			return t, fmt.Errorf("no user is set, and the name of the current one is not known: %w", err)
		}
		t.User = me.Username
	}
	if !userName.MatchString(t.User) {
		return t, fmt.Errorf("user %s: not a user name", quote(t.User))
	}
	switch t.Become {
	case "":
		t.Become = "none"
	case "none", "sudo", "doas":
	default:
		return t, fmt.Errorf("become %s: must be none, sudo or doas", quote(t.Become))
	}
	if t.ConnectTimeout <= 0 {
		t.ConnectTimeout = DefaultConnectTimeout
	}
	return t, nil
}

// endpoint is ADDRESS:PORT.
func (t Target) endpoint() string { return net.JoinHostPort(t.Address, strconv.Itoa(t.Port)) }

// checkAddress refuses what is neither a host name nor an IP address.
func checkAddress(address string) error {
	if address == "" {
		return errors.New("no address is set")
	}
	if ip, err := netip.ParseAddr(address); err == nil {
		if ip.Zone() != "" && !zoneName.MatchString(ip.Zone()) {
			return fmt.Errorf("address %s: not a zone name after %%", quote(address))
		}
		return nil
	}
	if !hostName.MatchString(address) {
		return fmt.Errorf("address %s: neither a host name nor an IP address", quote(address))
	}
	return nil
}

// expandHome replaces a leading "~/" by the user's home directory.
func expandHome(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, rest), nil
}

// quote makes text from outside fit for a message: quoted, with control and invisible characters escaped, and bounded.
// Of long text the end is kept, where programs say why they failed.
func quote(text string) string {
	const limit = 1024
	text = strings.TrimSpace(text)
	if len(text) > limit {
		return "…" + strconv.Quote(text[len(text)-limit:])
	}
	return strconv.Quote(text)
}
