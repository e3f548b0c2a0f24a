package resources

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/engine"
)

// Limits of Linux: PATH_MAX counts the final NUL, NAME_MAX does not (limits.h).
const (
	maxPath = 4095
	maxName = 255
)

// checkText tells what makes s unfit for one line that people read: invalid UTF-8, control characters, and characters
// that hide or reorder others (Unicode's Cc, Cf, Zl and Zp: bidi controls, zero-width characters, line separators).
func checkText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is not valid UTF-8", s)
	}
	for _, r := range s {
		switch {
		case r == 0:
			return fmt.Errorf("%q holds a NUL character", s)
		case unicode.IsControl(r):
			return fmt.Errorf("%q holds the control character %U", s, r)
		case unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			return fmt.Errorf("%q holds the invisible character %U", s, r)
		}
	}
	return nil
}

// checkPath tells why p does not name one thing on a host in one way: it must be absolute and clean, and not "/".
func checkPath(p string) error {
	switch {
	case p == "":
		return fmt.Errorf("the path is empty")
	case checkText(p) != nil:
		return checkText(p)
	case p[0] != '/':
		return fmt.Errorf("%q is a relative path: write an absolute one, which begins with /", p)
	case p == "/":
		return fmt.Errorf("the path / is the whole host: name something in it")
	case path.Clean(p) != p:
		return fmt.Errorf("%q is not written plainly: the same path without \".\", \"..\", doubled and trailing slashes is %q", p, path.Clean(p))
	case len(p) > maxPath:
		return fmt.Errorf("the path has %d bytes, Linux allows %d", len(p), maxPath)
	}
	for name := range strings.SplitSeq(p[1:], "/") {
		if len(name) > maxName {
			return fmt.Errorf("%q has %d bytes, Linux allows %d in the name of a file", name, len(name), maxName)
		}
	}
	return nil
}

// report is the problem of an attribute, or none.
func report(attribute string, err error) []engine.Problem {
	if err == nil {
		return nil
	}
	return []engine.Problem{{Severity: engine.Error, Attribute: attribute, Summary: err.Error()}}
}

// accountName is the rule of shadow-utils for names that useradd and groupadd make (its is_valid_name, without the
// final $ of Samba machine accounts).
var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]*$`)

// checkAccount tells why useradd(8) or groupadd(8) would not make an account of that name.
func checkAccount(name string) error {
	if len(name) <= 32 && accountName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%q cannot name an account: it takes a lower case letter or _, then at most 31 lower case letters, digits, - or _", name)
}

// ownerName is the name of an account that may come from anywhere (LDAP, Active Directory), or a number.
var ownerName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.@-]*\$?|0|[1-9][0-9]{0,9})$`)

// isOwner reports whether s can name or number an account.
func isOwner(s string) bool { return len(s) <= 65 && ownerName.MatchString(s) }

// maxID is the highest user or group number: 2³²-1 means "leave it" to chown(2).
const maxID = 1<<32 - 2

// checkOwner tells why s is neither the name nor the number of a user or group. Empty is fine.
func checkOwner(s string) error {
	if s == "" {
		return nil
	}
	if !isOwner(s) {
		return fmt.Errorf("%q is neither a name nor a number of an account", s)
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil && n > maxID {
		return fmt.Errorf("%s is above the highest account number, %d", s, int64(maxID))
	}
	return nil
}

// octal is how modes are written: with or without the digit for setuid, setgid and sticky.
var octal = regexp.MustCompile(`^[0-7]{3,4}$`)

// parseMode reads a mode as chmod(1) does: 3 or 4 octal digits.
func parseMode(s string) (uint32, error) {
	if !octal.MatchString(s) {
		return 0, fmt.Errorf("%q is no mode: write 3 or 4 octal digits as a string, like \"0644\"", s)
	}
	n, err := strconv.ParseUint(s, 8, 32)
	return uint32(n), err
}

// formatMode writes a mode with 4 octal digits.
func formatMode(m uint32) string { return fmt.Sprintf("%04o", m) }

// checkAttributes tells what is wrong with owner, group and mode; each may be empty.
func checkAttributes(owner, group, mode string) []engine.Problem {
	out := slices.Concat(report("owner", checkOwner(owner)), report("group", checkOwner(group)))
	if mode != "" {
		_, err := parseMode(mode)
		out = append(out, report("mode", err)...)
	}
	return out
}

// checkProgram tells why argv[0] may not be run: it must be an absolute path, so that no search path decides what runs.
func checkProgram(argv []string) error {
	if len(argv) == 0 {
		return fmt.Errorf("no program is given")
	}
	if err := checkPath(argv[0]); err != nil {
		return fmt.Errorf("the program: %w", err)
	}
	for _, arg := range argv {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("the argument %q holds a NUL character", arg)
		}
	}
	return nil
}

// fileNeeds are the keys of what must be there before something at p that has this owner and group.
func fileNeeds(p, owner, group string) []engine.Key {
	needs := []engine.Key{engine.PathKey(path.Dir(p))}
	if owner != "" {
		needs = append(needs, engine.UserKey(owner))
	}
	if group != "" {
		// useradd makes a group of the user's name.
		needs = append(needs, engine.GroupKey(group))
		if group != owner {
			needs = append(needs, engine.UserKey(group))
		}
	}
	return needs
}

// holdsPath reports whether p is dir or below it.
func holdsPath(dir, p string) bool {
	return p == dir || strings.HasPrefix(p, dir+"/")
}
