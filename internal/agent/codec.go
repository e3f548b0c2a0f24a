package agent

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// The frames of package wire are JSON. The helper has its own small coder for them, since encoding/json makes its executable
// 350 KB larger; a test compares the two on every kind of message. Package wire has the decoder,
// which the controller uses as well.

// frame encodes a message.
func frame(m *wire.Message) ([]byte, error) {
	b := oldEncode(make([]byte, 4, 1024), reflect.ValueOf(m).Elem())
	if len(b)-4 > wire.MaxFrame {
		return nil, fmt.Errorf("the message would have %d bytes, more than the limit of %d", len(b)-4, wire.MaxFrame)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b, nil
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

// oldEncode appends the JSON of a value. Maps, floats and interfaces do not occur in messages.
func oldEncode(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...)
		}
		return oldEncode(b, v.Elem())
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
			b = oldEncode(b, v.Index(i))
		}
		return append(b, ']')
	case reflect.Struct:
		b = append(b, '{')
		start := len(b)
		for _, f := range wire.FieldsOf(v.Type()) {
			value := v.FieldByIndex(f.Index)
			if f.OmitEmpty && empty(value) {
				continue
			}
			if len(b) > start {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, f.Name), ':')
			b = oldEncode(b, value)
		}
		return append(b, '}')
	}
	panic("message with a field of kind " + v.Kind().String())
}

// appendQuoted appends a JSON string (RFC 8259 section 7). What is not UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
