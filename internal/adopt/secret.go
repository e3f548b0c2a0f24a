package adopt

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Where secrets are looked for. A file's text is copied only if no line of it looks like one (secretLine), and if no command in it has one when quotes, escapes and the
// variables that it sets are resolved (commands.secret), which is how passwords with blanks and quotes are found. What is made of a command's words for the mirror block is
// looked at once more (secretIn).

// secretText is how secrets look in a line: user and password in a URL, and in rsync's USER@HOST::MODULE; names that say so with a value, also as systemd, nginx,
// Apache and rsync(1) write them; HTTP's credentials (RFC 9110, 11.6.2); PEM keys.
var secretText = regexp.MustCompile(`(?i)://[^/\s@]*@|://[^/\s:@]*:[^\s@]*@|\S@\S*::|rsync_(password|proxy)|\bsshpass\b|\w*pass["']?\s*=\s*\S|` +
	`(password|passwd|passphrase|secret|token|api[_-]?key)[\w-]*["']?[\s:=]\s*\S|authorization|secure_link|setcredential|-----BEGIN [A-Z ]*PRIVATE KEY`)

// harmless is what only looks so: names of files with secrets in them, and what a server says of itself.
var harmless = regexp.MustCompile(`(?i)secrets file|password[-_]file[= ]\s*["']?/|server_?tokens|auth_basic\S*`)

func looksSecret(line string) bool {
	return secretText.MatchString(harmless.ReplaceAllString(line, ""))
}

// secretLine is the first line that looks like a secret; 0 when none does.
func secretLine(text string) int {
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		if n++; looksSecret(line) {
			return n
		}
	}
	return 0
}

// secretWord is how a word of a command looks that has a secret: a URL or rsync's USER@HOST::MODULE, whatever blanks are in them.
var secretWord = regexp.MustCompile(`(?s)^[A-Za-z][A-Za-z0-9+.-]*://.*@|^[^/]*@[^/]*::`)

func isSecretWord(word string) bool { return secretWord.MatchString(word) || secretLine(word) > 0 }

// secretIn tells whether a text in the value looks like a secret.
func secretIn(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return isSecretWord(v.String())
	case reflect.Pointer:
		return !v.IsNil() && secretIn(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if secretIn(v.Index(i)) {
				return true
			}
		}
	case reflect.Struct:
		return slices.ContainsFunc(reflect.VisibleFields(v.Type()), func(f reflect.StructField) bool { return secretIn(v.FieldByIndex(f.Index)) })
	}
	return false
}

// known is what is known of a word: an unknown part is left out, so that what stands around it is seen.
func (r *reader) known(parts []syntax.WordPart) string {
	var out strings.Builder
	for _, p := range parts {
		if q, ok := p.(*syntax.DblQuoted); ok {
			out.WriteString(r.known(q.Parts))
			continue
		}
		if q, ok := p.(*syntax.SglQuoted); ok {
			out.WriteString(q.Value)
			continue
		}
		text, _ := r.literal([]syntax.WordPart{p}, 0)
		out.WriteString(text)
		if out.Len() > maxScript {
			break
		}
	}
	return out.String()
}
