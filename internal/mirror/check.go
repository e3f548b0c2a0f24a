package mirror

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/resources"
)

// safePath is a path that needs no quotes in a shell, in tmpfiles.d(5) and in logrotate.conf(5).
var safePath = regexp.MustCompile(`^(/[A-Za-z0-9_+@.-]+)+$`)

// checkText refuses text that does not show as one plain line.
func checkText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is not valid UTF-8", s)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return fmt.Errorf("%q contains the control or invisible character %U", s, r)
		}
	}
	return nil
}

// isHostName reports whether s is a host name, not an address.
func isHostName(s string) bool {
	_, err := netip.ParseAddr(s)
	return err != nil && resources.IsHostName(s)
}

// account is the account of an rsync URL, which becomes part of a command.
var account = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// modulePath is the path of an rsync URL. It has no wildcards, which an rsync server expands, and
// no percent signs, which rsync does not decode.
var modulePath = regexp.MustCompile(`^(/[A-Za-z0-9._+~@:,=-]+)+/$`)

// checkUpstream checks the URL of an rsync module, or of a directory in one. It may contain an
// account, but no password: every user of the host can see the arguments of a command. For the same
// reason, no message repeats what may be one.
func checkUpstream(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(s, "rsync://")
	if !ok {
		return fmt.Errorf("%q is not an rsync URL: begin it with rsync://", s)
	}
	authority, _, _ := strings.Cut(rest, "/")
	if i := strings.LastIndex(authority, "@"); i >= 0 && !account.MatchString(authority[:i]) {
		return errors.New("the URL contains a password or an invalid account: set the password as sync.password")
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("%q is not a valid URL", s)
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil && !isHostName(u.Hostname()) {
		return fmt.Errorf("%q has no valid host name or address", s)
	}
	if n, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || n < 1 || n > 65535) || strings.HasSuffix(u.Host, ":") {
		return fmt.Errorf("%q has an invalid port: use one from 1 to 65535", s)
	}
	_, p, _ := strings.Cut(rest, "/")
	switch p = "/" + p; {
	case p == "/":
		return fmt.Errorf("%q has no module, such as almalinux in rsync://rsync.repo.almalinux.org/almalinux/", s)
	case !strings.HasSuffix(p, "/"):
		return fmt.Errorf("%q does not end with a slash, so rsync would create a directory in the mirror's: use %q", s,
			s+"/")
	case !modulePath.MatchString(p) || path.Clean(p)+"/" != p:
		return fmt.Errorf("%q has special characters in its path: use letters, digits and . _ + ~ @ : , = -", s)
	}
	return nil
}

// bandwidth is the syntax of rsync(1)'s --bwlimit: a rate in KiB per second, or with a unit.
var bandwidth = regexp.MustCompile(`^([0-9]{1,9}(?:\.[0-9]{1,9})?)(?i:([bkmg])|([kmg])(i?)b)?$`)

// checkBandwidth checks a rate for --bwlimit. rsync refuses less than 512 bytes per second; 0 is no
// limit.
func checkBandwidth(s string) error {
	m := bandwidth.FindStringSubmatch(s)
	if m == nil {
		return fmt.Errorf("invalid rate %q: use KiB per second, or a number with a unit, such as 800k, 2.5m or 1g", s)
	}
	rate, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return fmt.Errorf("invalid rate %q: %w", s, err)
	}
	unit, step := 1.0, 1024.0
	if m[3] != "" && m[4] == "" {
		step = 1000 // KB, MB and GB
	}
	for range strings.Index("bkmg", strings.ToLower(cmp.Or(m[2]+m[3], "k"))) {
		unit *= step
	}
	if bytes := rate * unit; bytes != 0 && bytes < 512 {
		return fmt.Errorf("the rate %q is %g bytes per second, and rsync refuses less than 512", s, bytes)
	}
	return nil
}

// checkPattern checks a pattern for --exclude. rsync reads some patterns as other filter rules.
func checkPattern(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	switch {
	case s == "":
		return errors.New("a pattern is empty")
	case s == "!":
		return errors.New(`the pattern "!" would clear all filter rules, also those of the guide`)
	case strings.HasPrefix(s, "+ "), strings.HasPrefix(s, "- "):
		return fmt.Errorf("rsync would read %q as a filter rule: write only the pattern, or a filter in options, such as \"--filter=%s\"",
			s, s)
	}
	return nil
}

// refusedOptions are options of rsync(1) that run programs, read options or file lists from
// elsewhere, make it a server, or do something else than a sync. The values complete "it …".
var refusedOptions = map[string]string{
	"rsh": "runs a program", "e": "runs a program", "rsync-path": "runs a program",
	"remote-option": "sends options that are not checked", "M": "sends options that are not checked",
	"daemon": "starts a server", "server": "starts a server", "sender": "starts a server", "detach": "starts a server", "no-detach": "starts a server",
	"config": "configures a server", "dparam": "configures a server",
	"read-batch": "reads changes from a file instead of the upstream", "write-batch": "writes a program to a file",
	"only-write-batch": "writes a program to a file", "files-from": "syncs only a list of files",
	"remove-source-files": "removes files from the upstream", "remove-sent-files": "removes files from the upstream",
	"help": "runs no sync", "h": "is --help or --human-readable: use --human-readable",
	"version": "runs no sync", "V": "runs no sync",
}

// argumentOptions are the options of rsync(1) with an argument, which may be the next word.
var argumentOptions = strings.Fields(`
	B block-size T temp-dir f filter @ modify-window
	address backup-dir bwlimit cc checksum-choice checksum-seed chmod chown compare-dest compress-choice compress-level
	compress-threads confine-root contimeout copy-as copy-dest debug early-input exclude exclude-from groupmap iconv include include-from info
	link-dest log-file log-file-format log-format max-alloc max-delete max-size min-size out-format outbuf partial-dir
	password-file port protocol skip-compress sockopts stderr stop-after stop-at suffix time-limit timeout usermap
	zc zl zt`)

// checkOptions checks options of rsync: each word begins with "-", or is the argument of the word
// before it.
func checkOptions(words []string) error {
	for i := 0; i < len(words); i++ {
		word := words[i]
		if err := checkText(word); err != nil {
			return err
		}
		if len(word) < 2 || word[0] != '-' || word == "--" {
			return fmt.Errorf("%q is not an option: an option is - and a letter, or -- and a name", word)
		}
		wantsNext, err := checkOption(word)
		if err != nil {
			return err
		}
		if !wantsNext {
			continue
		}
		if i++; i == len(words) {
			return fmt.Errorf("the option %q has no argument", word)
		}
		if err := checkText(words[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkOption checks one word. wantsNext is whether the next word is its argument.
func checkOption(word string) (wantsNext bool, err error) {
	if long, ok := strings.CutPrefix(word, "--"); ok {
		name, _, hasValue := strings.Cut(long, "=")
		if why := refusedOptions[name]; why != "" && len(name) > 1 {
			return false, fmt.Errorf("--%s cannot be used: it %s", name, why)
		}
		return !hasValue && slices.Contains(argumentOptions, name) && len(name) > 1, nil
	}
	for i, r := range word[1:] {
		name := string(r)
		if why := refusedOptions[name]; why != "" {
			return false, fmt.Errorf("-%s in %q cannot be used: it %s", name, word, why)
		}
		if slices.Contains(argumentOptions, name) {
			return i == len(word)-2, nil // otherwise the rest of the word is its argument
		}
	}
	return false, nil
}
