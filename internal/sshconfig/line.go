package sshconfig

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const blanks = " \t\r\n"

// parsedLine is a line with a keyword that this package handles, or what is wrong with it for any
// host.
type parsedLine struct {
	number  int
	keyword string // in lower case
	args    []string
	rest    string // all after the keyword
	err     error
}

// place returns the position of the line, as FILE:LINE.
func (l *parsedLine) place(s source) string { return fmt.Sprintf("%s:%d", s.path, l.number) }

// parseLines parses the lines of a file, without those that have no effect.
func parseLines(text string) (lines []parsedLine) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		keyword, rest := splitKeyword(line)
		k, known := keywords[keyword]
		if !known {
			continue
		}
		l := parsedLine{number: n, keyword: keyword, rest: rest}
		if l.args, l.err = splitArguments(rest); l.err == nil {
			l.err = k.checkLine(l.args, rest)
		}
		if l.err == nil && len(l.args) == 0 && keyword != "host" { // a comment instead of an argument
			continue
		}
		lines = append(lines, l)
	}
	return lines
}

// splitKeyword splits a line into the keyword, in lower case, and the rest after blanks and at most
// one equals sign. Both are empty for a blank line or a comment.
func splitKeyword(line string) (keyword, rest string) {
	line = strings.Trim(strings.TrimRight(line, blanks+"\f"), blanks)
	if line == "" || line[0] == '#' {
		return "", ""
	}
	end := strings.IndexAny(line, blanks+`"=`)
	switch {
	case end < 0:
		return strings.ToLower(line), ""
	case line[end] == '"': // a keyword may be quoted
		name, after, closed := strings.Cut(line[end+1:], `"`)
		if !closed {
			return "", ""
		}
		return strings.ToLower(line[:end] + name), strings.TrimLeft(after, blanks)
	}
	keyword, rest = line[:end], strings.TrimLeft(line[end+1:], blanks)
	if line[end] != '=' && strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], blanks)
	}
	return strings.ToLower(keyword), rest
}

var errQuote = errors.New("missing closing quotation mark")

// splitArguments splits the rest of a line into arguments. It handles double and single quotes, a
// backslash before a quote, a backslash or a space, and a comment where an argument could start.
func splitArguments(s string) ([]string, error) {
	var args []string
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			continue
		}
		if s[i] == '#' {
			break
		}
		var arg []byte
		var quote byte
		for ; i < len(s); i++ {
			c := s[i]
			switch {
			case c == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
				i++
				arg = append(arg, s[i])
				continue
			case c == '\\':
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
				continue
			case quote != 0 && c == quote:
				quote = 0
				continue
			}
			if quote == 0 && (c == ' ' || c == '\t') {
				break
			}
			arg = append(arg, c)
		}
		if quote != 0 {
			return nil, errQuote
		}
		args = append(args, string(arg))
	}
	return args, nil
}

// keyword is a keyword that this package handles.
type keyword struct {
	name  string
	check func(args []string, rest string) error // checks the arguments, even if the line does not apply
	list  bool                                   // takes any number of arguments
	many  bool                                   // all values that apply count, not only the first
	// why is why the keyword is not supported, and harmless are the values that are accepted
	// nevertheless.
	why      string
	harmless []string
}

// checkLine checks the arguments of a line, even if it does not apply to a host.
func (k *keyword) checkLine(args []string, rest string) error {
	if rest == "" || len(args) == 0 && !k.list || len(args) > 0 && args[0] == "" {
		return fmt.Errorf("%s has no argument", k.name)
	}
	if k.check == nil || len(args) == 0 {
		return nil
	}
	if err := k.check(args, rest); err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	return nil
}

const noPrograms = "mirrorform does not run programs from this file"

// keywords are the keywords that determine how to reach a host, by name in lower case.
var keywords = map[string]keyword{
	"host":                 {name: "Host", list: true},
	"match":                {name: "Match"},
	"include":              {name: "Include", list: true},
	"hostname":             {name: "HostName", check: one},
	"user":                 {name: "User", check: one},
	"port":                 {name: "Port", check: port},
	"addressfamily":        {name: "AddressFamily", check: word("any", "inet", "inet6")},
	"identityfile":         {name: "IdentityFile", check: one, many: true},
	"certificatefile":      {name: "CertificateFile", check: one, many: true},
	"identitiesonly":       {name: "IdentitiesOnly", check: flag},
	"identityagent":        {name: "IdentityAgent", check: one},
	"userknownhostsfile":   {name: "UserKnownHostsFile", check: list, list: true},
	"globalknownhostsfile": {name: "GlobalKnownHostsFile", check: list, list: true},
	"hostkeyalias":         {name: "HostKeyAlias", check: one},
	"proxyjump":            {name: "ProxyJump", check: jump},
	"connecttimeout":       {name: "ConnectTimeout", check: duration},
	"serveraliveinterval":  {name: "ServerAliveInterval", check: duration},
	"serveralivecountmax":  {name: "ServerAliveCountMax", check: count},
	"proxycommand": {
		name: "ProxyCommand", why: noPrograms + " with --confine: use ProxyJump, or jump in the host block", harmless: []string{"none"},
	},
	"knownhostscommand": {name: "KnownHostsCommand", why: noPrograms, harmless: []string{"none"}},
	"revokedhostkeys": {
		name: "RevokedHostKeys", why: "it is not supported: mark such keys @revoked in known_hosts",
		harmless: []string{"none"},
	},
	"canonicalizehostname": {
		name: "CanonicalizeHostname", why: "it is not supported: write host names in full",
		harmless: []string{"no", "false", "none"},
	},
	"bindaddress":   {name: "BindAddress", why: "it is not supported"},
	"bindinterface": {name: "BindInterface", why: "it is not supported"},
	"pkcs11provider": {
		name: "PKCS11Provider", why: "it is not supported: add its keys to ssh-agent with: ssh-add -s PROVIDER",
		harmless: []string{"none"},
	},
	"pubkeyauthentication": {
		name: "PubkeyAuthentication", why: "mirrorform logs in with keys only",
		harmless: []string{"yes", "true", "unbound", "host-bound"},
	},
	"preferredauthentications": {name: "PreferredAuthentications", check: one},
}

func one(args []string, _ string) error {
	if len(args) > 1 {
		return fmt.Errorf("unexpected argument %q", args[1])
	}
	return nil
}

func list(args []string, _ string) error {
	for _, a := range args {
		if a == "" {
			return errors.New("empty argument")
		}
		if strings.EqualFold(a, "none") && len(args) > 1 {
			return errors.New("none must be the only argument")
		}
	}
	return nil
}

func word(words ...string) func([]string, string) error {
	return func(args []string, _ string) error {
		for _, w := range words {
			if strings.EqualFold(args[0], w) {
				return one(args, "")
			}
		}
		return fmt.Errorf("invalid argument %q: must be one of %s", args[0], strings.Join(words, ", "))
	}
}

func flag(args []string, _ string) error { return word("yes", "true", "no", "false")(args, "") }

func port(args []string, _ string) error {
	if parsePort(args[0]) == 0 {
		return fmt.Errorf("invalid port %q", args[0])
	}
	return one(args, "")
}

// parsePort parses a port: a number, or a service name known to getservbyname(3). It returns 0 if
// it is invalid.
func parsePort(s string) int {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n < 1 || n > 65535 {
			return 0
		}
		return int(n)
	}
	n, err := net.LookupPort("tcp", s)
	if err != nil {
		return 0
	}
	return n
}

func duration(args []string, _ string) error {
	if _, ok := parseDuration(args[0]); !ok {
		return fmt.Errorf("invalid time %q: write 30 or 1m30s", args[0])
	}
	return one(args, "")
}

// parseDuration parses a time (sshd_config(5), TIME FORMATS). "none" is 0.
func parseDuration(s string) (time.Duration, bool) {
	if s == "none" {
		return 0, true
	}
	units := map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}
	var total int64
	for rest := s; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil || n > math.MaxInt32 {
			return 0, false
		}
		unit := byte('s')
		if rest = rest[digits:]; rest != "" {
			unit, rest = rest[0]|0x20, rest[1:] // in lower case
		}
		seconds, ok := units[unit]
		if total += n * seconds; !ok || total > math.MaxInt32 {
			return 0, false
		}
	}
	return time.Duration(total) * time.Second, s != ""
}

func count(args []string, _ string) error {
	if n, err := strconv.ParseInt(args[0], 10, 32); err != nil || n < 0 {
		return fmt.Errorf("invalid number %q", args[0])
	}
	return one(args, "")
}

func jump(_ []string, rest string) error {
	_, err := ParseJump(rest)
	return err
}

// ParseJump parses the argument of ProxyJump, the unquoted rest of the line: a comma-separated list
// of [USER@]HOST[:PORT] or URIs. For "none" it returns no hops.
func ParseJump(s string) ([]Hop, error) {
	s = strings.TrimLeft(s, blanks+"=") // they may follow a quoted keyword
	if strings.EqualFold(s, "none") {
		return nil, nil
	}
	s, _, _ = strings.Cut(s, "#")
	var hops []Hop
	for part := range strings.SplitSeq(strings.TrimRight(s, blanks), ",") {
		hop, err := parseHop(part)
		if err != nil {
			return nil, fmt.Errorf("%q is not [USER@]HOST[:PORT]: %w", part, err)
		}
		hops = append(hops, hop)
	}
	return hops, nil
}

func parseHop(s string) (Hop, error) {
	var hop Hop
	if rest, ok := strings.CutPrefix(s, "ssh://"); ok {
		rest = strings.TrimSuffix(rest, "/")
		if strings.ContainsAny(rest, "/[") {
			return hop, errors.New("ssh does not support a path or a bracketed address in this URI")
		}
		if at := strings.LastIndexByte(rest, '@'); at >= 0 { // the user may be percent-encoded
			name, err := url.PathUnescape(rest[:at])
			if err != nil {
				return hop, err
			}
			name, _, _ = strings.Cut(name, ";")
			hop.User, rest = name, rest[at+1:]
			if hop.User == "" || strings.Contains(hop.User, "@") {
				return hop, errors.New("the user is empty or contains @")
			}
		}
		s = rest
	} else if at := strings.LastIndexByte(s, '@'); at >= 0 {
		if hop.User, s = s[:at], s[at+1:]; hop.User == "" {
			return hop, errors.New("the user is empty")
		}
	}
	hop.Host = s
	if strings.HasPrefix(s, "[") {
		host, after, closed := strings.Cut(s[1:], "]")
		if !closed || after != "" && after[0] != ':' {
			return hop, errors.New("missing closing bracket")
		}
		hop.Host, s = host, after
	} else if i := strings.IndexAny(s, ":/"); i >= 0 {
		hop.Host, s = s[:i], s[i:]
	} else {
		s = ""
	}
	if s = strings.TrimLeft(s, ":/"); s != "" {
		if hop.Port = parsePort(s); hop.Port == 0 {
			return hop, errors.New("invalid port")
		}
	}
	if hop.Host == "" || hop.Host[0] == '-' || strings.ContainsAny(hop.Host, blanks+"'`\"$\\;&<>|(){},") {
		return hop, errors.New("invalid host name")
	}
	return hop, nil
}
