package engine

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"golang.org/x/crypto/argon2"
)

// sealer makes the digests of one saved plan. They can be compared with those of the same salt, and say nothing else.
//
// What holds a secret is stretched first, by Argon2id with the second set of parameters that RFC 9106, section 4, recommends: whoever has the
// file pays that for each guess. Each distinct state is stretched by itself and once, so that a difference can be told of the very resource, and a
// secret that many hosts share costs no more than one.
type sealer struct {
	salt []byte
	mu   sync.Mutex
	keys map[string][]byte // by what was stretched
}

func newSealer(salt string) *sealer {
	return &sealer{salt: []byte(salt), keys: map[string][]byte{}}
}

// The parameters of Argon2id.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
)

// seal is the digest of parts, in hex. The label keeps equal values apart, so that nobody sees which hosts share one.
func (s *sealer) seal(label string, secret bool, parts ...any) string {
	encoded := canonical(parts...)
	key := s.salt
	if secret {
		key = s.stretch(encoded)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(canonical(label))
	mac.Write(encoded)
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *sealer) stretch(secret []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok := s.keys[string(secret)]
	if !ok {
		key = argon2.IDKey(secret, s.salt, argonTime, argonMemory, argonThreads, sha256.Size)
		s.keys[string(secret)] = key
	}
	return key
}

// canonical encodes values so that equal ones, and no others, are equal bytes: all fields of structs, exported or not, except those tagged
// `fingerprint:"-"`; maps by sorted keys; what pointers point to.
func canonical(values ...any) []byte {
	var all []byte
	for _, v := range values {
		all = append(all, encoding(reflect.ValueOf(v))...)
	}
	return all
}

func encoding(v reflect.Value) []byte {
	var b bytes.Buffer
	encode(&b, v)
	return b.Bytes()
}

// encode writes a letter for the kind, then the value, so that no value's encoding begins another's.
func encode(b *bytes.Buffer, v reflect.Value) {
	number := func(kind byte, n uint64) {
		b.WriteByte(kind)
		b.Write(binary.BigEndian.AppendUint64(nil, n))
	}
	text := func(s string) {
		number('s', uint64(len(s)))
		b.WriteString(s)
	}
	switch v.Kind() {
	case reflect.Invalid:
		b.WriteByte('-')
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteByte('-')
			return
		}
		b.WriteByte('p')
		encode(b, v.Elem())
	case reflect.Bool:
		n := uint64(0)
		if v.Bool() {
			n = 1
		}
		number('b', n)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		number('i', uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		number('u', v.Uint())
	case reflect.Float32, reflect.Float64:
		text(fmt.Sprintf("%x", v.Float()))
	case reflect.String:
		text(v.String())
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.IsNil() {
			b.WriteByte('-')
			return
		}
		number('l', uint64(v.Len()))
		for i := range v.Len() {
			encode(b, v.Index(i))
		}
	case reflect.Map:
		number('m', uint64(v.Len()))
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return bytes.Compare(encoding(x), encoding(y)) })
		for _, k := range keys {
			encode(b, k)
			encode(b, v.MapIndex(k))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Tag.Get("fingerprint") != "-" {
				text(f.Name)
				encode(b, v.Field(i))
			}
		}
		b.WriteByte('.')
	default:
		panic("engine: a state holds a " + v.Type().String()) // of a resource type: a bug
	}
}

// Digest is a digest of parts, in hex, that is slow to guess at: what is in them may hold secrets. The label and the salt keep equal parts of
// different things apart.
func Digest(salt, label string, parts ...any) string {
	return newSealer(salt).seal(label, true, parts...)
}
