package wire_test

import (
	"bytes"
	"encoding/json"
	"math/rand"
	"reflect"
	"strings"
	"testing"
	"testing/quick"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// escapes makes the escapes of encoding/json those of Encode.
var escapes = strings.NewReplacer(`\\`, `\\`, `\t`, `\u0009`, `\r`, `\u000d`, `\b`, `\u0008`, `\f`, `\u000c`, "\x7f", `\u007f`,
	`\u2028`, "\u2028", `\u2029`, "\u2029", `\ufffd`, "\uFFFD")

// checkEncode compares Encode with encoding/json, byte for byte.
func checkEncode(t *testing.T, v any) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	want := escapes.Replace(strings.TrimSuffix(b.String(), "\n"))
	if got := string(wire.Encode(v)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(3))
	for range 1000 {
		v, ok := quick.Value(reflect.TypeFor[wire.Message](), random)
		if !ok {
			t.Fatal("no value")
		}
		checkEncode(t, v.Interface())
	}
	for c := range 0x120 {
		checkEncode(t, "a"+string(rune(c))+"b")
	}
	for _, v := range []any{
		nil, "", "\xff", "a\xe2\x82", "\xed\xa0\x80", "\uFFFD", "<&>\u2028\u2029\U0010ffff\\u0009", &wire.Message{}, (*wire.Message)(nil),
		&wire.UserOp{Groups: &[]string{}}, &wire.UserOp{Groups: new([]string)}, []byte(nil), []byte{}, []byte("x"), []string(nil), []string{},
		map[string]any{"b": nil, "a": map[string]any{"\n": uint32(7)}, "": []any{true, "x"}}, map[string]string(nil), [][]string{{}, nil, {"a", "b"}},
		struct {
			A map[string]string `json:"a,omitempty"`
			B []byte            `json:"b"`
			C struct{}          `json:"c,omitempty"`
		}{},
	} {
		checkEncode(t, v)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("a\tb\"\\\xff<", []byte{0xff})
	f.Fuzz(func(t *testing.T, text string, content []byte) {
		checkEncode(t, &wire.Message{Failure: &wire.Failure{Message: text}, Commit: &wire.Commit{Manifest: content}})
	})
}

func BenchmarkEncode(b *testing.B) {
	m := answersOf(100)
	b.ReportAllocs()
	for b.Loop() {
		wire.Encode(m)
	}
}
