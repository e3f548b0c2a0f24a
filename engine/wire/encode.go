package wire

import (
	"encoding/base64"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// This package has its own encoder too: encoding/json would make the helper 170 KB larger, and its
// choice of escapes changes with the Go version. Tests compare the two.

// Encode encodes a value as JSON. Of a string it escapes the quote, the backslash and control
// characters, and nothing else. This form must stay the same: the helper compares digests of it
// with those of other versions, and a changed byte would look like a change of the host.
func Encode(v any) []byte { return appendValue(nil, reflect.ValueOf(v)) }

// appendValue appends a value, which consists of structs, pointers, slices, maps by string,
// strings, booleans and integers.
func appendValue(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool())
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(b, v.Uint(), 10)
	case reflect.String:
		return appendString(b, v.String())
	case reflect.Struct:
		return appendStruct(b, v)
	case reflect.Slice:
		if !v.IsNil() {
			return appendSlice(b, v)
		}
	case reflect.Map:
		if !v.IsNil() {
			return appendMap(b, v)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return appendValue(b, v.Elem())
		}
	case reflect.Invalid: // nil
	default:
		panic("a value that messages cannot contain: " + v.Type().String())
	}
	return append(b, "null"...)
}

func appendStruct(b []byte, v reflect.Value) []byte {
	b = append(b, '{')
	start := len(b)
	for _, f := range fieldsOf(v.Type()) {
		value := v.FieldByIndex(f.index)
		if f.omitEmpty && isEmpty(value) {
			continue
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), f.name...), '"', ':')
		b = appendValue(b, value)
	}
	return append(b, '}')
}

// isEmpty reports whether a value is false, zero, nil, or has no elements.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// appendSlice appends a list, or bytes as base64.
func appendSlice(b []byte, v reflect.Value) []byte {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		b = base64.StdEncoding.AppendEncode(append(b, '"'), v.Bytes())
		return append(b, '"')
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(b, v.Index(i))
	}
	return append(b, ']')
}

// appendMap appends a map in the order of its keys.
func appendMap(b []byte, v reflect.Value) []byte {
	var keys []string
	for _, key := range v.MapKeys() {
		keys = append(keys, key.String())
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		b = appendValue(b, v.MapIndex(reflect.ValueOf(key)))
	}
	return append(b, '}')
}

// appendString appends a string. Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for s != "" {
		n := plain(s)
		b, s = append(b, s[:n]...), s[n:]
		if s == "" {
			break
		}
		b, s = appendEscape(b, s[0]), s[1:]
	}
	return append(b, '"')
}

// plain returns the length of the first part of a string that needs no change.
func plain(s string) int {
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c < ' ', c == '"', c == '\\', c == '\x7f':
			return i
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				return i
			}
			i += n
		}
	}
	return len(s)
}

// appendEscape appends what stands for a byte that is not plain.
func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch {
	case c >= utf8.RuneSelf:
		return utf8.AppendRune(b, utf8.RuneError)
	case c == '"' || c == '\\':
		return append(b, '\\', c)
	case c == '\n':
		return append(b, '\\', 'n')
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
