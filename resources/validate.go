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

// Limits of Linux (limits.h). PATH_MAX, 4096, includes the NUL; NAME_MAX does not.
const (
	maxPath = 4095
	maxName = 255
)

// checkText refuses text that does not show as one plain line: invalid UTF-8, control characters,
// and characters that hide or reorder others (Unicode's Cc, Cf, Zl and Zp: bidirectional controls,
// zero-width characters, line separators).
func checkText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is not valid UTF-8", s)
	}
	for _, r := range s {
		switch {
		case r == 0:
			return fmt.Errorf("%q contains a NUL character", s)
		case unicode.IsControl(r):
			return fmt.Errorf("%q contains the control character %U", s, r)
		case unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			return fmt.Errorf("%q contains the invisible character %U", s, r)
		}
	}
	return nil
}

// checkPath requires an absolute, clean path, and not "/". So two paths are the same file only if
// they are equal, apart from links.
func checkPath(p string) error {
	switch {
	case p == "":
		return fmt.Errorf("the path is empty")
	case checkText(p) != nil:
		return checkText(p)
	case p[0] != '/':
		return fmt.Errorf("%q is a relative path: use an absolute one, which begins with /", p)
	case p == "/":
		return fmt.Errorf("the path / cannot be managed: use a path below it")
	case path.Clean(p) != p:
		return fmt.Errorf("%q has \".\", \"..\", or doubled or trailing slashes: use %q", p, path.Clean(p))
	case len(p) > maxPath:
		return fmt.Errorf("the path is too long: it has %d bytes, and Linux allows %d", len(p), maxPath)
	}
	for name := range strings.SplitSeq(p[1:], "/") {
		if len(name) > maxName {
			return fmt.Errorf("the file name %q is too long: it has %d bytes, and Linux allows %d", name, len(name), maxName)
		}
	}
	return nil
}

// report returns an error as the problem of an attribute.
func report(attribute string, err error) []engine.Problem {
	if err == nil {
		return nil
	}
	return []engine.Problem{{Severity: engine.Error, Attribute: attribute, Summary: err.Error()}}
}

// accountName is a name that useradd(8) and groupadd(8) accept: is_valid_name of shadow-utils,
// without the final $ of Samba machine accounts.
var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]*$`)

// checkAccount checks the name of a new user or group.
func checkAccount(name string) error {
	if len(name) <= 32 && accountName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("invalid account name %q: use at most 32 lower-case letters, digits, - and _, beginning with a letter or _", name)
}

// ownerName is the name or the number of an existing account. Names of a directory service (LDAP,
// Active Directory) have more characters.
var ownerName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.@-]*\$?|0|[1-9][0-9]{0,9})$`)

// isOwner reports whether s can be the name or the number of an account.
func isOwner(s string) bool { return len(s) <= 65 && ownerName.MatchString(s) }

// maxID is the highest user or group number: to chown(2), 2³²-1 means "do not change".
const maxID = 1<<32 - 2

// checkOwner checks the name or the number of a user or group. Empty is valid.
func checkOwner(s string) error {
	if s == "" {
		return nil
	}
	if !isOwner(s) {
		return fmt.Errorf("invalid account %q: use a name or a number", s)
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil && n > maxID {
		return fmt.Errorf("invalid account number %s: the highest one is %d", s, int64(maxID))
	}
	return nil
}

// octal is the syntax of modes, with or without the digit for setuid, setgid and sticky.
var octal = regexp.MustCompile(`^[0-7]{3,4}$`)

// parseMode reads a mode as chmod(1) does: 3 or 4 octal digits.
func parseMode(s string) (uint32, error) {
	if !octal.MatchString(s) {
		return 0, fmt.Errorf("invalid mode %q: use a string of 3 or 4 octal digits, such as \"0644\"", s)
	}
	n, err := strconv.ParseUint(s, 8, 32)
	return uint32(n), err
}

// formatMode formats a mode with 4 octal digits.
func formatMode(m uint32) string { return fmt.Sprintf("%04o", m) }

// checkAttributes checks owner, group and mode. Each may be empty.
func checkAttributes(owner, group, mode string) []engine.Problem {
	out := slices.Concat(report("owner", checkOwner(owner)), report("group", checkOwner(group)))
	if mode != "" {
		_, err := parseMode(mode)
		out = append(out, report("mode", err)...)
	}
	return out
}

// checkProgram checks a command. The program must be an absolute path, so that PATH does not
// decide what runs.
func checkProgram(argv []string) error {
	if len(argv) == 0 {
		return fmt.Errorf("the list is empty: begin it with the absolute path of a program")
	}
	if err := checkPath(argv[0]); err != nil {
		return fmt.Errorf("the program: %w", err)
	}
	for _, arg := range argv {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("the argument %q contains a NUL character", arg)
		}
	}
	return nil
}

// fileNeeds returns the keys of what must exist before a file at p with this owner and group.
func fileNeeds(p, owner, group string) []engine.Key {
	needs := []engine.Key{engine.PathKey(path.Dir(p))}
	if owner != "" {
		needs = append(needs, engine.UserKey(owner))
	}
	if group != "" {
		// useradd(8) creates a group with the user's name.
		needs = append(needs, engine.GroupKey(group))
		if group != owner {
			needs = append(needs, engine.UserKey(group))
		}
	}
	return needs
}
