package ssh

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// The command lines that hosts run. Each is a constant, in which only hexadecimal digits of our own
// and a choice among constants vary. Nothing from a configuration or a host ever becomes part of
// one.
//
// sshd passes a command line to the user's login shell, whichever that is. So each is one simple
// command, /bin/sh -c and a script in single quotes. The script has no character that csh, fish and
// the Bourne shells read differently: no quote, backslash, exclamation mark or newline.

// rootPlace is a directory for root's helper, writable only by root. It lists the directories that
// belong to mirrorform, outermost first; the last one holds the helper.
type rootPlace []string

// rootPlaces are the directories for root's helper, in the order in which they are tried. Other
// accounts can search them, to see whether the helper is there before they become root, but not
// list or read them.
var rootPlaces = []rootPlace{
	{"/var/lib/mirrorform", "/var/lib/mirrorform/helper"},
	{"/opt/mirrorform"}, // if /var is mounted noexec
}

func (p rootPlace) dir() string { return p[len(p)-1] }

// directories are the directories for the helper of an account that does not become root, in the
// order in which they are tried, as /bin/sh reads them. If a variable is not set, the path is one
// that cannot exist.
var directories = []string{
	`${HOME:-/dev/null}/.cache/mirrorform`,
	`/var/tmp/mirrorform-${LOGNAME:-/}`,
	`${XDG_RUNTIME_DIR:-/dev/null}/mirrorform`,
	`/dev/shm/mirrorform-${LOGNAME:-/}`,
}

const (
	// missing is the line by which the host reports that no directory has the helper.
	missing = "mirrorform-helper-missing/1"
	// send is the line by which the host asks for the helper's bytes.
	send = "mirrorform-helper-send/1"
	// prompt is what sudo prints when it asks for a password.
	prompt = "mirrorform-become-password:"
)

// become returns the prefix that runs the helper as root. sudo(8): -n never asks; -S reads the
// password from standard input, byte by byte, so that the rest of the input is left for the helper.
// doas(1) can only ask on a terminal.
func become(how string, mayAsk bool) string {
	if how != "sudo" && how != "doas" {
		return ""
	}
	return strings.Join(becomeArgv(how, mayAsk), " ") + " "
}

// becomeArgv returns the prefix of become as arguments.
func becomeArgv(how string, mayAsk bool) []string {
	if how == "sudo" && mayAsk {
		return []string{"sudo", "-S", "-p", prompt, "--"}
	}
	return []string{how, "-n", "--"}
}

// hexDigits matches what may vary in a script.
var hexDigits = regexp.MustCompile(`^[0-9a-f]+$`)

// newNonce returns a fresh random value for the helper's Hello.
func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// mustHex panics unless s is hexadecimal: nothing else may be inserted into a script.
func mustHex(s string) string {
	if len(s) > 64 || !hexDigits.MatchString(s) {
		panic(fmt.Sprintf("ssh: %q is not hexadecimal", s))
	}
	return s
}

// helperName returns the helper's file name.
func helperName(id string) string { return "helper-" + mustHex(id) }

// tempName returns the file name of a helper that is not verified yet.
func tempName(random string) string { return ".helper-" + mustHex(random) }

// newTempName returns a tempName that no other push uses.
func newTempName() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand
	return tempName(hex.EncodeToString(random[:]))
}

// shell returns the command line that runs a script.
func shell(script string) string { return "/bin/sh -c '" + script + "'" }

// english starts each script: this package matches messages of sudo and others by their English
// text.
const english = `LC_ALL=C; export LC_ALL; `

// setUp starts the scripts that search the directories: it makes them positional parameters.
func setUp() string {
	return english + `set -- "` + strings.Join(directories, `" "`) + `"; `
}

// survey prints what is needed to push the helper: the architecture, the user ID, the directories.
const survey = `echo ` + missing + `; uname -m; id -u; for d in "$@"; do echo "$d"; done; exit 127`

// runCommand runs the helper from the first directory that has it, with a nonce for its greeting;
// if none has it, it surveys the host. A directory or file that belongs to another user, or is a
// symbolic link, is skipped: it may have been planted.
func runCommand(id, nonce string) string {
	return shell(setUp() + `for d in "$@"; do f="$d/` + helperName(id) + `"; ` +
		`if [ -L "$d" ] || [ -L "$f" ]; then continue; fi; ` +
		`if [ -O "$d" ] && [ -O "$f" ] && [ -f "$f" ] && [ -x "$f" ]; then exec "$f" --nonce ` + mustHex(nonce) + `; fi; done; ` + survey)
}

// surveyCommand surveys the host.
func surveyCommand() string { return shell(setUp() + survey) }

// runAsRoot returns the part of a script that runs root's helper from the first place that has it.
func runAsRoot(places []rootPlace, id, nonce, prefix string) string {
	files := make([]string, len(places))
	for i, p := range places {
		files[i] = p.dir() + "/" + helperName(id)
	}
	return `for f in ` + strings.Join(files, " ") + `; do if [ -f $f ]; then exec ` +
		prefix + `$f --nonce ` + mustHex(nonce) + `; fi; done; `
}

// rootCommand runs root's helper, or surveys the host.
func rootCommand(places []rootPlace, id, nonce, prefix string) string {
	return shell(setUp() + runAsRoot(places, id, nonce, prefix) + survey)
}

// The exit statuses of the scripts that install the helper.
const (
	exitNoDirectory = 93
	exitNoDigest    = 94 // sha256sum does not work
	exitWrongDigest = 95
	exitNotRunnable = 96
	exitNotRoots    = 97 // the directory belongs to another user, or is a symbolic link
	exitNoSpace     = 98
)

// delivery is a helper to be installed in one of root's places.
type delivery struct {
	place  rootPlace
	temp   string // file name until it is verified
	digest string // SHA-256, in hexadecimal
	size   int    // bytes
	id     string // of the bundle
}

// script returns the script by which root installs and runs the helper: it asks for the bytes,
// which come from the controller over the connection and from nowhere else on the host, verifies
// them, and renames the file atomically. The script may be enclosed in double quotes.
//
// Without a working sha256sum(1) it verifies only the number of bytes; SSH protects their
// integrity. It removes helpers not used for a month.
func (d delivery) script(nonce string) string {
	file := helperName(d.id)
	s := `set -f; umask 066; `
	for _, dir := range d.place {
		s += fmt.Sprintf(`mkdir -p %s || exit %d; if [ -L %s ]; then exit %d; fi; [ -O %s ] || exit %d; chmod 711 %s; `,
			dir, exitNoDirectory, dir, exitNotRoots, dir, exitNotRoots, dir)
	}
	sum := fmt.Sprintf(`if sha256sum </dev/null >/dev/null 2>&1; then sha256sum <%s | grep -q ^%s; else wc -c <%s | grep -qx %d; fi`,
		d.temp, mustHex(d.digest), d.temp, d.size)
	return s + fmt.Sprintf(`cd %s || exit %d; echo %s; `, d.place.dir(), exitNoDirectory, send) +
		fmt.Sprintf(`head -c %d >%s || { rm -f %s; exit %d; }; `, d.size, d.temp, d.temp, exitNoSpace) +
		fmt.Sprintf(`%s || { rm -f %s; exit %d; }; chmod 500 %s; `, sum, d.temp, exitWrongDigest, d.temp) +
		fmt.Sprintf(`./%s --version </dev/null >/dev/null || { rm -f %s %s; exit %d; }; `, d.temp, d.temp, file, exitNotRunnable) +
		fmt.Sprintf(`mv -f %s %s || exit %d; find . -type f -name helper-* -atime +30 -mtime +30 -delete 2>/dev/null; `,
			d.temp, file, exitNoDirectory) +
		fmt.Sprintf(`find . -type f -name .helper-* -mtime +1 -delete 2>/dev/null; cd /; exec %s/%s --nonce %s`, d.place.dir(), file, mustHex(nonce))
}

// command returns the command line by which root installs and runs the helper.
func (d delivery) command(nonce, prefix string) string {
	return shell(english + `exec ` + prefix + `/bin/sh -c "` + d.script(nonce) + `"`)
}

// unlessThere returns a script that runs root's helper, and installs it first if it is missing.
func (d delivery) unlessThere(nonce string) string {
	return english + runAsRoot([]rootPlace{d.place}, d.id, nonce, "") + d.script(nonce)
}

// installCommand returns a command line that verifies the digest of a helper uploaded as temp into
// the nth directory, checks that it can be executed there, and renames it atomically. An empty
// digest is not verified. On failure the file is removed, unless the digest could not be computed.
func installCommand(n int, temp, digest, id string) string {
	script := english + fmt.Sprintf(`cd "%s" || exit %d; `, directories[n], exitNoDirectory)
	if digest != "" {
		script += fmt.Sprintf(`h=$(sha256sum %s) || exit %d; case "$h" in "%s "*) ;; *) rm -f %s; exit %d;; esac; `,
			temp, exitNoDigest, mustHex(digest), temp, exitWrongDigest)
	}
	script += fmt.Sprintf(`if ./%s --version </dev/null >/dev/null; then exec mv -f %s %s; fi; rm -f %s; exit %d`,
		temp, temp, helperName(id), temp, exitNotRunnable)
	return shell(script)
}
