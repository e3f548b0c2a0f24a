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

// This package has its own decoder. It decodes while a frame arrives, so that it never stores the
// frame, and it limits the memory that it allocates: three bytes in a frame can create a value of
// 100 bytes. Unlike encoding/json, it matches names case-sensitively. Tests compare the two.

// ErrFrame is the error of a frame that is not a valid message: too long, invalid JSON, or larger
// in memory than the expected message may be.
var ErrFrame = errors.New("malformed frame")

// frameError is an ErrFrame with a reason.
type frameError string

func (e frameError) Error() string { return ErrFrame.Error() + ": " + string(e) }
func (e frameError) Unwrap() error { return ErrFrame }

// Read receives one frame, without a memory limit. It returns io.EOF only between frames.
func Read(r io.Reader) (*Message, error) {
	return ReadWithin(r, func() int { return math.MaxInt })
}

// ReadWithin is Read with a memory limit: room is called when the frame begins, and returns how
// many bytes the message may take. Buffers count too.
func ReadWithin(r io.Reader, room func() int) (*Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return nil, frameError("its length is " + strconv.FormatUint(uint64(n), 10) + " bytes, the limit is " + strconv.Itoa(MaxFrame))
	}
	d := &decoder{r: r, left: int(n), room: room()}
	m := new(Message)
	if err := d.decode(m); err != nil {
		return nil, err
	}
	return m, nil
}

// Decode decodes JSON into the value that to points at. It skips unknown names; null changes
// nothing.
func Decode(text []byte, to any) error {
	return (&decoder{buf: text, room: math.MaxInt}).decode(to)
}

// maxDepth limits the nesting of values. Messages need eight levels.
const maxDepth = 64

// decoder reads a text. Its methods panic with stopped.
type decoder struct {
	r    io.Reader
	left int    // bytes of the frame that are not read yet
	buf  []byte // bytes that are read; those from at on are not decoded yet
	at   int
	past int // number of bytes that were in buf before
	room int // bytes that may still be allocated

	scratch []byte // the result of str, if it is not a part of buf
}

// stopped is the panic value that ends decoding.
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

// create counts allocated memory, including the allocator's overhead.
func (d *decoder) create(n int) {
	n += n/8 + 32
	if n > d.room {
		d.fail("it needs more memory than the expected message may take")
	}
	d.room -= n
}

// fill reads more when all of buf is decoded. It returns false at the end.
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

// read reads into buf, starting at index from.
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

// peek skips white space and returns the next byte, or 0 at the end.
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

// next consumes the next byte.
func (d *decoder) next() byte {
	if d.at == len(d.buf) && !d.fill() {
		d.fail("unexpected end of the text")
	}
	d.at++
	return d.buf[d.at-1]
}

// take consumes c if it is the next byte.
func (d *decoder) take(c byte) bool {
	if d.peek() != c || d.at == len(d.buf) {
		return false
	}
	d.at++
	return true
}

func (d *decoder) expect(c byte) {
	if !d.take(c) {
		d.fail("missing " + string(rune(c)))
	}
}

// word consumes a literal name. Its first letter is the next byte.
func (d *decoder) word(w string) {
	for i := range len(w) {
		if d.next() != w[i] {
			d.fail("invalid JSON")
		}
	}
}

// value decodes a value into v, or skips it if v is the zero Value.
func (d *decoder) value(v reflect.Value, depth int) {
	if depth > maxDepth {
		d.fail("nesting is too deep")
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
		d.fail("unexpected type of a value")
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
	for last := 0; ; { // fields usually arrive in order
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

// maxName is larger than any field's name. Longer names are unknown.
const maxName = 64

// field is a field of a struct, with its JSON name and option.
type field struct {
	name      string
	omitEmpty bool
	index     []int // for reflect.Value.FieldByIndex
}

// structs caches the fields of structs.
var structs = struct {
	sync.RWMutex
	fields map[reflect.Type][]field
}{fields: map[reflect.Type][]field{}}

// fieldsOf returns the fields of a struct, including those of embedded structs.
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
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		list = append(list, field{name, option == "omitempty", []int{i}})
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
