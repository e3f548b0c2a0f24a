// Package placename compares the names of places as people write them.
package placename

import (
	"strings"
	"unicode"

	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// letters are those that do not decompose into a letter and an accent.
var letters = strings.NewReplacer("ß", "ss", "ø", "o", "Ø", "o", "ł", "l", "Ł", "l", "đ", "d", "Đ", "d",
	"ı", "i", "æ", "ae", "Æ", "ae", "œ", "oe", "Œ", "oe", "ð", "d", "Ð", "d", "þ", "th", "Þ", "th")

// Plain returns a name in lower case without accents, with single spaces between its words.
func Plain(s string) string {
	bare := transform.Chain(norm.NFD, runes.Remove(runes.In(unicode.Mn)), norm.NFC)
	if t, _, err := transform.String(bare, letters.Replace(s)); err == nil {
		s = t
	}
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), " ")
}
