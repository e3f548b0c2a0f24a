package adopt

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// looksSecret reports whether a line has what looks like a secret.
func looksSecret(line string) bool { return secretForm(line) != "" }

// secretLine returns the number of the first line that looks like a secret, or 0.
func secretLine(text string) int {
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		if n++; looksSecret(line) {
			return n
		}
	}
	return 0
}

// secretWord matches a word of a command with a secret: a URL with a user, or rsync's
// USER@HOST::MODULE. The word may contain blanks.
var secretWord = regexp.MustCompile(`(?s)^[A-Za-z][A-Za-z0-9+.-]*://.*@|^[^/]*@[^/]*::`)

func isSecretWord(word string) bool { return secretWord.MatchString(word) || secretLine(word) > 0 }

// secretIn reports whether any string in a value looks like a secret.
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
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if secretIn(it.Value()) {
				return true
			}
		}
	case reflect.Struct:
		return slices.ContainsFunc(reflect.VisibleFields(v.Type()), func(f reflect.StructField) bool {
			return secretIn(v.FieldByIndex(f.Index))
		})
	}
	return false
}
