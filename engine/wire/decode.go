package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// The reader of messages is one of this package's own. It decodes while a frame arrives, so that no
// frame is ever held, and counts the memory that it creates: what makes a value of 100 bytes has 3
// bytes in a frame. It takes names as they are written, where encoding/json heeds no case. Tests
// compare the two.

// ErrFrame is the error of a frame that is no message: too long, not the JSON of one, or one that
// takes more memory than the message that is expected may take.
var ErrFrame = errors.New("malformed frame")

// frameError is an ErrFrame that says why.
type frameError string

func (e frameError) Error() string { return ErrFrame.Error() + ": " + string(e) }
func (e frameError) Unwrap() error { return ErrFrame }

// Read receives one frame, whatever memory its message takes. It returns io.EOF only between
// frames.
func Read(r io.Reader) (*Message, error) {
	return ReadWithin(r, func() int { return math.MaxInt })
}

// ReadWithin is Read of a message that takes at most so much memory, in bytes, as room says when
// the frame begins. What is allocated on the way counts.
func ReadWithin(r io.Reader, room func() int) (*Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return nil, frameError("its length says " + strconv.FormatUint(uint64(n), 10) + " bytes, the limit is " + strconv.Itoa(MaxFrame))
	}
	d := &decoder{r: r, left: int(n), room: room()}
	m := new(Message)
	if err := d.decode(m); err != nil {
		return nil, err
	}
	return m, nil
}

// Decode reads JSON into what to points at. Names that are not known are passed over, null changes
// nothing.
func Decode(text []byte, to any) error {
	return (&decoder{buf: text, room: math.MaxInt}).decode(to)
}

// maxDepth is how deep values may be nested; messages need eight levels.
const maxDepth = 64

// decoder is a position in a text. Its methods panic with a stopped.
type decoder struct {
	r    io.Reader
	left int    // bytes of the frame that have not been read
	buf  []byte // of those that have been: from at on they have not been decoded
	at   int
	past int // bytes that were in buf before
	room int // bytes that may still be created

	scratch []byte // what str returns, where that is not a part of buf
}

// stopped ends the decoding.
type stopped struct{ err error }

func (d *decoder) fail(why string) {
	panic(stopped{frameError(why + " at byte " + strconv.Itoa(d.past+d.at))})
}

func (d *decoder) decode(to any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s, ok := p.(stopped)
			if !ok {
				panic(p)
			}
			err = s.err
		}
	}()
	d.value(reflect.ValueOf(to).Elem(), 0)
	if d.peek(); d.at < len(d.buf) {
		d.fail("more than one value")
	}
	return nil
}

// create counts memory that is allocated, with what the allocator needs for itself.
func (d *decoder) create(n int) {
	n += n/8 + 32
	if n > d.room {
		d.fail("it takes more memory than what is expected may take")
	}
	d.room -= n
}

// fill reads more, when all in buf is decoded. It returns false at the end.
func (d *decoder) fill() bool {
	if d.left == 0 {
		return false
	}
	if d.past += len(d.buf); cap(d.buf) == 0 {
		d.buf = make([]byte, 0, min(d.left, 16<<10))
	}
	d.at = 0
	d.read(0)
	return true
}

// read reads into buf, from a place in it on.
func (d *decoder) read(from int) {
	n, err := io.ReadAtLeast(d.r, d.buf[from:min(from+d.left, cap(d.buf))], 1)
	d.buf = d.buf[:from+n]
	d.left -= n
	if err == nil {
		return
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	panic(stopped{err})
}

// peek passes over white space and returns the next byte, or 0 at the end.
func (d *decoder) peek() byte {
	for {
		for d.at < len(d.buf) {
			switch c := d.buf[d.at]; c {
			case ' ', '\t', '\n', '\r':
				d.at++
			default:
				return c
			}
		}
		if !d.fill() {
			return 0
		}
	}
}

// next takes the next byte, whatever it is.
func (d *decoder) next() byte {
	if d.at == len(d.buf) && !d.fill() {
		d.fail("the text ends too early")
	}
	d.at++
	return d.buf[d.at-1]
}

// take passes over c if it comes next.
func (d *decoder) take(c byte) bool {
	if d.peek() != c || d.at == len(d.buf) {
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

// word passes over a literal name, whose first letter comes next.
func (d *decoder) word(w string) {
	for i := range len(w) {
		if d.next() != w[i] {
			d.fail("no JSON")
		}
	}
}

// value reads a value into v, or passes over it when v is the zero Value.
func (d *decoder) value(v reflect.Value, depth int) {
	if depth > maxDepth {
		d.fail("too deep nesting")
	}
	kind := v.Kind()
	c := d.peek()
	if c == 'n' {
		if d.word("null"); kind == reflect.Pointer || kind == reflect.Slice {
			v.SetZero()
		}
		return
	}
	if kind == reflect.Pointer {
		if v.IsNil() {
			d.create(int(v.Type().Elem().Size()))
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(v.Elem(), depth)
		return
	}
	isBytes := kind == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8
	switch skip := kind == reflect.Invalid; {
	case c == '{' && (kind == reflect.Struct || skip):
		d.object(v, depth)
	case c == '[' && (kind == reflect.Slice && !isBytes || skip):
		d.array(v, depth)
	case c == '"' && skip:
		d.skip()
	case c == '"' && kind == reflect.String:
		s := d.str(math.MaxInt)
		d.create(len(s))
		v.SetString(string(s))
	case c == '"' && isBytes:
		v.SetBytes(d.base64())
	case (c == '-' || c >= '0' && c <= '9') && kind != reflect.Bool && kind != reflect.Struct && kind != reflect.String && kind != reflect.Slice:
		d.number(v)
	case c == 't' && (kind == reflect.Bool || skip):
		if d.word("true"); !skip {
			v.SetBool(true)
		}
	case c == 'f' && (kind == reflect.Bool || skip):
		if d.word("false"); !skip {
			v.SetBool(false)
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
	var known []field
	if v.IsValid() {
		known = fieldsOf(v.Type())
	}
	for last := 0; ; { // fields mostly come in their order
		name := d.str(maxName)
		var into reflect.Value
		for i := range known {
			if f := &known[(last+i)%len(known)]; f.name == string(name) {
				into, last = v.FieldByIndex(f.index), last+i+1
				break
			}
		}
		d.expect(':')
		d.value(into, depth+1)
		if d.take('}') {
			return
		}
		d.expect(',')
	}
}

// maxName is more bytes than the name of a field has; what is longer is not known.
const maxName = 64

// field is a field of a struct as JSON has it.
type field struct {
	name  string
	index []int // for reflect.Value.FieldByIndex
}

// structs has the fields of the structs that were met.
var structs = struct {
	sync.RWMutex
	fields map[reflect.Type][]field
}{fields: map[reflect.Type][]field{}}

// fieldsOf are the fields of a struct; those of embedded structs count as its own.
func fieldsOf(t reflect.Type) []field {
	structs.RLock()
	list, ok := structs.fields[t]
	structs.RUnlock()
	if ok {
		return list
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				list = append(list, inner)
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		list = append(list, field{name, []int{i}})
	}
	structs.Lock()
	structs.fields[t] = list
	structs.Unlock()
	return list
}

func (d *decoder) array(v reflect.Value, depth int) {
	d.expect('[')
	if v.IsValid() {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
	for n := 0; !d.take(']'); n++ {
		if n > 0 {
			d.expect(',')
		}
		var element reflect.Value
		if v.IsValid() {
			if n == v.Cap() {
				more := max(4, n)
				d.create((n + more) * int(v.Type().Elem().Size()))
				v.Grow(more)
			}
			v.SetLen(n + 1)
			element = v.Index(n)
		}
		d.value(element, depth+1)
	}
}

// number reads an integer; no message has other numbers.
func (d *decoder) number(v reflect.Value) {
	var text [32]byte
	n := 0
	for d.at < len(d.buf) || d.fill() {
		c := d.buf[d.at]
		if strings.IndexByte("+-.0123456789eE", c) < 0 {
			break
		}
		if n == len(text) {
			d.fail("a number out of range")
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
		d.fail("a number out of range")
	}
}

// piece is the rest of buf up to a byte that is no plain part of a string.
func (d *decoder) piece() []byte {
	if d.at == len(d.buf) && !d.fill() {
		d.fail("a string without an end")
	}
	end := d.at
	for end < len(d.buf) && d.buf[end] != '"' && d.buf[end] != '\\' && d.buf[end] >= ' ' && d.buf[end] < utf8.RuneSelf {
		end++
	}
	s := d.buf[d.at:end]
	d.at = end
	return s
}

// str reads a string; of one that has more than most bytes, that many and more. The result is good
// until the next call.
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

// keep adds to scratch.
func (d *decoder) keep(b []byte) {
	d.reserve(len(b))
	d.scratch = append(d.scratch, b...)
}

// reserve makes room for more in scratch. It doubles up to 1 MiB, and then has what the largest
// content or manifest needs.
func (d *decoder) reserve(n int) {
	if need := len(d.scratch) + n; need > cap(d.scratch) {
		grown := max(2*cap(d.scratch), need, 64)
		for _, most := range []int{MaxContent + 3, MaxManifest + 3} { // with what is padding
			if grown > 1<<20 && need <= most {
				grown = most
				break
			}
		}
		d.create(grown)
		d.scratch = append(make([]byte, 0, grown), d.scratch...)
	}
}

// special reads what is no plain part of a string. ok is false at the string's end.
func (d *decoder) special() (r rune, ok bool) {
	switch c := d.buf[d.at]; {
	case c == '"':
		d.at++
		return 0, false
	case c == '\\':
		d.at++
		return d.escape(), true
	case c < ' ':
		d.fail("a control character in a string")
	}
	return d.rune(), true
}

// rune reads a character that is not ASCII. What is not UTF-8 becomes U+FFFD.
func (d *decoder) rune() rune {
	r, n := utf8.DecodeRune(d.ahead(utf8.UTFMax))
	d.at += n
	return r
}

// ahead is what comes next: so many bytes or more, unless there are fewer.
func (d *decoder) ahead(n int) []byte {
	for len(d.buf)-d.at < n && d.left > 0 {
		d.past += d.at
		rest := copy(d.buf, d.buf[d.at:])
		d.at = 0
		d.read(rest)
	}
	return d.buf[d.at:]
}

// escape reads what follows a backslash.
func (d *decoder) escape() rune {
	c := d.next()
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i])
	}
	if c != 'u' {
		d.fail("an unknown escape")
	}
	r := d.hex4(d.ahead(4))
	d.at += 4
	if r < 0xd800 || r >= 0xe000 {
		return r
	}
	// Half of a pair of surrogates is nothing without the other.
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
		d.fail("a string without an end")
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		d.fail("an unknown escape")
	}
	return rune(n)
}

// skip passes over a string.
func (d *decoder) skip() { d.str(0) }

// base64 reads a string of base64 without escapes.
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
			d.fail("a string without an end")
		}
		d.decode64(b[:groups], 0)
		d.at += groups
	}
}

// decode64 adds what base64 stands for to scratch. It has groups of four characters, of which the
// last are so many for padding.
func (d *decoder) decode64(text []byte, padding int) {
	d.reserve(base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(d.scratch[len(d.scratch):cap(d.scratch)], text)
	if d.scratch = d.scratch[:len(d.scratch)+n]; err != nil || len(text)%4 != 0 || n+padding != len(text)/4*3 { // it passes over line ends
		d.fail("no base64")
	}
}
