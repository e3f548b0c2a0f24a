package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
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
