package ssh

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// The command lines that hosts run. Each is a constant in which only our own hexadecimal digits and a choice among
// constants vary; nothing from a configuration or a host is ever in one.
//
// sshd hands a command line to the user's login shell, whichever that is, so each is one simple command, /bin/sh -c
// and a script in single quotes, with nothing between them that csh, fish and the Bourne shells read differently: no
// quote, backslash, exclamation mark or newline.

// rootPlace is a directory for the helper that root runs, in which only root can write.
// It has the directories that are mirrorform's own, from the outermost; the last is the place.
type rootPlace []string

// rootPlaces are where the helper that root runs may be, in the order in which they are tried.
// Other accounts may pass through them, so that they see whether the helper is there before they
// become root; they may not list or read them.
var rootPlaces = []rootPlace{
	{"/var/lib/mirrorform", "/var/lib/mirrorform/helper"},
	{"/opt/mirrorform"}, // where /var is mounted noexec
}

func (p rootPlace) dir() string { return p[len(p)-1] }

// directories are where the helper of an account that does not become root may be, in the order in
// which they are tried, as /bin/sh reads them. Where a variable is not set, the path is one that
// cannot exist.
var directories = []string{
	`${HOME:-/dev/null}/.cache/mirrorform`,
	`/var/tmp/mirrorform-${LOGNAME:-/}`,
	`${XDG_RUNTIME_DIR:-/dev/null}/mirrorform`,
	`/dev/shm/mirrorform-${LOGNAME:-/}`,
}

const (
	// missing is the line that tells that no directory holds the helper.
	missing = "mirrorform-helper-missing/1"
	// send is the line by which the host asks for the helper's bytes.
	send = "mirrorform-helper-send/1"
	// prompt is what sudo prints when it asks for a password.
	prompt = "mirrorform-become-password:"
)

// become is the prefix that gives the helper root's rights. sudo(8): -n never asks; -S reads the password from
// standard input, one byte at a time, so that what follows is left for the helper. doas(1) can only ask on a terminal.
func become(how string, mayAsk bool) string {
	if how != "sudo" && how != "doas" {
		return ""
	}
	return strings.Join(becomeArgv(how, mayAsk), " ") + " "
}

// becomeArgv is become as arguments.
func becomeArgv(how string, mayAsk bool) []string {
	if how == "sudo" && mayAsk {
		return []string{"sudo", "-S", "-p", prompt, "--"}
	}
	return []string{how, "-n", "--"}
}

// hexDigits is what may vary in a script.
var hexDigits = regexp.MustCompile(`^[0-9a-f]+$`)

// newNonce is a fresh random value for the helper's Hello.
func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// mustHex panics unless s is hexadecimal: a script is never made of anything else.
func mustHex(s string) string {
	if len(s) > 64 || !hexDigits.MatchString(s) {
		panic(fmt.Sprintf("ssh: %q is not hexadecimal", s))
	}
	return s
}

// helperName is the helper's file name.
func helperName(id string) string { return "helper-" + mustHex(id) }

// tempName is the name under which a helper is written before it is checked.
func tempName(random string) string { return ".helper-" + mustHex(random) }

// newTempName is a tempName that no other push has.
func newTempName() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand
	return tempName(hex.EncodeToString(random[:]))
}

// shell makes the command line that runs a script.
func shell(script string) string { return "/bin/sh -c '" + script + "'" }

// english begins each script: messages are read.
const english = `LC_ALL=C; export LC_ALL; `

// setUp begins the scripts that look for the directories, which are then positional parameters.
func setUp() string {
	return english + `set -- "` + strings.Join(directories, `" "`) + `"; `
}

// survey tells what is needed to push the helper: the machine's architecture, the user's number, the directories.
const survey = `echo ` + missing + `; uname -m; id -u; for d in "$@"; do echo "$d"; done; exit 127`

// runCommand runs the helper, which is given a nonce to greet with, from the first directory that has it, or surveys the host. A directory or file that
// belongs to somebody else, or is a symbolic link, is passed over: it may have been planted.
func runCommand(id, nonce string) string {
	return shell(setUp() + `for d in "$@"; do f="$d/` + helperName(id) + `"; ` +
		`if [ -L "$d" ] || [ -L "$f" ]; then continue; fi; ` +
		`if [ -O "$d" ] && [ -O "$f" ] && [ -f "$f" ] && [ -x "$f" ]; then exec "$f" --nonce ` + mustHex(nonce) + `; fi; done; ` + survey)
}

// surveyCommand surveys the host.
func surveyCommand() string { return shell(setUp() + survey) }

// runAsRoot is the part of a script that runs root's helper from the first of its places that has
// it.
func runAsRoot(places []rootPlace, id, nonce, prefix string) string {
	files := make([]string, len(places))
	for i, p := range places {
		files[i] = p.dir() + "/" + helperName(id)
	}
	return `for f in ` + strings.Join(files, " ") + `; do if [ -f $f ]; then exec ` + prefix + `$f --nonce ` + mustHex(nonce) + `; fi; done; `
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
	exitNotRoots    = 97 // the directory belongs to somebody else, or is a link
	exitNoSpace     = 98
)

// delivery is a helper on its way to one of root's places.
type delivery struct {
	place  rootPlace
	temp   string // the name under which it is written before it is checked
	digest string // SHA-256, in hexadecimal
	size   int    // bytes
	id     string // the bundle's
}

// script makes the helper root's own, and runs it: root asks for its bytes, which come over the
// connection from the controller and from nowhere else on the host, checks them, and puts them in
// their place, atomically. The script may stand in double quotes. Where sha256sum(1) does not work,
// the number of bytes is checked: the connection's own integrity is checked by SSH. Helpers that
// nobody has run for a month are removed.
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

// command is the command line that has root make the helper its own.
func (d delivery) command(nonce, prefix string) string {
	return shell(english + `exec ` + prefix + `/bin/sh -c "` + d.script(nonce) + `"`)
}

// unlessThere is the script where root may have the helper already.
func (d delivery) unlessThere(nonce string) string {
	return english + runAsRoot([]rootPlace{d.place}, d.id, nonce, "") + d.script(nonce)
}

// installCommand checks that a helper, uploaded as temp into the nth directory, has the digest wanted and can be run
// there, and puts it in its place, atomically. An empty digest is not checked. On failure the file is removed, except
// when the digest could not be computed.
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
