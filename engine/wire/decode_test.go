package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/quick"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// framed is a frame with that content.
func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// readAll reads a body in pieces of every kind, and fails the test unless all say the same.
func readAll(t *testing.T, body []byte) (*wire.Message, error) {
	t.Helper()
	whole := new(wire.Message)
	wholeErr := wire.Decode(body, whole)
	for name, r := range map[string]io.Reader{
		"one byte at a time": iotest.OneByteReader(bytes.NewReader(framed(body))),
		"half at a time":     iotest.HalfReader(bytes.NewReader(framed(body))),
		"all at once":        bytes.NewReader(framed(body)),
	} {
		m, err := wire.Read(r)
		if (err == nil) != (wholeErr == nil) || err == nil && !reflect.DeepEqual(m, whole) {
			t.Fatalf("%.200q is read %s as %+v, %v; as a text it is %+v, %v", body, name, m, err, whole, wholeErr)
		}
		if err != nil && !errors.Is(err, wire.ErrFrame) {
			t.Fatalf("%.200q, %s: %v is no ErrFrame", body, name, err)
		}
	}
	return whole, wholeErr
}

// Every message is read as encoding/json reads it, also when a frame arrives in pieces.
func TestDecode(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(2))
	for range 500 {
		v, ok := quick.Value(reflect.TypeFor[wire.Message](), random)
		if !ok {
			t.Fatal("no value")
		}
		body, err := json.Marshal(v.Interface())
		if err != nil {
			t.Fatal(err)
		}
		want := new(wire.Message)
		if err := json.Unmarshal(body, want); err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(t, body); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s is read as %+v, %v", body, got, err)
		}
	}
	for n := range 40 { // what is longer than what is read at once, with boundaries everywhere
		pad := strings.Repeat("x", 16<<10-60+n)
		for _, word := range []string{"é", "€", "😀", "\xe2\x82(", "\xf0\x9f\x98x", "\xff", `\u20ac`, `\ud83d\ude00`, `\ud83dx`, `\ud83d\u0041`, `\n`, `\"`} {
			body := []byte(`{"hello":{"nonce":"` + pad + word + `end","version":"v"},"none":"` + pad + word + `"}`)
			want := new(wire.Message)
			if err := json.Unmarshal(body, want); err != nil {
				t.Fatal(err)
			}
			if got, err := readAll(t, body); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%q after %d bytes is read as %q, %v", word, len(pad), got.Hello.Nonce[max(0, len(pad)-4):], err)
			}
		}
		content := make([]byte, 40<<10+n)
		random.Read(content)
		body, _ := json.Marshal(wire.Message{Commit: &wire.Commit{Manifest: content}})
		if got, err := readAll(t, body); err != nil || !bytes.Equal(got.Commit.Manifest, content) {
			t.Fatalf("content of %d bytes: %v", len(content), err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "x", "{", "{}x", "{}{}", `{"hello"}`, `{"hello":}`, `{"hello":{},}`, `{"hello":[]}`, `{"hello":"x"}`, `{"hello":true}`, `{hello:{}}`,
		`{"hello":{"protocol":1.5}}`, `{"hello":{"protocol":"1"}}`, `{"hello":{"protocol":99999999999999999999}}`, `{"hello":{"protocol":01}}`, `{"hello":{"nonce":1}}`,
		`{"hello":{"protocol":` + strings.Repeat("1", 100) + `}}`, `{"hello":{"nonce":"\ud83d\u00"}}`,
		`{"hello":{"nonce":"x}}`, `{"hello":{"nonce":"\x"}}`, `{"hello":{"nonce":"\u12"}}`, "{\"hello\":{\"nonce\":\"a\nb\"}}", `{"ask":{"queries":[{},]}}`, `{"ask":{"queries":[`,
		`{"do":{"ops":[{"op":{"write":{"content":"!"}}}]}}`, `{"do":{"ops":[{"op":{"write":{"content":"AAAA AAAA"}}}]}}`, "{\"do\":{\"ops\":[{\"op\":{\"write\":{\"content\":\"AA\n==\"}}}]}}",
		`{"do":{"ops":[{"op":{"write":{"content":"AA==AAAA"}}}]}}`, `{"do":{"ops":[{"op":{"write":{"content":"AAA"}}}]}}`, `{"do":{"ops":[{"op":{"write":{"content":"AAAA`,
		`{"do":{"ops":[{"op":{"write":{"mode":-1}}}]}}`, `{"do":{"ops":[{"op":{"write":{"mode":4294967296}}}]}}`, `tru`, `[1`,
	} {
		if m, err := readAll(t, []byte(text)); err == nil {
			t.Errorf("%s is read as %+v", text, m)
		}
		if json.Unmarshal([]byte(text), new(wire.Message)) == nil {
			t.Errorf("%s is JSON of a message", text)
		}
	}
	for _, deep := range []string{strings.Repeat("[", 1000), strings.Repeat(`{"x":`, 1000)} {
		if _, err := readAll(t, []byte(`{"x":`+deep)); err == nil || !strings.Contains(err.Error(), "nesting") {
			t.Errorf("deep nesting: %v", err)
		}
	}
}

// hostile has bodies that are made to take much memory for their length.
func hostile(size int) map[string][]byte {
	repeated := func(before, piece, after string) []byte {
		return []byte(before + strings.Repeat(piece+",", size/(len(piece)+1)) + piece + after)
	}
	return map[string][]byte{
		"empty answers":              repeated(`{"answers":{"answers":[`, `{}`, `]}}`),
		"empty answers in answers":   repeated(`{"answers":{"answers":[`, `{"file":{}}`, `]}}`),
		"every field of an answer":   repeated(`{"answers":{"answers":[`, `{"file":{},"unit":{},"tree":{},"block":{},"user":{},"http":{},"mount":{},"run":{}}`, `]}}`),
		"null answers":               repeated(`{"answers":{"answers":[`, `null`, `]}}`),
		"answers given many times":   repeated(`{"answers":{`, `"answers":[{},{},{},{},{}]`, `}}`),
		"empty places":               repeated(`{"answers":{"answers":[{"tree":{"others":[`, `{}`, `]}}]}}`),
		"empty names":                repeated(`{"answers":{"answers":[{"file":{"entries":[`, `""`, `]}}]}}`),
		"names given many times":     repeated(`{"answers":{"answers":[{"file":{`, `"entries":["a","b"]`, `}}]}}`),
		"one long string":            []byte(`{"failure":{"message":"` + strings.Repeat("x", size) + `"}}`),
		"a string of wrong bytes":    []byte(`{"failure":{"message":"` + strings.Repeat("\xff", size) + `"}}`),
		"content":                    []byte(`{"answers":{"answers":[{"file":{"content":"` + strings.Repeat("AAAA", size/4) + `"}}]}}`),
		"orders with every verb":     repeated(`{"do":{"ops":[`, `{"op":{"write":{},"unit":{},"user":{},"mount":{},"run":{}}}`, `]}}`),
		"lines of what was left":     repeated(`{"begun":{"recovered":{"stays":[`, `""`, `]}}}`),
		"strings given many times":   repeated(`{"failure":{`, `"message":"`+strings.Repeat("x", 1000)+`"`, `}}`),
		"manifests given many times": repeated(`{"begun":{`, `"manifest":"`+strings.Repeat("AAAA", 1000)+`"`, `}}`),
	}
}

// What a frame creates is bounded by the room that it is given, whatever is in it.
func TestReadWithin(t *testing.T) {
	const room = 1 << 20
	for name, body := range hostile(4 << 20) {
		frame := bytes.NewReader(framed(body))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := wire.ReadWithin(frame, func() int { return room })
		runtime.ReadMemStats(&after)
		if !errors.Is(err, wire.ErrFrame) || !strings.Contains(err.Error(), "memory") {
			t.Errorf("%s: %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > room+64<<10 { // what is read at once, and the error
			t.Errorf("%s: %d bytes were allocated, %d are permitted", name, took, room)
		}
	}
}

// What has nothing that is known creates nothing.
func TestReadUnknown(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{`[]`, `{}`, `""`, `{"x":[1,{"y":null}]}`, `"` + strings.Repeat("x", 100) + `"`, `true`} {
		body := []byte(`{"none":[` + strings.Repeat(piece+",", 100_000) + piece + `]}`)
		if m, err := wire.ReadWithin(bytes.NewReader(framed(body)), func() int { return 32 << 10 }); err != nil || !reflect.DeepEqual(m, &wire.Message{}) {
			t.Errorf("%.20s: %+v, %v", piece, m, err)
		}
	}
}

// FuzzDecode reads any text in pieces and as a whole, and what is read is as encoding/json has it.
func FuzzDecode(f *testing.F) {
	for _, body := range hostile(200) {
		f.Add(body, 1<<10)
	}
	f.Add([]byte(`{"hello":{"protocol":1,"nonce":"\u00e9\ud83d\ude00\ud800x","unknown":[1,{"a":null}]}}`), 1)
	f.Add([]byte(`{"do":{"ops":[{"id":1,"op":{"write":{"path":"/x","content":"AA==","mode":420,"owner":null}},"undo":{"restore":{"path":"/x"}}}]}}`), math.MaxInt)
	f.Fuzz(func(t *testing.T, body []byte, room int) {
		m, err := readAll(t, body)
		if err != nil {
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		standard := new(wire.Message)
		if err := json.Unmarshal(again, standard); err != nil {
			t.Fatal(err)
		}
		if same, err := json.Marshal(standard); err != nil || !bytes.Equal(same, again) {
			t.Fatalf("%q is read as %s, which is %s", body, again, same)
		}
		within, err := wire.ReadWithin(bytes.NewReader(framed(body)), func() int { return min(room, 1<<40) })
		if err == nil && !reflect.DeepEqual(m, within) {
			t.Fatalf("%q is read within %d bytes as %+v", body, room, within)
		}
		if err == nil && size(reflect.ValueOf(within)) > max(min(room, 1<<40), 0)+int(reflect.TypeFor[wire.Message]().Size()) {
			t.Fatalf("%q takes more than %d bytes", body, room)
		}
	})
}

// size is how much memory a value takes behind its pointers.
func size(v reflect.Value) int {
	n := 0
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			n = int(v.Type().Elem().Size()) + size(v.Elem())
		}
	case reflect.String:
		n = v.Len()
	case reflect.Slice:
		n = v.Len() * int(v.Type().Elem().Size())
		for i := range v.Len() {
			n += size(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += size(v.Field(i))
		}
	}
	return n
}

// answersOf are the answers of a host with n resources, as a plan without changes gets them.
func answersOf(n int) *wire.Message {
	answers := make([]wire.Answer, n)
	for i := range answers {
		answers[i].File = &wire.File{Kind: wire.Regular, Mode: 0o644, Owner: "root", Group: "root", Size: 1234,
			SHA256: strings.Repeat("0123456789abcdef", 4), Fingerprint: strings.Repeat("fedcba9876543210", 4)}
	}
	return &wire.Message{Answers: &wire.Answers{Answers: answers}}
}

func benchmarkRead(b *testing.B, m *wire.Message) {
	b.Helper()
	var frame bytes.Buffer
	if err := wire.Write(&frame, m); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(frame.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Read(bytes.NewReader(frame.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprintf("answers=%d", n), func(b *testing.B) { benchmarkRead(b, answersOf(n)) })
	}
	content := answersOf(1)
	content.Answers.Answers[0].File.Content = bytes.Repeat([]byte("a line of a file\n"), 1<<20/17)
	b.Run("content=1MiB", func(b *testing.B) { benchmarkRead(b, content) })
}
