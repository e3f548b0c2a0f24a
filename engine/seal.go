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

// sealer computes the digests of one saved plan. Digests with the same salt can be compared, and
// reveal nothing else.
//
// Values with a secret are first stretched by Argon2id, with the second recommended parameters of
// RFC 9106, section 4: an attacker who has the file pays that cost for each guess. Each distinct
// state is stretched separately, so that a difference can be attributed to its resource, but only
// once: a secret that many hosts share costs no more than one.
type sealer struct {
	salt []byte
	mu   sync.Mutex
	keys map[string][]byte // by the stretched value
}

// sealing makes digests of one host's states.
type sealing struct {
	*sealer
	base base // of the configuration, for host local
}

func newSealer(salt string) *sealer {
	return &sealer{salt: []byte(salt), keys: map[string][]byte{}}
}

// The parameters of Argon2id, see sealer.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
)

// seal returns the digest of parts, in hex. The label makes digests of equal values differ, so that
// nobody can see which hosts share a value.
func (s *sealer) seal(label string, secret bool, parts ...any) string {
	return sealing{sealer: s}.seal(label, secret, parts...)
}

func (s sealing) seal(label string, secret bool, parts ...any) string {
	encoded := s.base.canonical(parts...)
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

// canonical encodes values so that two encodings are equal exactly if the values are. It includes
// all fields of structs, exported or not, except those tagged `fingerprint:"-"`; maps in the order
// of their keys; and the targets of pointers.
func canonical(values ...any) []byte { return base("").canonical(values...) }

// canonical is as the function, but paths in it are relative to it.
func (p base) canonical(values ...any) []byte {
	var all []byte
	for _, v := range values {
		all = append(all, p.encoding(reflect.ValueOf(v))...)
	}
	return all
}

func (p base) encoding(v reflect.Value) []byte {
	var b bytes.Buffer
	p.encode(&b, v)
	return b.Bytes()
}

// encode writes a letter for the kind, then the value, so that no encoding is a prefix of another.
func (p base) encode(b *bytes.Buffer, v reflect.Value) {
	number := func(kind byte, n uint64) {
		b.WriteByte(kind)
		b.Write(binary.BigEndian.AppendUint64(nil, n))
	}
	text := func(s string) {
		s = p.relative(s)
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
		p.encode(b, v.Elem())
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
			p.encode(b, v.Index(i))
		}
	case reflect.Map:
		number('m', uint64(v.Len()))
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return bytes.Compare(p.encoding(x), p.encoding(y)) })
		for _, k := range keys {
			p.encode(b, k)
			p.encode(b, v.MapIndex(k))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Tag.Get("fingerprint") != "-" {
				text(f.Name)
				p.encode(b, v.Field(i))
			}
		}
		b.WriteByte('.')
	default:
		panic("engine: a state holds a " + v.Type().String()) // a bug of a resource type
	}
}

// Digest returns a digest of parts, in hex, that is slow to guess, since the parts may contain
// secrets. The label and the salt make digests of equal parts differ.
func Digest(salt, label string, parts ...any) string {
	return newSealer(salt).seal(label, true, parts...)
}
