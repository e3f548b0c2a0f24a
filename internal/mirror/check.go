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

// safePath is a path that means the same to a shell, in tmpfiles.d(5) and in logrotate(8)'s files without any quotes.
var safePath = regexp.MustCompile(`^(/[A-Za-z0-9_+@.-]+)+$`)

// checkText tells what makes s unfit for a line that people read and programs take word for word.
func checkText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is not valid UTF-8", s)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return fmt.Errorf("%q holds the control or invisible character %U", s, r)
		}
	}
	return nil
}

// isHostName tells whether s is a name, and no address.
func isHostName(s string) bool {
	_, err := netip.ParseAddr(s)
	return err != nil && resources.IsHostName(s)
}

// modulePath is the path of an rsync URL: no wildcards, which rsync's server would expand, and no percent signs, which
// rsync does not decode.
var modulePath = regexp.MustCompile(`^(/[A-Za-z0-9._+~@:,=-]+)+/$`)

// checkUpstream tells why s is not the URL of an rsync module or of a directory in one. It may hold no user name or
// password: every user of the host sees a command's arguments. No message repeats what may be one.
func checkUpstream(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(s, "rsync://")
	if !ok {
		return fmt.Errorf("%q is no rsync URL: it begins with rsync://", s)
	}
	if authority, _, _ := strings.Cut(rest, "/"); strings.Contains(authority, "@") {
		return errors.New("the URL holds a user name: leave it out, the upstream is public")
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("%q is no URL", s)
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil && !isHostName(u.Hostname()) {
		return fmt.Errorf("%q has no host name or address that could be asked", s)
	}
	if n, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || n < 1 || n > 65535) || strings.HasSuffix(u.Host, ":") {
		return fmt.Errorf("%q has no port between 1 and 65535 after the colon", s)
	}
	_, p, _ := strings.Cut(rest, "/")
	switch p = "/" + p; {
	case p == "/":
		return fmt.Errorf("%q names no module, like almalinux in rsync://rsync.repo.almalinux.org/almalinux/", s)
	case !strings.HasSuffix(p, "/"):
		return fmt.Errorf("%q lacks the final slash, without which rsync makes a directory inside the mirror's: write %q", s, s+"/")
	case !modulePath.MatchString(p) || path.Clean(p)+"/" != p:
		return fmt.Errorf("%q has a path that rsync may read in another way: use letters, digits and . _ + ~ @ : , = -", s)
	}
	return nil
}

// bandwidth is rsync(1)'s --bwlimit: a rate in KiB a second, or with a unit.
var bandwidth = regexp.MustCompile(`^([0-9]{1,9}(?:\.[0-9]{1,9})?)(?i:([bkmg])|([kmg])(i?)b)?$`)

// checkBandwidth tells why s is not a rate for --bwlimit. rsync refuses one of less than 512 bytes a second; 0 means no limit.
func checkBandwidth(s string) error {
	m := bandwidth.FindStringSubmatch(s)
	if m == nil {
		return fmt.Errorf("%q is no rate: write KiB a second as a number, or with a unit, like 800k, 2.5m or 1g", s)
	}
	rate, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return fmt.Errorf("%q is no rate: %w", s, err)
	}
	unit, step := 1.0, 1024.0
	if m[3] != "" && m[4] == "" {
		step = 1000 // KB, MB and GB
	}
	for range strings.Index("bkmg", strings.ToLower(cmp.Or(m[2]+m[3], "k"))) {
		unit *= step
	}
	if bytes := rate * unit; bytes != 0 && bytes < 512 {
		return fmt.Errorf("%q is %g bytes a second, and rsync takes no rate below 512", s, bytes)
	}
	return nil
}

// checkPattern tells why s is not a pattern for --exclude. With that option rsync reads some beginnings as other rules.
func checkPattern(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	switch {
	case s == "":
		return errors.New("a pattern is empty")
	case s == "!":
		return errors.New(`"!" would clear all filter rules, those of the guide too`)
	case strings.HasPrefix(s, "+ "), strings.HasPrefix(s, "- "):
		return fmt.Errorf("%q would be read as a filter rule: write the pattern alone, or a filter in options, like \"--filter=%s\"", s, s)
	}
	return nil
}

// refusedOptions are those of rsync(1) that run programs, read commands or configuration from elsewhere, speak a part of
// rsync's that is not ours, or take the meaning from a sync that is guarded by a lock.
var refusedOptions = map[string]string{
	"rsh": "runs a program", "e": "runs a program", "rsync-path": "runs a program",
	"remote-option": "sends options that are not checked", "M": "sends options that are not checked",
	"daemon": "starts a server", "server": "starts a server", "sender": "starts a server", "detach": "starts a server", "no-detach": "starts a server",
	"config": "configures a server", "dparam": "configures a server",
	"read-batch": "reads changes from a file in place of the upstream", "write-batch": "writes a program to a file",
	"only-write-batch": "writes a program to a file", "files-from": "names files that come from elsewhere",
	"remove-source-files": "removes what upstream has", "remove-sent-files": "removes what upstream has",
	"help": "runs no sync", "h": "is --help or --human-readable: write --human-readable", "version": "runs no sync", "V": "runs no sync",
}

// argumentOptions are the options of rsync(1) that take an argument, which may stand in the next word.
var argumentOptions = strings.Fields(`
	B block-size T temp-dir f filter @ modify-window
	address backup-dir bwlimit cc checksum-choice checksum-seed chmod chown compare-dest compress-choice compress-level
	compress-threads confine-root contimeout copy-as copy-dest debug early-input exclude exclude-from groupmap iconv include include-from info
	link-dest log-file log-file-format log-format max-alloc max-delete max-size min-size out-format outbuf partial-dir
	password-file port protocol skip-compress sockopts stderr stop-after stop-at suffix time-limit timeout usermap
	zc zl zt`)

// checkOptions tells what is wrong with words that are rsync's options: each begins with "-", or is the argument of the
// one before it.
func checkOptions(words []string) error {
	for i := 0; i < len(words); i++ {
		word := words[i]
		if err := checkText(word); err != nil {
			return err
		}
		if len(word) < 2 || word[0] != '-' || word == "--" {
			return fmt.Errorf("%q is no option: an option begins with - and has a name", word)
		}
		wantsNext, err := checkOption(word)
		if err != nil {
			return err
		}
		if !wantsNext {
			continue
		}
		if i++; i == len(words) {
			return fmt.Errorf("%q lacks its argument", word)
		}
		if err := checkText(words[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkOption checks one word; wantsNext tells that the next one is its argument.
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
			return i == len(word)-2, nil // what follows in the word is its argument
		}
	}
	return false, nil
}
