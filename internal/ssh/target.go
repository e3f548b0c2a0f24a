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
	Name    string // the host's name in the configuration, for messages
	Address string // a host name, an IPv4 address, or an IPv6 address without brackets
	Port    int    // default: 22
	User    string // default: the user who runs this process
	// AddressFamily is "inet" for IPv4 only, "inet6" for IPv6 only, "" for both. A target with a
	// Jump ignores it.
	AddressFamily string
	// Identities are private key files ("~/" is the home directory); a public key file selects a
	// key of the agent. They are tried first. Empty, but not nil: only the agent's keys. Default:
	// the agent's keys, then ~/.ssh/id_ed25519, id_ecdsa and id_rsa.
	Identities []string
	// HostKey pins the host's key: lines as in a .pub file, "ssh-ed25519 AAAA…". It replaces
	// known_hosts.
	HostKey string
	// HostKeyAlias is the host's name in known_hosts and in its certificate. Default: Address, with
	// the port if that is not 22.
	HostKeyAlias string
	// KnownHostsFiles are searched if Options.KnownHostsFiles is not set.
	KnownHostsFiles []string
	// Certificates are further user certificate files, besides those next to identity files
	// (IDENTITY-cert.pub).
	Certificates []string
	// IdentitiesOnly excludes the agent's keys that no identity file names.
	IdentitiesOnly bool
	// AgentSocket is the path of ssh-agent's socket for this host. Default: Options.AgentSocket.
	// "none" uses no agent.
	AgentSocket string
	// Keepalive and Silence, if set, shorten Options.KeepaliveInterval and SilenceLimit. They never
	// lengthen them, since the helper rolls back after that time without a message.
	Keepalive, Silence time.Duration
	// Jump is the host to connect through, which may have a Jump itself. If nil, the connection is
	// direct.
	Jump *Target
	// ProxyCommand, if set, is a command of ssh_config(5) whose standard streams are the connection,
	// and ProxyPlace is where it is set, for messages. A target with a Jump ignores it.
	ProxyCommand, ProxyPlace string
	// OpenSSH is how the operator's own ssh(1) reaches the host. It is used where this package's
	// client cannot do what the host needs, and always with ByOpenSSH. If nil, it is never used.
	OpenSSH   *OpenSSH
	ByOpenSSH bool
	// Become is how the helper becomes root: "none" (or ""), "sudo" or "doas".
	Become string
	// BecomePassword returns sudo's password. It is called if sudo asks for one. If nil, there is
	// none.
	BecomePassword func() (string, error)
	// BeforePassword, if not nil, is called before BecomePassword, with how the host's key is
	// known. If it returns an error, the host does not get the password.
	BeforePassword func(KeyOrigin) error
	// ConnectTimeout limits each stage of connecting, without the time in which the user is asked.
	// Default: 20 s.
	ConnectTimeout time.Duration

	rootPlaces []rootPlace // default: rootPlaces; tests set their own
}

// KeyOrigin is how a host's key is known.
type KeyOrigin int

// The origins of a host's key.
const (
	KeyNew    KeyOrigin = iota // accepted in this run
	KeyPinned                  // the configuration names it, and known_hosts does not
	KeyKnown                   // known_hosts has it, or the host is this machine
)

// Lengths are checked beside these: a bounded repetition is compiled to that many copies, at each
// start of the program.
var (
	// hostName permits the characters of host names (RFC 1123), and the underscore, which DNS
	// permits too.
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)
	// userName permits the names of directory services (DOMAIN\user, user@realm), but no leading
	// hyphen.
	userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@+\\-]*\$?$`)
	zoneName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
)

// complete checks a target and fills in the defaults.
func (t Target) complete() (Target, error) {
	if err := checkAddress(t.Address); err != nil {
		return t, err
	}
	// Host names are case-insensitive; known_hosts has them in lower case (ssh(1)).
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
			return t, fmt.Errorf("user is not set, and the current user's name is unknown: %w", err)
		}
		t.User = me.Username
	}
	if len(t.User) > 256 || !userName.MatchString(t.User) {
		return t, fmt.Errorf("invalid user name %s", quote(t.User))
	}
	switch t.Become {
	case "":
		t.Become = "none"
	case "none", "sudo", "doas":
	default:
		return t, fmt.Errorf("invalid become %s: must be none, sudo or doas", quote(t.Become))
	}
	if networks[t.AddressFamily] == "" {
		return t, fmt.Errorf("invalid address family %s: must be inet or inet6", quote(t.AddressFamily))
	}
	if t.ConnectTimeout <= 0 {
		t.ConnectTimeout = DefaultConnectTimeout
	}
	if t.rootPlaces == nil {
		t.rootPlaces = rootPlaces
	}
	if t.Jump != nil {
		via, err := t.Jump.complete()
		if err != nil {
			return t, fmt.Errorf("jump host %s: %w", quote(t.Jump.Name), err)
		}
		t.Jump = &via
	}
	return t, nil
}

// keyEndpoint returns the name and port of the host in known_hosts.
func (t Target) keyEndpoint() string {
	if t.HostKeyAlias != "" { // is used without the port: ssh_config(5), HostKeyAlias
		return net.JoinHostPort(strings.ToLower(t.HostKeyAlias), strconv.Itoa(DefaultPort))
	}
	return t.endpoint()
}

// bareEndpoint returns keyEndpoint with the default port, or "" if that is the same.
func (t Target) bareEndpoint() string {
	if t.HostKeyAlias != "" || t.Port == DefaultPort {
		return ""
	}
	return net.JoinHostPort(t.Address, strconv.Itoa(DefaultPort))
}

func (t Target) keepalive(limit time.Duration) time.Duration {
	if t.Keepalive > 0 {
		return min(t.Keepalive, limit)
	}
	return limit
}

func (t Target) silence(limit time.Duration) time.Duration {
	if t.Silence > 0 {
		return min(t.Silence, limit)
	}
	return limit
}

// endpoint returns ADDRESS:PORT.
func (t Target) endpoint() string { return net.JoinHostPort(t.Address, strconv.Itoa(t.Port)) }

// checkAddress checks that an address is a host name or an IP address.
func checkAddress(address string) error {
	if address == "" {
		return errors.New("address is not set")
	}
	if ip, err := netip.ParseAddr(address); err == nil {
		if ip.Zone() != "" && (len(ip.Zone()) > 64 || !zoneName.MatchString(ip.Zone())) {
			return fmt.Errorf("invalid address %s: invalid zone name after %%", quote(address))
		}
		return nil
	}
	if len(address) > 254 || !hostName.MatchString(address) {
		return fmt.Errorf("invalid address %s: not a host name or an IP address", quote(address))
	}
	return nil
}

// expandHome replaces a leading "~/" with the user's home directory.
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

// quote makes external text safe for a message: quoted, with control and invisible characters
// escaped. Long text is shortened to its end, where programs print why they failed.
func quote(text string) string {
	const limit = 1024
	text = strings.TrimSpace(text)
	if len(text) > limit {
		return "…" + strconv.Quote(text[len(text)-limit:])
	}
	return strconv.Quote(text)
}
