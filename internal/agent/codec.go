package agent

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/internal/wire"
)

// The frames of package wire are JSON. The helper has its own small coder for them, since encoding/json makes its executable
// 350 KB larger; a test compares the two on every kind of message.

// readFrame receives one message, as wire.Read does.
func readFrame(r io.Reader) (*wire.Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n > wire.MaxFrame {
		return nil, because(strconv.Itoa(n)+" bytes are more than the limit of "+strconv.Itoa(wire.MaxFrame), wire.ErrFrame)
	}
	// Grown as bytes arrive: a forged length must not make the helper allocate it.
	var body []byte
	for len(body) < n {
		from := len(body)
		body = append(body, make([]byte, min(n-from, max(64<<10, from)))...)
		if _, err := io.ReadFull(r, body[from:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	m := new(wire.Message)
	if err := decode(body, m); err != nil {
		return nil, because(err.Error(), wire.ErrFrame)
	}
	return m, nil
}

// frame encodes a message.
func frame(m *wire.Message) ([]byte, error) {
	b := encode(make([]byte, 4, 1024), reflect.ValueOf(m).Elem())
	if len(b)-4 > wire.MaxFrame {
		return nil, errors.New("the message would have " + strconv.Itoa(len(b)-4) + " bytes, more than the limit of " + strconv.Itoa(wire.MaxFrame))
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b, nil
}

// field is a field of a struct as JSON has it.
type field struct {
	name      string
	value     reflect.Value
	omitEmpty bool
}

// fields calls each for the fields of a struct; those of embedded structs count as its own.
func fields(v reflect.Value, each func(field)) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			fields(v.Field(i), each)
			continue
		}
		// StructTag.Get would unquote, for which it links 5 KB.
		_, tag, _ := cut(string(f.Tag), `json:"`)
		tag, _, _ = cut(tag, `"`)
		name, options, _ := cut(tag, ",")
		each(field{name, v.Field(i), options == "omitempty"})
	}
}

// empty is what omitempty leaves out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Bool:
		return !v.Bool()
	case reflect.Int, reflect.Int64:
		return v.Int() == 0
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return v.Uint() == 0
	case reflect.String, reflect.Slice:
		return v.Len() == 0
	case reflect.Pointer:
		return v.IsNil()
	}
	return false
}

// encode appends the JSON of a value. Maps, floats and interfaces do not occur in messages.
func encode(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...)
		}
		return encode(b, v.Elem())
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool())
	case reflect.Int, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(b, v.Uint(), 10)
	case reflect.String:
		return appendQuoted(b, v.String())
	case reflect.Slice:
		switch {
		case v.IsNil():
			return append(b, "null"...)
		case v.Type().Elem().Kind() == reflect.Uint8:
			b = base64.StdEncoding.AppendEncode(append(b, '"'), v.Bytes())
			return append(b, '"')
		}
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = encode(b, v.Index(i))
		}
		return append(b, ']')
	case reflect.Struct:
		b = append(b, '{')
		start := len(b)
		fields(v, func(f field) {
			if f.omitEmpty && empty(f.value) {
				return
			}
			if len(b) > start {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, f.name), ':')
			b = encode(b, f.value)
		})
		return append(b, '}')
	}
	panic("message with a field of kind " + v.Kind().String())
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends a JSON string (RFC 8259 section 7). What is not UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// decode reads JSON into what to points at. Names that are not known are passed over, null changes nothing.
func decode(text []byte, to any) (err error) {
	d := &decoder{text: text}
	defer func() {
		if p := recover(); p != nil {
			bad, ok := p.(badJSON)
			if !ok {
				panic(p)
			}
			err = errors.New(string(bad) + " at byte " + strconv.Itoa(d.at))
		}
	}()
	d.value(reflect.ValueOf(to).Elem(), 0)
	if d.peek() != 0 || d.at < len(text) {
		d.fail("more than one value")
	}
	return nil
}

// decoder is a position in a text. Its methods panic with badJSON.
type decoder struct {
	text []byte
	at   int
}

type badJSON string

// maxDepth is how deep values may be nested; messages need six levels.
const maxDepth = 64

func (d *decoder) fail(why string) { panic(badJSON(why)) }

// peek passes over white space and returns the next byte, or 0 at the end.
func (d *decoder) peek() byte {
	for d.at < len(d.text) {
		switch c := d.text[d.at]; c {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return c
		}
	}
	return 0
}

// take passes over c if it comes next.
func (d *decoder) take(c byte) bool {
	if d.peek() != c || d.at >= len(d.text) {
		return false
	}
	d.at++
	return true
}

func (d *decoder) expect(c byte) {
	if !d.take(c) {
		d.fail("no " + string(rune(c)))
	}
}

// word passes over a literal name if it comes next.
func (d *decoder) word(w string) bool {
	d.peek()
	if !strings.HasPrefix(string(d.text[d.at:min(len(d.text), d.at+len(w))]), w) {
		return false
	}
	d.at += len(w)
	return true
}

// value reads a value into v, or passes over it when v is the zero Value.
func (d *decoder) value(v reflect.Value, depth int) {
	if depth > maxDepth {
		d.fail("too deep nesting")
	}
	kind := v.Kind()
	if d.word("null") {
		if kind == reflect.Pointer || kind == reflect.Slice {
			v.SetZero()
		}
		return
	}
	if kind == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(v.Elem(), depth)
		return
	}
	switch c := d.peek(); {
	case c == '{' && (kind == reflect.Struct || kind == reflect.Invalid):
		d.object(v, depth)
	case c == '[' && (kind == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8 || kind == reflect.Invalid):
		d.array(v, depth)
	case c == '"' && (kind == reflect.String || kind == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 || kind == reflect.Invalid):
		s := d.str()
		switch kind {
		case reflect.String:
			v.SetString(string(s))
		case reflect.Slice:
			b, err := base64.StdEncoding.AppendDecode([]byte{}, s)
			if err != nil {
				d.fail("no base64")
			}
			v.SetBytes(b)
		}
	case (c == '-' || c >= '0' && c <= '9') && kind != reflect.Bool && kind != reflect.Struct && kind != reflect.String && kind != reflect.Slice:
		d.number(v)
	case (c == 't' || c == 'f') && (kind == reflect.Bool || kind == reflect.Invalid):
		is := d.word("true")
		if !is && !d.word("false") {
			d.fail("no JSON")
		}
		if kind == reflect.Bool {
			v.SetBool(is)
		}
	default:
		d.fail("a value of another kind than expected")
	}
}

func (d *decoder) object(v reflect.Value, depth int) {
	d.expect('{')
	if d.take('}') {
		return
	}
	for {
		d.peek()
		name := string(d.str())
		d.expect(':')
		var into reflect.Value
		if v.IsValid() {
			fields(v, func(f field) {
				if f.name == name {
					into = f.value
				}
			})
		}
		d.value(into, depth+1)
		if d.take('}') {
			return
		}
		d.expect(',')
	}
}

func (d *decoder) array(v reflect.Value, depth int) {
	d.expect('[')
	var list, each reflect.Value
	if v.IsValid() {
		list = reflect.MakeSlice(v.Type(), 0, 0)
	}
	for first := true; !d.take(']'); first = false {
		if !first {
			d.expect(',')
		}
		if v.IsValid() {
			each = reflect.New(v.Type().Elem()).Elem()
		}
		d.value(each, depth+1)
		if v.IsValid() {
			list = reflect.Append(list, each)
		}
	}
	if v.IsValid() {
		v.Set(list)
	}
}

// number reads an integer; no message has other numbers.
func (d *decoder) number(v reflect.Value) {
	start := d.at
	for d.at < len(d.text) && strings.IndexByte("+-.0123456789eE", d.text[d.at]) >= 0 {
		d.at++
	}
	text := string(d.text[start:d.at])
	var err error
	var n int64
	var u uint64
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		if n, err = strconv.ParseInt(text, 10, 64); err == nil {
			v.SetInt(n)
		}
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		if u, err = strconv.ParseUint(text, 10, v.Type().Bits()); err == nil {
			v.SetUint(u)
		}
	}
	digits := strings.TrimPrefix(text, "-")
	if err != nil || text[0] == '+' || len(digits) > 1 && digits[0] == '0' && digits[1] != '.' {
		d.fail("a number out of range")
	}
}

// str reads a string.
func (d *decoder) str() []byte {
	d.expect('"')
	end := d.at
	for end < len(d.text) && d.text[end] != '"' && d.text[end] != '\\' && d.text[end] >= ' ' && d.text[end] < utf8.RuneSelf {
		end++
	}
	if end < len(d.text) && d.text[end] == '"' { // nearly all strings, and all content
		s := d.text[d.at:end]
		d.at = end + 1
		return s
	}
	var b []byte
	for {
		if d.at >= len(d.text) || d.text[d.at] < ' ' {
			d.fail("a string without an end")
		}
		switch d.text[d.at] {
		case '"':
			d.at++
			return b
		case '\\':
			d.at++
			b = utf8.AppendRune(b, d.escape())
		default:
			r, n := utf8.DecodeRune(d.text[d.at:])
			b = utf8.AppendRune(b, r)
			d.at += n
		}
	}
}

// escape reads what follows a backslash.
func (d *decoder) escape() rune {
	if d.at >= len(d.text) {
		d.fail("a string without an end")
	}
	c := d.text[d.at]
	d.at++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i])
	}
	if c != 'u' {
		d.fail("an unknown escape")
	}
	r := d.hex4()
	if r < 0xd800 || r >= 0xe000 {
		return r
	}
	// Half of a pair of surrogates is nothing without the other.
	if r < 0xdc00 && d.at+6 <= len(d.text) && d.text[d.at] == '\\' && d.text[d.at+1] == 'u' {
		back := d.at
		d.at += 2
		if low := d.hex4(); low >= 0xdc00 && low < 0xe000 {
			return (r-0xd800)<<10 + low - 0xdc00 + 0x10000
		}
		d.at = back
	}
	return utf8.RuneError
}

func (d *decoder) hex4() (r rune) {
	if d.at+4 > len(d.text) {
		d.fail("a string without an end")
	}
	n, err := strconv.ParseUint(string(d.text[d.at:d.at+4]), 16, 16)
	if err != nil {
		d.fail("an unknown escape")
	}
	d.at += 4
	return rune(n)
}
