package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/quick"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// compare has both coders read and write a message.
func compare(t *testing.T, m *wire.Message) {
	t.Helper()
	want, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) > wire.MaxFrame {
		return
	}
	// What the helper writes, the controller reads as what it would have written itself.
	framed, err := frame(m)
	if err != nil {
		t.Fatal(err)
	}
	read, err := wire.Read(bytes.NewReader(framed))
	if err != nil {
		t.Fatalf("%v: %s", err, framed[4:])
	}
	var standard wire.Message
	if err := json.Unmarshal(want, &standard); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read, &standard) {
		t.Errorf("written as %s, want %s", framed[4:], want)
	}
	// What the controller writes, the helper reads as encoding/json would.
	var stream bytes.Buffer
	if err := wire.Write(&stream, m); err != nil {
		t.Fatal(err)
	}
	own, err := wire.Read(&stream)
	if err != nil {
		t.Fatalf("%v: %s", err, want)
	}
	if !reflect.DeepEqual(own, &standard) {
		t.Errorf("%s is read as %+v", want, own)
	}
}

// Every message that package wire can express is coded as encoding/json does.
func TestCodec(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(1))
	for range 2000 {
		v, ok := quick.Value(reflect.TypeFor[wire.Message](), random)
		if !ok {
			t.Fatal("no value")
		}
		m := v.Interface().(wire.Message)
		compare(t, &m)
	}
	compare(t, &wire.Message{})
	compare(t, &wire.Message{Do: &wire.Do{Ops: []wire.Order{{Op: wire.Op{User: &wire.UserOp{Groups: &[]string{}}}}}}})
}

// What a journal holds has the same bytes as the helper's own codec wrote.
func TestEncodeAsBefore(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(2))
	for range 2000 {
		for _, of := range []reflect.Type{reflect.TypeFor[entry](), reflect.TypeFor[header](), reflect.TypeFor[commitment](), reflect.TypeFor[holder](), reflect.TypeFor[[]wire.Answer]()} {
			v, ok := quick.Value(of, random)
			if !ok {
				t.Fatal("no value")
			}
			sameBytes(t, v)
		}
	}
	all := ""
	for c := range rune(0x300) {
		all += string(c) + `\` + string(c)
	}
	for _, s := range []string{all, "\u2027\u2028\u2029\u2030", "\xff\xe2\x80", "\uFFFD", "\\u2028\\\\u2028\\t\\\t", "<&>", "\U0010ffff"} {
		sameBytes(t, reflect.ValueOf(header{Operator: s}))
		sameBytes(t, reflect.ValueOf([]wire.Answer{{Mount: &wire.Mount{Fstab: s}}, {File: &wire.File{Content: []byte(s)}}}))
	}
}

func sameBytes(t *testing.T, v reflect.Value) {
	t.Helper()
	if got, want := encode(v.Interface()), oldEncode(nil, v); !bytes.Equal(got, want) {
		t.Fatalf("written as\n%s, want\n%s", got, want)
	}
}

func TestFrameRefuses(t *testing.T) {
	t.Parallel()
	if _, err := frame(&wire.Message{Failure: &wire.Failure{Message: strings.Repeat("x", wire.MaxFrame)}}); err == nil {
		t.Error("a message beyond the limit is written")
	}
}

func FuzzCodec(f *testing.F) {
	for _, s := range []string{`{"hello":{"protocol":1,"nonce":"\u00e9\ud83d\ude00\ud800x","unknown":[1,{"a":null}]}}`, `{"ask":{"queries":[{"verb":"file","arg":"/x"}]}}`,
		`{"do":{"ops":[{"id":1,"op":{"write":{"path":"/x","content":"AA==","mode":420,"owner":null}},"undo":{"restore":{"path":"/x"}}}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var own wire.Message
		if wire.Decode(text, &own) != nil {
			return
		}
		compare(t, &own)
	})
}

// Whatever a controller sends, a session ends in good order. Nothing is performed here.
func FuzzServe(f *testing.F) {
	message := func(m ...*wire.Message) []byte {
		var b bytes.Buffer
		for _, m := range m {
			if err := wire.Write(&b, m); err != nil {
				f.Fatal(err)
			}
		}
		return b.Bytes()
	}
	restore := &wire.Op{Restore: &wire.RestoreOp{Path: "/x"}}
	f.Add(message(hello, &wire.Message{Ask: &wire.Ask{Queries: []wire.Query{{Verb: wire.AskFile, Arg: "/x"}}}}))
	f.Add(message(hello, begin, &wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: wire.Op{Write: &wire.WriteOp{Path: "/x"}}, Undo: restore}, {ID: 1}}}}, &wire.Message{Rollback: &wire.Rollback{}}))
	run := wire.Op{Run: &wire.RunOp{}}
	f.Add(message(hello, begin, &wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: run, Undo: &run}}, Confirm: &wire.Confirmation{Nonce: "a", Timeout: 1}}}, &wire.Message{Commit: &wire.Commit{}},
		begin, &wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: run, Undo: &run}, {ID: 2, Op: run}}}}, &wire.Message{Commit: &wire.Commit{Manifest: []byte("{}"), Aside: true}}))
	f.Add(message(hello, &wire.Message{Confirm: &wire.Confirm{ID: "../x", Nonce: "a"}}, &wire.Message{Commit: &wire.Commit{}}))
	f.Add(message(hello, &wire.Message{Beat: &wire.Beat{}}, &wire.Message{}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	state := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		s := newSession(bytes.NewReader(in), &out, Options{StateDir: state})
		close(s.digested)
		s.answer = func(_ until, queries []wire.Query) []wire.Answer { return make([]wire.Answer, len(queries)) }
		s.perform = func(j job) error {
			if j.order != nil && j.order.ID%3 == 2 {
				panic("on purpose")
			}
			return nil
		}
		err := s.serve(nil)
		text, ok := bytes.CutPrefix(out.Bytes(), []byte(wire.Preamble))
		if !ok {
			t.Fatalf("no preamble: %q", out.Bytes())
		}
		for r := bytes.NewReader(text); ; {
			m, readErr := wire.Read(r)
			if errors.Is(readErr, io.EOF) {
				break
			}
			if readErr != nil {
				t.Fatalf("%v in what the helper said: %q", readErr, text)
			}
			if m.Failure != nil && err == nil {
				t.Errorf("a failure and no error: %+v", m.Failure)
			}
		}
		if left, _ := os.ReadDir(state + "/journal"); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}
