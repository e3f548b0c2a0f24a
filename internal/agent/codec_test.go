package agent

import (
	"bytes"
	"context"
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

// compare has the helper read a message as encoding/json would.
func compare(t *testing.T, m *wire.Message) {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	framed, err := wire.Frame(m)
	if err != nil {
		return // it is too large
	}
	read, err := wire.Read(bytes.NewReader(framed))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var standard wire.Message
	if err := json.Unmarshal(text, &standard); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read, &standard) {
		t.Errorf("%s is read as %+v", text, read)
	}
}

// Every message that package wire can express is read as encoding/json does.
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

// What a journal holds has one form, whatever JSON would allow: that of helpers of earlier
// versions.
func TestEncode(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"a\tb\nc\rd\be\ff\vg\x00h\x7f":   `a\u0009b\nc\u000dd\u0008e\u000cf\u000bg\u0000h\u007f`,
		`\t\u2028"`:                      `\\t\\u2028\"`,
		"<&>é\u2028\u2029\U0010ffff\xff": "<&>é\u2028\u2029\U0010ffff\uFFFD",
	} {
		if got := string(wire.Encode(record{Name: value})); got != `{"name":"`+want+`","sum":""}` {
			t.Errorf("%q is written as %s", value, got)
		}
	}
	e := &entry{Op: 1, Begun: &begun{ID: 2, What: "x", Was: &mark{Sum: "s"}, Packages: []string{}, Subject: []wire.Query{{Verb: wire.AskUser, Arg: "a"}}}}
	const want = `{"op":1,"begun":{"id":2,"what":"x","was":{"uid":0,"gid":0,"sum":"s"},"subject":[{"verb":"user","arg":"a"}]}}`
	if got := string(wire.Encode(e)); got != want {
		t.Errorf("written as %s, want %s", got, want)
	}
}

func TestFrameRefuses(t *testing.T) {
	t.Parallel()
	if _, err := wire.Frame(&wire.Message{Failure: &wire.Failure{Message: strings.Repeat("x", wire.MaxFrame)}}); err == nil {
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
		s.answer = func(_ context.Context, queries []wire.Query) []wire.Answer { return make([]wire.Answer, len(queries)) }
		s.perform = func(j job) error {
			if j.order != nil && j.order.ID%3 == 2 {
				panic("on purpose")
			}
			return nil
		}
		err := s.serve(t.Context())
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
