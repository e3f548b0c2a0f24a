package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	mode, owner := uint32(0o644), "root"
	messages := []*wire.Message{
		{Hello: &wire.Hello{Protocol: wire.Protocol, Nonce: "n", Facts: &wire.Facts{Hostname: "h"}}},
		{Ask: &wire.Ask{Queries: []wire.Query{{Verb: wire.AskFile, Arg: "/etc/motd", Option: "content"}}}},
		{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: wire.Op{Expect: "absent", Write: &wire.WriteOp{
			Path: "/x", Content: []byte{0, 0xff, '\n'}, Attributes: wire.Attributes{Mode: &mode, Owner: &owner}}}}}}},
		{Beat: &wire.Beat{}},
	}
	var stream bytes.Buffer
	for _, m := range messages {
		if err := wire.Write(&stream, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range messages {
		got, err := wire.Read(&stream)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	if _, err := wire.Read(&stream); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v, want EOF", err)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		frame string
		want  error
	}{
		"a length beyond the limit": {"\xff\xff\xff\xff", wire.ErrFrame},
		"no JSON":                   {"\x00\x00\x00\x02{x", wire.ErrFrame},
		"a frame cut short":         {"\x00\x00\x00\x09{}", io.ErrUnexpectedEOF},
		"a length cut short":        {"\x00\x00", io.ErrUnexpectedEOF},
	} {
		if _, err := wire.Read(strings.NewReader(tc.frame)); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}

func TestWriteRefusesWhatReadWould(t *testing.T) {
	t.Parallel()
	m := &wire.Message{Failure: &wire.Failure{Message: strings.Repeat("x", wire.MaxFrame)}}
	if err := wire.Write(io.Discard, m); err == nil {
		t.Error("a message beyond the limit was sent")
	}
}

func TestKeyTellsQueriesApart(t *testing.T) {
	t.Parallel()
	seen := map[string]wire.Query{}
	for _, q := range []wire.Query{
		{Verb: wire.AskFile, Arg: "/a"}, {Verb: wire.AskFile, Arg: "/a", Option: "content"}, {Verb: wire.AskUnit, Arg: "/a"},
		{Verb: wire.AskRun, Args: []string{"a", "b"}}, {Verb: wire.AskRun, Args: []string{"a b"}}, {Verb: wire.AskRun, Arg: "a", Args: []string{"b"}},
		{Verb: wire.AskFile, Arg: "/a (content)"},
	} {
		if other, taken := seen[q.Key()]; taken {
			t.Errorf("%+v and %+v have one key", q, other)
		}
		seen[q.Key()] = q
	}
}

// FuzzRead reads foreign bytes: nothing that arrives may crash the reader, and what it accepts it can write again.
func FuzzRead(f *testing.F) {
	var frame bytes.Buffer
	_ = wire.Write(&frame, &wire.Message{Beat: &wire.Beat{}})
	f.Add(frame.Bytes())
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x04null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := wire.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		if n := binary.BigEndian.Uint32(data); int(n) > len(data) {
			t.Fatalf("a frame of %d bytes was read out of %d", n, len(data))
		}
		if err := wire.Write(io.Discard, m); err != nil {
			t.Fatal(err)
		}
	})
}
