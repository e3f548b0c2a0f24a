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
	// AddressFamily is "inet" for IPv4 only, "inet6" for IPv6 only, "" for both. It counts where there is no jump host.
	AddressFamily string
	// Identities are private key files ("~/" is the home directory); a public key file names a key of the agent's.
	// They are tried first. Empty, but not nil: the agent's keys only. Default: the agent's keys, then ~/.ssh/id_ed25519, id_ecdsa and id_rsa.
	Identities []string
	// HostKey pins the host's key: lines as in a .pub file, "ssh-ed25519 AAAA…". known_hosts is not looked at then.
	HostKey string
	// HostKeyAlias is the name under which known_hosts has the host, and which its certificate must be for. Default: Address, and the port where it is not 22.
	HostKeyAlias string
	// KnownHostsFiles are searched where Options.KnownHostsFiles does not say otherwise.
	KnownHostsFiles []string
	// Certificates are user certificate files besides those that stand next to identity files (IDENTITY-cert.pub).
	Certificates []string
	// IdentitiesOnly leaves out the agent's keys that no identity file names.
	IdentitiesOnly bool
	// AgentSocket is the path of ssh-agent's socket for this host. Default: that of Options. "none" uses no agent.
	AgentSocket string
	// Keepalive and Silence, where they are set, shorten Options.KeepaliveInterval and SilenceLimit. Longer ones do not count: the helper takes
	// everything back when it hears nothing for as long.
	Keepalive, Silence time.Duration
	// Jump is the host to connect through, which may have a Jump itself. Nil: the connection is direct.
	Jump *Target
	// Become is how the helper gets root's rights: "none" (or ""), "sudo" or "doas".
	Become string
	// BecomePassword asks for sudo's password, if the host asks for it. Nil: there is none.
	BecomePassword func() (string, error)
	// BeforePassword, if not nil, is called before BecomePassword. Its error refuses the password
	// to a host whose key is known in that way.
	BeforePassword func(KeyOrigin) error
	// ConnectTimeout bounds each stage of connecting in which no human is asked. Default: 20 s.
	ConnectTimeout time.Duration

	rootPlaces []rootPlace // default: rootPlaces; tests have their own
}

// KeyOrigin says by what a host's key is known.
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
	// hostName has the characters of host names (RFC 1123), and the underscore, which DNS has too.
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)
	// userName is wide enough for directory services (DOMAIN\user, user@realm) and never looks like an option.
	userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@+\\-]*\$?$`)
	zoneName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
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
	if len(t.User) > 256 || !userName.MatchString(t.User) {
		return t, fmt.Errorf("user %s: not a user name", quote(t.User))
	}
	switch t.Become {
	case "":
		t.Become = "none"
	case "none", "sudo", "doas":
	default:
		return t, fmt.Errorf("become %s: must be none, sudo or doas", quote(t.Become))
	}
	if networks[t.AddressFamily] == "" {
		return t, fmt.Errorf("address family %s: must be inet or inet6", quote(t.AddressFamily))
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

// keyEndpoint is the name and port under which the host's key is known.
func (t Target) keyEndpoint() string {
	if t.HostKeyAlias != "" { // stands without a port: ssh_config(5), HostKeyAlias
		return net.JoinHostPort(strings.ToLower(t.HostKeyAlias), strconv.Itoa(DefaultPort))
	}
	return t.endpoint()
}

// bareEndpoint is keyEndpoint without the port, or "" where that is the same.
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

// endpoint is ADDRESS:PORT.
func (t Target) endpoint() string { return net.JoinHostPort(t.Address, strconv.Itoa(t.Port)) }

// checkAddress refuses what is neither a host name nor an IP address.
func checkAddress(address string) error {
	if address == "" {
		return errors.New("no address is set")
	}
	if ip, err := netip.ParseAddr(address); err == nil {
		if ip.Zone() != "" && (len(ip.Zone()) > 64 || !zoneName.MatchString(ip.Zone())) {
			return fmt.Errorf("address %s: not a zone name after %%", quote(address))
		}
		return nil
	}
	if len(address) > 254 || !hostName.MatchString(address) {
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
