package ssh

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mirrorform/mirrorform/internal/sshconfig"
	gossh "golang.org/x/crypto/ssh"
)

// OpenSSH is how the operator's own ssh(1) is asked to reach a host: only what the configuration
// sets. Everything else is what ssh itself finds in its configuration.
type OpenSSH struct {
	Host           string // as `ssh HOST` gets it, before HostName of ssh_config(5) applies
	User           string // "" if not set
	Port           int    // 0 if not set
	Identities     []string
	ConnectTimeout time.Duration // 0 if not set
	// ConfigFile replaces the user's and the system's configuration; with "none" it has none.
	ConfigFile string
}

// values returns the options that say which host is meant and how to log in to it.
func (o *OpenSSH) values() ([]string, error) {
	if err := checkAddress(strings.ToLower(o.Host)); err != nil { // excludes a leading hyphen
		return nil, err
	}
	if o.User != "" && (len(o.User) > 256 || !userName.MatchString(o.User)) {
		return nil, fmt.Errorf("invalid user name %s", quote(o.User))
	}
	if strings.ContainsAny(o.User, `\$`) { // ssh puts it into commands: %r of ProxyCommand and Match exec
		return nil, fmt.Errorf("ssh may give the user name %s to a shell: set it as User in ssh_config, and not here",
			quote(o.User))
	}
	var args []string
	if o.ConfigFile != "" {
		args = append(args, "-F", o.ConfigFile)
	}
	if o.User != "" {
		args = append(args, "-l", o.User)
	}
	if o.Port != 0 {
		args = append(args, "-p", strconv.Itoa(o.Port))
	}
	if o.Identities != nil && len(o.Identities) == 0 {
		args = append(args, "-o", "IdentityFile=none") // only the agent's keys
	}
	for _, file := range o.Identities {
		path, err := expandHome(file)
		if err != nil {
			return nil, err
		}
		if path, err = literal(path); err != nil {
			return nil, err
		}
		args = append(args, "-i", path)
	}
	if o.ConnectTimeout > 0 {
		args = append(args, "-o", "ConnectTimeout="+seconds(o.ConnectTimeout))
	}
	return args, nil
}

// settingsLimit is how long ssh may take to print its settings, with the programs of Match exec.
const settingsLimit = 30 * time.Second

// Settings returns what ssh's own configuration says about the host, as far as mirrorform needs it:
// for messages, and to reach jump hosts.
func (o *OpenSSH) Settings() (*sshconfig.Settings, error) {
	args, err := o.values()
	if err != nil {
		return nil, err
	}
	program, err := sshProgram()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), settingsLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(append([]string{"-G"}, args...), "--", o.Host)...)
	stderr := newTail()
	cmd.Stderr, cmd.WaitDelay = stderr, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it cannot ask anything
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ssh -G %s: %w: %s; correct ssh's configuration", o.Host, err, quote(stderr.String()))
	}
	return parseSettings(string(out))
}

// parseSettings reads the output of ssh -G: a keyword in lower case and its value per line.
func parseSettings(out string) (*sshconfig.Settings, error) {
	s := &sshconfig.Settings{}
	number := func(text string) int {
		n, _ := strconv.Atoi(text) // "none" is 0
		return n
	}
	var err error
	for line := range strings.Lines(out) {
		keyword, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		switch keyword {
		case "hostname":
			s.HostName = strings.ToLower(value)
		case "user":
			s.User = value
		case "port":
			s.Port = number(value)
		case "connecttimeout":
			s.ConnectTimeout = time.Duration(number(value)) * time.Second
		case "serveraliveinterval":
			s.ServerAliveInterval = time.Duration(number(value)) * time.Second
		case "serveralivecountmax":
			s.ServerAliveCountMax = number(value)
		case "proxyjump":
			if s.Jump, err = sshconfig.ParseJump(value); err != nil {
				return nil, fmt.Errorf("ProxyJump %s: %w", quote(value), err)
			}
			for i := range s.Jump {
				s.Jump[i].Place = "ProxyJump"
			}
		}
	}
	if s.HostName == "" || s.Port == 0 {
		return nil, errors.New("ssh -G printed no host name and port; it must be OpenSSH 7.6 or newer")
	}
	return s, nil
}

// sshProgram returns the path of ssh.
func sshProgram() (string, error) {
	program, err := exec.LookPath("ssh")
	if err != nil {
		return "", fmt.Errorf("connection type openssh needs OpenSSH's program ssh on this machine: %w; install "+
			"openssh-client (Debian) or openssh-clients (EL)", err)
	}
	return filepath.Abs(program)
}

// literal returns a path in which ssh expands nothing.
func literal(path string) (string, error) {
	if strings.Contains(path, "${") || strings.ContainsAny(path, "\"\\\n\r\x00") {
		return "", fmt.Errorf("ssh cannot be given the file %s: rename it without quotes, backslashes and ${", quote(path))
	}
	return strings.ReplaceAll(path, "%", "%%"), nil
}

// seconds rounds up to whole seconds.
func seconds(d time.Duration) string { return strconv.Itoa(max(1, int(math.Ceil(d.Seconds())))) }

// fixedOptions are the options of each connection. The first value of an option counts, so the
// operator's files cannot change these.
var fixedOptions = []string{
	// No command, no terminal, and nothing that the files forward: the connection is for the helper.
	"ControlPersist=no", "ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no", "Tunnel=no",
	"PermitLocalCommand=no", "RemoteCommand=none",
	// A key must be known, from the configuration or from known_hosts, as for this package's client.
	"VerifyHostKeyDNS=no", "NoHostAuthenticationForLocalhost=no", "UpdateHostKeys=no",
	"LogLevel=INFO", // its messages are the text of errors
}

// pinAlias is the name of a host with a pinned key in a known_hosts file of its own.
const pinAlias = "mirrorform-pinned"

// arguments returns ssh's arguments for the shared connection of a target, with its socket. proxy
// is a command that connects to the target, or "".
func (d *Dialer) arguments(t Target, socket, proxy string, asks bool) ([]string, error) {
	values, err := t.OpenSSH.values()
	if err != nil {
		return nil, err
	}
	args := append([]string{"-M", "-S", socket, "-N", "-T"}, values...)
	options := fixedOptions[:len(fixedOptions):len(fixedOptions)]
	if asks {
		options = append(options, "BatchMode=no")
	} else {
		options = append(options, "BatchMode=yes")
	}
	keys, err := d.hostKeyOptions(t, socket+".known")
	if err != nil {
		return nil, err
	}
	// Three intervals without an answer end the connection: the first is followed by two requests.
	interval := min(t.keepalive(d.opts.KeepaliveInterval), t.silence(d.opts.SilenceLimit)/3)
	options = append(options, keys...)
	options = append(options, "ServerAliveInterval="+seconds(interval), "ServerAliveCountMax=2")
	if proxy != "" {
		options = append(options, "ProxyCommand="+proxy)
	}
	for _, o := range options {
		args = append(args, "-o", o)
	}
	return append(args, "--", t.OpenSSH.Host), nil
}

// hostKeyOptions returns the options by which ssh checks the host's key as strictly as this
// package's client. A pinned key is written to a file of its own.
func (d *Dialer) hostKeyOptions(t Target, file string) ([]string, error) {
	if t.HostKey != "" {
		if _, err := pinned(t.HostKey); err != nil {
			return nil, err
		}
		var lines strings.Builder
		for line := range strings.Lines(t.HostKey) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				fmt.Fprintln(&lines, pinAlias, line)
			}
		}
		if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
			return nil, err
		}
		return []string{
			"StrictHostKeyChecking=yes", "HostKeyAlias=" + pinAlias, "CheckHostIP=no",
			"UserKnownHostsFile=" + file, "GlobalKnownHostsFile=/dev/null",
		}, nil
	}
	options := []string{"StrictHostKeyChecking=yes"}
	if d.opts.AcceptNewHostKeys {
		options[0] = "StrictHostKeyChecking=accept-new"
	}
	if files := d.opts.KnownHostsFiles; files != nil {
		words := make([]string, len(files))
		for i, file := range files {
			path, err := filepath.Abs(file)
			if err == nil {
				path, err = literal(path)
			}
			if err != nil {
				return nil, err
			}
			words[i] = `"` + path + `"`
		}
		if len(words) == 0 {
			words = []string{os.DevNull}
		}
		options = append(options, "UserKnownHostsFile="+strings.Join(words, " "), "GlobalKnownHostsFile=/dev/null")
	}
	return options, nil
}

// loginByOpenSSH connects with the operator's ssh. Its shared connection carries the channels, by
// the proxy mode of OpenSSH's multiplexing protocol. Jump hosts have a shared connection each, so
// that their keys are checked as strictly.
func (d *Dialer) loginByOpenSSH(ctx context.Context, g *guard, t Target) (*connection, error) {
	if t.OpenSSH == nil {
		return nil, errors.New("ssh is not used for this host")
	}
	var via *connection
	proxy := ""
	if t.Jump != nil {
		hop := *t.Jump
		hop.ByOpenSSH = true
		var err error
		if via, err = d.through(ctx, g, hop); err != nil {
			return nil, err
		}
		proxy = via.master.proxyCommand(t.endpoint())
	}
	// ssh has its own limit for the connection (ConnectTimeout), and the login comes after it.
	g.enterFor("waiting for ssh to log in", 2*t.ConnectTimeout)
	for n := 0; ; n++ {
		s, err := d.share(ctx, g, t, via, proxy)
		var ended *masterError
		if err == nil || !errors.As(err, &ended) || !ended.transient() || !wait(ctx, n) {
			return s, err
		}
	}
}

// share starts ssh for a target and joins its shared connection.
func (d *Dialer) share(ctx context.Context, g *guard, t Target, via *connection, proxy string) (*connection, error) {
	m, err := d.startMaster(ctx, g, t, proxy)
	if err != nil {
		return nil, err
	}
	socket, err := m.await(ctx)
	if err != nil {
		m.stop(0)
		return nil, err
	}
	conn := watch(socket)
	stop := context.AfterFunc(ctx, func() { conn.closeFor(context.Cause(ctx)) })
	client, channels, requests, err := gossh.NewControlClientConn(conn)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		m.stop(0)
		if ended := m.failure(lingering); ended != nil {
			return nil, ended
		}
		return nil, fmt.Errorf("ssh does not share its connection: %s; it must be OpenSSH 7.6 or newer",
			quote(err.Error()))
	}
	s := &connection{
		target: t, opts: d.opts, guard: g, conn: conn, via: via, master: m,
		keyOrigin: func() KeyOrigin { return d.originByOpenSSH(t, m) },
		done:      make(chan struct{}), dead: make(chan struct{}),
	}
	s.client = gossh.NewClient(client, channels, requests)
	go func() {
		_ = client.Wait()
		close(s.dead)
	}()
	return s, nil
}

// originByOpenSSH returns how ssh knows a host's key.
func (d *Dialer) originByOpenSSH(t Target, m *master) KeyOrigin {
	switch {
	case t.HostKey != "":
		for line := range strings.Lines(t.HostKey) {
			key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line))
			if err == nil && d.knownHosts(t).origin(t, key) != KeyKnown {
				return KeyPinned
			}
		}
		return KeyKnown
	case strings.Contains(m.stderr.String(), "Permanently added"):
		return KeyNew
	}
	return KeyKnown
}

// proxyCommand returns a command that connects its standard streams to an address, over the shared
// connection. All of it is made here: no shell meets a value that it could interpret.
func (m *master) proxyCommand(endpoint string) string {
	// Without the socket, ssh would connect to the name itself: nothing has this one (RFC 2606).
	words := []string{
		shellWord(m.program), "-F", "none", "-S", m.socket, "-o", "BatchMode=yes", "-W", shellWord(endpoint), "jump.invalid",
	}
	return strings.ReplaceAll(strings.Join(words, " "), "%", "%%")
}
