// Package sshconfig reads OpenSSH's client configuration, ssh_config(5), as ssh(1) does: the first
// value that applies to a host counts.
//
// It handles the keywords that determine how to reach a host. Those that mirrorform does not
// support (KnownHostsCommand and others) are an error, with file and line, for the hosts that they
// apply to. It ignores all other keywords, and unknown ones; ssh itself reports misspelt ones.
package sshconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config is a client configuration: one or more files, the first of which takes precedence. It is
// safe for concurrent use.
type Config struct {
	files    []source
	self     *user.User
	home     string
	programs bool // Match exec and ProxyCommand run programs

	mu   sync.Mutex
	read map[string]result // by path

	running sync.Mutex
	ran     map[string]bool // commands of Match exec: whether they succeeded
}

// LackError is the error of a configuration that needs what this package lacks, and ssh(1) has.
type LackError struct {
	Keyword string // the keyword, in the spelling of ssh_config(5)
	err     error
}

// Error implements error.
func (e *LackError) Error() string { return e.err.Error() }

// Unwrap returns the error itself.
func (e *LackError) Unwrap() error { return e.err }

// source is a configuration file.
type source struct {
	path    string
	dir     string // base directory of Include
	user    bool   // a user's file: ~ is expanded
	trusted bool   // its owner and mode are not checked
	must    bool   // it must exist
}

// Open returns the configuration in a file, or, for "", that of the user and the system:
// ~/.ssh/config and /etc/ssh/ssh_config, if they exist. It does not read them yet. programs is
// whether the files may name programs to run.
func Open(file string, programs bool) (*Config, error) {
	self, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("ssh_config: the current user is unknown: %w", err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = self.HomeDir
	}
	c := &Config{self: self, home: home, programs: programs}
	dir := filepath.Join(home, ".ssh")
	if file != "" {
		c.files = []source{{path: file, dir: dir, user: true, trusted: true, must: true}}
		return c, nil
	}
	c.files = []source{
		{path: filepath.Join(dir, "config"), dir: dir, user: true},
		{path: "/etc/ssh/ssh_config", dir: "/etc/ssh", trusted: true},
	}
	return c, nil
}

// Given are settings from elsewhere, like the options of ssh(1). They take precedence over all
// files.
type Given struct {
	User string // "" if not set
	Port int    // 0 if not set
	Jump bool   // the jump host is set elsewhere: ignore ProxyJump and ProxyCommand
}

// Settings are the configuration of one host. A field is zero if it is not set.
type Settings struct {
	HostName             string // to connect to; never empty
	User                 string // Given.User, if set
	Port                 int    // Given.Port, if set
	AddressFamily        string // "inet" or "inet6"
	IdentityFiles        []string
	NoIdentityFiles      bool // IdentityFile none
	CertificateFiles     []string
	IdentitiesOnly       bool
	IdentityAgent        string // a socket's path, or "none"
	UserKnownHostsFiles  []string
	GlobalKnownHostsFile []string
	HostKeyAlias         string
	ConnectTimeout       time.Duration
	ServerAliveInterval  time.Duration
	ServerAliveCountMax  int   // 0 if not set
	Jump                 []Hop // ProxyJump, in order from this machine
	ProxyCommand         string
	ProxyPlace           string // the line of ProxyCommand, as FILE:LINE
}

// Hop is a jump host of ProxyJump.
type Hop struct {
	User string // "" if not set
	Host string
	Port int // 0 if not set
	// Place is the line that sets it, as FILE:LINE.
	Place string
}

// For returns the settings of a host, by the name that a user would pass to ssh(1).
func (c *Config) For(host string, given Given) (*Settings, error) {
	q := &query{config: c, host: host, given: given, first: map[string]value{}}
	for _, s := range c.files {
		if err := q.read(s, active, 0); err != nil {
			return nil, fmt.Errorf("ssh_config: %w", err)
		}
	}
	settings, err := q.settings()
	if err != nil {
		return nil, fmt.Errorf("ssh_config: %w", err)
	}
	return settings, nil
}

// state is whether lines apply to the host.
type state int

const (
	inactive state = iota
	undecided
	active
)

// value is the value of a keyword.
type value struct {
	args    []string
	raw     string // the rest of the line, for ProxyJump and ProxyCommand
	place   string
	command bool // ProxyCommand
}

// query collects the values that apply to one host.
type query struct {
	config *Config
	host   string
	given  Given

	first        map[string]value // values of keywords for which the first one counts
	identities   []value
	certificates []value
	reads        int
	match        string // the undecided Match line: its criterion and place
}

const (
	maxDepth = 16      // nesting of Include: ssh_config(5)
	maxReads = 1000    // files read for one host
	maxFile  = 1 << 20 // bytes of a file
	maxFiles = 100     // values of IdentityFile and of CertificateFile
)

// read reads a file. Its lines apply at most as far as the state of the Include line.
func (q *query) read(s source, st state, depth int) error {
	if q.reads++; depth > maxDepth || q.reads > maxReads {
		return fmt.Errorf("%s: too many nested Include lines; check that no file includes itself", s.path)
	}
	lines, err := q.config.lines(s)
	if errors.Is(err, fs.ErrNotExist) && !s.must {
		return nil
	}
	if err != nil {
		return err
	}
	limit := st // Host and Match apply at most as far as the block with the Include
	for i := range lines {
		if err := q.line(s, &lines[i], limit, &st, depth); err != nil {
			var placed *placedError
			if errors.As(err, &placed) { // from an included file
				return err
			}
			return &placedError{lines[i].place(s), err}
		}
	}
	return nil
}

// placedError is an error with its position, FILE:LINE.
type placedError struct {
	place string
	err   error
}

func (e *placedError) Error() string { return e.place + ": " + e.err.Error() }

func (e *placedError) Unwrap() error { return e.err }

// lines returns the lines of a file. It reads and parses each file once: a file often has a block
// for each host of a fleet.
func (c *Config) lines(s source) ([]parsedLine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.read[s.path]; ok {
		return r.lines, r.err
	}
	data, err := readFile(s)
	r := result{parseLines(string(data)), err}
	if c.read == nil {
		c.read = map[string]result{}
	}
	c.read[s.path] = r
	return r.lines, r.err
}

type result struct {
	lines []parsedLine
	err   error
}

func readFile(s source) ([]byte, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := permitted(s, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d KiB", s.path, maxFile>>10)
	}
	return data, nil
}

// permitted refuses a file that other users can write, as ssh(1) does.
func permitted(s source, info fs.FileInfo) error {
	if info.IsDir() {
		return fmt.Errorf("%s is a directory", s.path)
	}
	if s.trusted {
		return nil
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if ok && owner.Uid != 0 && int(owner.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s: it belongs to another user, or other users can write it (mode %#o), so ssh refuses it; "+
			"run: chmod go-w %[1]s",
			s.path, info.Mode().Perm())
	}
	return nil
}

// line evaluates one line.
func (q *query) line(s source, l *parsedLine, limit state, st *state, depth int) error {
	switch {
	case l.err != nil:
		return l.err
	case l.keyword == "host":
		*st = min(q.matchesHost(l.args), limit)
		return nil
	case l.keyword == "match":
		matched, err := q.matches(l.args, l.place(s))
		*st = min(matched, limit)
		return err
	case l.keyword == "include":
		return q.include(s, l.args, *st, depth)
	case *st == inactive:
		return nil
	}
	return q.set(l.keyword, keywords[l.keyword], value{args: l.args, raw: l.rest, place: l.place(s)}, *st)
}

// set records a value that applies to the host, unless an earlier one does.
func (q *query) set(keyword string, k keyword, v value, st state) error {
	if keyword == "proxycommand" || keyword == "proxyjump" { // the first of the two counts
		if q.given.Jump {
			return nil
		}
		if keyword == "proxycommand" && q.config.programs {
			k.why, k.harmless, v.command = "", nil, true
			v.raw = strings.Trim(v.raw, " \t=\r\f") // as ssh(1) does
		}
		keyword = "proxyjump"
	}
	_, done := q.first[keyword]
	switch {
	case keyword == "connecttimeout" && v.args[0] == "none": // a later value still counts
		return nil
	case done && !k.many, keyword == "user" && q.given.User != "", keyword == "port" && q.given.Port != 0:
		return nil
	}
	harmless := func(s string) bool { return strings.EqualFold(s, v.args[0]) }
	if k.harmless != nil && slices.ContainsFunc(k.harmless, harmless) {
		// The value has no effect here, but later values of the keyword do not count either.
		if st == active {
			q.first[keyword] = v
		}
		return nil
	}
	if st == undecided {
		return &LackError{k.name, fmt.Errorf("%s: it is unknown whether it applies to %s, because of %s; move it to a Host "+
			"block, or use another file (--ssh-config)",
			k.name, q.host, q.match)}
	}
	if k.why != "" {
		return &LackError{k.name, fmt.Errorf("%s, which applies to %s: %s; or use another file (--ssh-config FILE), or "+
			"none (--ssh-config none)",
			k.name, q.host, k.why)}
	}
	switch keyword {
	case "identityfile":
		q.identities = append(q.identities, v)
	case "certificatefile":
		q.certificates = append(q.certificates, v)
	default:
		q.first[keyword] = v
	}
	if len(q.identities) > maxFiles || len(q.certificates) > maxFiles {
		return fmt.Errorf("more than %d values", maxFiles)
	}
	return nil
}

// include reads the files that an Include line names.
func (q *query) include(s source, patterns []string, st state, depth int) error {
	for _, p := range patterns {
		rest, home := strings.CutPrefix(p, "~/")
		switch {
		case p == "":
			return errors.New("an Include has an empty argument")
		case strings.Contains(p, "%") || strings.Contains(p, "${"):
			return fmt.Errorf("cannot include %s: tokens and variables are not supported here; write the path itself", p)
		case home && s.user:
			p = filepath.Join(q.config.home, rest)
		case strings.HasPrefix(p, "~"):
			return fmt.Errorf("cannot include %s: ~ is only supported as ~/ in the user's configuration", p)
		case !filepath.IsAbs(p):
			p = filepath.Join(s.dir, p)
		}
		names, err := filepath.Glob(p) // sorted
		if err != nil {
			return fmt.Errorf("cannot include %s: %w", p, err)
		}
		for _, name := range names {
			// Not trusted, even if s is: the owner and mode of included files are checked.
			if err := q.read(source{path: name, dir: s.dir, user: s.user}, st, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
