package engine_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// duplex reads from one stream and writes to another.
type duplex struct {
	io.Reader
	io.Writer
}

func (duplex) Close() error { return nil }

func describe(f engine.Frame) string {
	text := "received"
	if f.Sent {
		text = "sent"
	}
	text += fmt.Sprintf(" %s %d", f.Kind, f.Size)
	for _, field := range f.Fields {
		text += fmt.Sprintf(" %s=%d/%d", field.Name, field.Size, field.Items)
	}
	return text
}

// TestTraced sends and receives messages, in whole and byte by byte, and sees kinds and sizes.
func TestTraced(t *testing.T) {
	t.Parallel()
	secret := []byte("canary-51d0")
	var in, out bytes.Buffer
	received := []*wire.Message{
		{Answers: &wire.Answers{Answers: []wire.Answer{{}, {}}}},
		{Beat: &wire.Beat{}},
		{Event: &wire.Event{ID: 1, State: wire.Failed, Error: string(secret), Output: string(secret)}},
		{Failure: &wire.Failure{Message: string(secret)}},
	}
	for _, m := range received {
		if err := wire.Write(&in, m); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var got []string
	conn := engine.Traced(duplex{iotest.OneByteReader(&in), &out}, func(f engine.Frame) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, describe(f))
		if f.Took < 0 {
			t.Errorf("%v", f.Took)
		}
	})
	ask := &wire.Message{Commit: &wire.Commit{Manifest: secret}}
	if err := wire.Write(conn, ask); err != nil {
		t.Fatal(err)
	}
	if m, err := wire.Read(&out); err != nil || !bytes.Equal(m.Commit.Manifest, secret) {
		t.Fatalf("%v, %v", m, err)
	}
	for range received {
		if _, err := wire.Read(conn); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"sent commit 46 manifest=18/-1",
		"received answers 35 answers=7/2",
		"received beat 15",
		"received event 84 error=13/-1 id=1/-1 output=13/-1 state=8/-1",
		"received failure 41 message=13/-1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// FuzzTraced reads any bytes from a host: what is told of them is bounded and plain.
func FuzzTraced(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0b{\"beat\":{}}\x00\x00\x00\x0b{\"beat\":{}}"), 3)
	f.Add([]byte("\x00\x00\x00\x02{}\xff\xff\xff\xff"), 1)
	f.Add([]byte("\x00\x00\x00\x11{\"\\u001b\":{\"a\":1}}"), 100)
	f.Add([]byte("\x00\x00\x00\x13{\"do\":{\"a\":null,\"a\":[1,2]}}"), 100)
	f.Fuzz(func(t *testing.T, stream []byte, chunk int) {
		read := func(r io.Reader) (frames []string) {
			conn := engine.Traced(duplex{r, io.Discard}, func(f engine.Frame) {
				f.Took = 0
				frames = append(frames, describe(f))
				for _, name := range append([]string{f.Kind}, fieldNames(f.Fields)...) {
					if len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
						t.Errorf("name %q", name)
					}
				}
				if len(f.Fields) > 16 {
					t.Errorf("%d fields", len(f.Fields))
				}
			})
			buf := make([]byte, max(chunk%64, 1))
			for {
				if _, err := conn.Read(buf); err != nil {
					return frames
				}
			}
		}
		whole, bytewise := read(bytes.NewReader(stream)), read(iotest.OneByteReader(bytes.NewReader(stream)))
		if !slices.Equal(whole, bytewise) {
			t.Errorf("%q and %q", whole, bytewise)
		}
	})
}

func fieldNames(fields []engine.FrameField) []string {
	var list []string
	for _, f := range fields {
		list = append(list, f.Name)
	}
	return list
}
