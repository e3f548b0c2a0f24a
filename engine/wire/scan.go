package wire

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// number reads an integer. Messages contain no other numbers.
func (d *decoder) number(v reflect.Value) {
	var text [32]byte
	n := 0
	for d.at < len(d.buf) || d.fill() {
		c := d.buf[d.at]
		if strings.IndexByte("+-.0123456789eE", c) < 0 {
			break
		}
		if n == len(text) {
			d.fail("number out of range")
		}
		text[n] = c
		n++
		d.at++
	}
	d.setNumber(v, string(text[:n]))
}

func (d *decoder) setNumber(v reflect.Value, text string) {
	var err error
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		var n int64
		if n, err = strconv.ParseInt(text, 10, 64); err == nil {
			v.SetInt(n)
		}
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		var n uint64
		if n, err = strconv.ParseUint(text, 10, v.Type().Bits()); err == nil {
			v.SetUint(n)
		}
	}
	digits := strings.TrimPrefix(text, "-")
	if err != nil || text[0] == '+' || len(digits) > 1 && digits[0] == '0' && digits[1] != '.' {
		d.fail("number out of range")
	}
}

// piece returns the rest of buf up to a byte that is special in a string.
func (d *decoder) piece() []byte {
	if d.at == len(d.buf) && !d.fill() {
		d.fail("unterminated string")
	}
	end := d.at
	for end < len(d.buf) && d.buf[end] != '"' && d.buf[end] != '\\' && d.buf[end] >= ' ' && d.buf[end] < utf8.RuneSelf {
		end++
	}
	s := d.buf[d.at:end]
	d.at = end
	return s
}

// str reads a string. Of a string with more than most bytes, it keeps at least that many. The
// result is valid until the next call.
func (d *decoder) str(most int) []byte {
	d.expect('"')
	s := d.piece()
	if d.at < len(d.buf) && d.buf[d.at] == '"' { // nearly all strings
		d.at++
		return s
	}
	d.scratch = d.scratch[:0]
	for {
		if len(d.scratch) <= most {
			d.keep(s)
		}
		if d.at < len(d.buf) {
			r, ok := d.special()
			if !ok {
				return d.scratch
			}
			if len(d.scratch) <= most {
				var b [utf8.UTFMax]byte
				d.keep(b[:utf8.EncodeRune(b[:], r)])
			}
		}
		s = d.piece()
	}
}

// keep appends to scratch.
func (d *decoder) keep(b []byte) {
	d.reserve(len(b))
	d.scratch = append(d.scratch, b...)
}

// reserve makes room in scratch. It doubles the capacity up to 1 MiB, and then allocates enough for
// the largest content or manifest.
func (d *decoder) reserve(n int) {
	if need := len(d.scratch) + n; need > cap(d.scratch) {
		grown := max(2*cap(d.scratch), need, 64)
		for _, most := range []int{MaxContent + 3, MaxManifest + 3} { // including padding
			if grown > 1<<20 && need <= most {
				grown = most
				break
			}
		}
		d.create(grown)
		d.scratch = append(make([]byte, 0, grown), d.scratch...)
	}
}

// special reads a special byte of a string. ok is false at the end of the string.
func (d *decoder) special() (r rune, ok bool) {
	switch c := d.buf[d.at]; {
	case c == '"':
		d.at++
		return 0, false
	case c == '\\':
		d.at++
		return d.escape(), true
	case c < ' ':
		d.fail("control character in a string")
	}
	return d.rune(), true
}

// rune reads a character that is not ASCII. Invalid UTF-8 becomes U+FFFD.
func (d *decoder) rune() rune {
	r, n := utf8.DecodeRune(d.ahead(utf8.UTFMax))
	d.at += n
	return r
}

// ahead returns the next n bytes or more, unless fewer are left.
func (d *decoder) ahead(n int) []byte {
	for len(d.buf)-d.at < n && d.left > 0 {
		d.past += d.at
		rest := copy(d.buf, d.buf[d.at:])
		d.at = 0
		d.read(rest)
	}
	return d.buf[d.at:]
}

// escape reads the rest of an escape after the backslash.
func (d *decoder) escape() rune {
	c := d.next()
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i])
	}
	if c != 'u' {
		d.fail("unknown escape")
	}
	r := d.hex4(d.ahead(4))
	d.at += 4
	if r < 0xd800 || r >= 0xe000 {
		return r
	}
	// Half of a surrogate pair is invalid without the other.
	if b := d.ahead(6); r < 0xdc00 && len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
		if low := d.hex4(b[2:]); low >= 0xdc00 && low < 0xe000 {
			d.at += 6
			return (r-0xd800)<<10 + low - 0xdc00 + 0x10000
		}
	}
	return utf8.RuneError
}

func (d *decoder) hex4(b []byte) rune {
	if len(b) < 4 {
		d.fail("unterminated string")
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		d.fail("unknown escape")
	}
	return rune(n)
}

// skip skips a string.
func (d *decoder) skip() { d.str(0) }

// base64 reads a base64 string without escapes.
func (d *decoder) base64() []byte {
	d.expect('"')
	d.scratch = d.scratch[:0]
	for {
		b := d.ahead(5)
		if end := bytes.IndexByte(b, '"'); end >= 0 {
			d.decode64(b[:end], len(b[:end])-len(bytes.TrimRight(b[:end], "=")))
			d.at += end + 1
			d.create(len(d.scratch))
			return append(make([]byte, 0, len(d.scratch)), d.scratch...)
		}
		groups := max(len(b)-1, 0) &^ 3 // the last one may have padding
		if groups == 0 {
			d.fail("unterminated string")
		}
		d.decode64(b[:groups], 0)
		d.at += groups
	}
}

// decode64 appends the decoded base64 to scratch. text has groups of four characters; padding is
// the number of padding characters at its end.
func (d *decoder) decode64(text []byte, padding int) {
	d.reserve(base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(d.scratch[len(d.scratch):cap(d.scratch)], text)
	if d.scratch = d.scratch[:len(d.scratch)+n]; err != nil || len(text)%4 != 0 || n+padding != len(text)/4*3 { // Decode ignores line ends
		d.fail("invalid base64")
	}
}
