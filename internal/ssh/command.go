package ssh

import (
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

// directories are where the helper may be, in the order in which they are tried, as /bin/sh reads them. Where a
// variable is not set, the path is one that cannot exist.
var directories = []string{
	`${HOME:-/dev/null}/.cache/mirrorform`,
	`/var/tmp/mirrorform-${LOGNAME:-/}`,
	`${XDG_RUNTIME_DIR:-/dev/null}/mirrorform`,
	`/dev/shm/mirrorform-${LOGNAME:-/}`,
}

const (
	// missing is the line that tells that no directory holds the helper.
	missing = "mirrorform-helper-missing/1"
	// prompt is what sudo prints when it asks for a password.
	prompt = "mirrorform-become-password:"
)

// become is the prefix that gives the helper root's rights. sudo(8): -n never asks; -S reads the password from
// standard input, one byte at a time, so that what follows is left for the helper. doas(1) can only ask on a terminal.
func become(how string, mayAsk bool) string {
	switch {
	case how == "sudo" && mayAsk:
		return "sudo -S -p " + prompt + " -- "
	case how == "sudo":
		return "sudo -n -- "
	case how == "doas":
		return "doas -n -- "
	}
	return ""
}

// hexDigits is what may vary in a script.
var hexDigits = regexp.MustCompile(`^[0-9a-f]{1,64}$`)

// mustHex panics unless s is hexadecimal: a script is never made of anything else.
func mustHex(s string) string {
	if !hexDigits.MatchString(s) {
		panic(fmt.Sprintf("ssh: %q is not hexadecimal", s))
	}
	return s
}

// helperName is the helper's file name.
func helperName(id string) string { return "helper-" + mustHex(id) }

// tempName is the name under which a helper is written before it is checked.
func tempName(random string) string { return ".helper-" + mustHex(random) }

// shell makes the command line that runs a script.
func shell(script string) string { return "/bin/sh -c '" + script + "'" }

// setUp begins each script: messages in English, and the directories as positional parameters.
func setUp() string {
	return `LC_ALL=C; export LC_ALL; set -- "` + strings.Join(directories, `" "`) + `"; `
}

// survey tells what is needed to push the helper: the machine's architecture, the user's number, the directories.
const survey = `echo ` + missing + `; uname -m; id -u; for d in "$@"; do echo "$d"; done; exit 127`

// runCommand runs the helper, which is given a nonce to greet with, from the first directory that has it, or surveys the host. A directory or file that
// belongs to somebody else, or is a symbolic link, is passed over: it may have been planted.
func runCommand(id, nonce, prefix string) string {
	return shell(setUp() + `for d in "$@"; do f="$d/` + helperName(id) + `"; ` +
		`if [ -L "$d" ] || [ -L "$f" ]; then continue; fi; ` +
		`if [ -O "$d" ] && [ -O "$f" ] && [ -f "$f" ] && [ -x "$f" ]; then exec ` + prefix + `"$f" --nonce ` + mustHex(nonce) + `; fi; done; ` + survey)
}

// surveyCommand surveys the host.
func surveyCommand() string { return shell(setUp() + survey) }

// The exit statuses of installCommand's script.
const (
	exitNoDirectory = 93
	exitNoDigest    = 94 // sha256sum does not work
	exitWrongDigest = 95
	exitNotRunnable = 96
)

// installCommand checks that a helper, uploaded as temp into the nth directory, has the digest wanted and can be run
// there, and puts it in its place, atomically. An empty digest is not checked. On failure the file is removed, except
// when the digest could not be computed.
func installCommand(n int, temp, digest, id string) string {
	script := fmt.Sprintf(`LC_ALL=C; export LC_ALL; cd "%s" || exit %d; `, directories[n], exitNoDirectory)
	if digest != "" {
		script += fmt.Sprintf(`h=$(sha256sum %s) || exit %d; case "$h" in "%s "*) ;; *) rm -f %s; exit %d;; esac; `,
			temp, exitNoDigest, mustHex(digest), temp, exitWrongDigest)
	}
	script += fmt.Sprintf(`if ./%s --version </dev/null >/dev/null; then exec mv -f %s %s; fi; rm -f %s; exit %d`,
		temp, temp, helperName(id), temp, exitNotRunnable)
	return shell(script)
}
