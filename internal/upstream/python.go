package upstream

import (
	"fmt"
	"math"
	"mime"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The service is written in Python: its decode() and float() decide what a page and TIME are.

// latin are the names of encodings in which every byte is a character, and ASCII is itself.
var latin = regexp.MustCompile(`^(latin|latin1|l1|iso88591|88591|cp819|iso885915|latin9)$`)

// decode returns a body as text, as the service reads it: in the charset of its Content-Type, or
// else in UTF-8. It returns why that fails. An encoding that is not known here counts as ASCII's
// superset that has every byte.
func decode(contentType string, body []byte) (string, error) {
	_, parameters, _ := mime.ParseMediaType(contentType)
	charset := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(parameters["charset"]))
	switch {
	case charset == "utf16" || charset == "utf16le" || charset == "utf16be":
		return decodeUTF16(charset, body)
	case charset == "ascii" || charset == "usascii":
		for i, c := range body {
			if c >= utf8.RuneSelf {
				return "", fmt.Errorf("byte %#x at %d is not ASCII, the charset of its Content-Type", c, i)
			}
		}
		return string(body), nil
	case charset == "utf8sig":
		body = []byte(strings.TrimPrefix(string(body), "\ufeff"))
	case latin.MatchString(charset), pythonCharset.MatchString(charset):
		runes := make([]rune, len(body))
		for i, c := range body {
			runes[i] = rune(c)
		}
		return string(runes), nil
	}
	for i := 0; i < len(body); {
		r, n := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && n == 1 {
			const format = "byte %#x at %d is not UTF-8, and its Content-Type names no other charset"
			return "", fmt.Errorf(format, body[i], i)
		}
		i += n
	}
	return string(body), nil
}

// pythonCharset are further charsets that Python knows, without the separators of their names. A
// name that it does not know is UTF-8.
var pythonCharset = regexp.MustCompile(`^(iso8859[0-9]+|windows125[0-8]|cp[0-9]+|koi8[rtu]|gb2312|gbk|gb18030|` +
	`big5|eucjp|euckr|shiftjis|sjis|macroman|tis620)$`)

// decodeUTF16 decodes UTF-16, without a byte order mark as little endian.
func decodeUTF16(charset string, body []byte) (string, error) {
	if len(body)%2 != 0 {
		return "", fmt.Errorf("it has %d bytes, which are not UTF-16, the charset of its Content-Type", len(body))
	}
	big := charset == "utf16be"
	if mark := string(body[:min(2, len(body))]); charset == "utf16" && (mark == "\xfe\xff" || mark == "\xff\xfe") {
		big, body = mark == "\xfe\xff", body[2:]
	}
	units := make([]uint16, len(body)/2)
	for i := range units {
		low, high := body[2*i], body[2*i+1]
		if big {
			low, high = high, low
		}
		units[i] = uint16(low) | uint16(high)<<8
	}
	return string(utf16.Decode(units)), nil
}

// digits are the digits of Python's float(), which may have underscores between them.
const digits = `[0-9](?:_?[0-9])*`

// number is the syntax of Python's float(), without white space around it.
var number = regexp.MustCompile(`^[+-]?(?:` + digits + `(?:\.(?:` + digits + `)?)?|\.` + digits + `)` +
	`(?:[eE][+-]?` + digits + `)?$|^[+-]?(?i:inf|infinity|nan)$`)

// parseFloat reads a number as Python's float() does: with underscores between digits, digits of
// any script, and names such as inf and nan. It is the service's reader of TIME.
func parseFloat(text string) (float64, bool) {
	text = strings.Map(func(r rune) rune {
		switch {
		case r < utf8.RuneSelf:
			return r
		case unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Nd, r):
			return '0' + digit(r)
		}
		return '?'
	}, text)
	text = strings.Trim(text, " \t\n\v\f\r")
	if !number.MatchString(text) {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// digit is the value of a decimal digit: those of a script are consecutive, and so are some
// scripts.
func digit(r rune) rune {
	n := rune(0)
	for unicode.Is(unicode.Nd, r-n-1) {
		n++
	}
	return n % 10
}
