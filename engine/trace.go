package engine

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/internal/wire"
)

// Frame is what a trace tells of one message: nothing of what is in it, which may be secret.
type Frame struct {
	Sent   bool   // by the controller
	Kind   string // the field of wire.Message that is set, by its JSON name; "unknown" for what is none
	Size   int    // of the frame, in bytes
	Fields []FrameField
	// Took is how long it took to write the message if it was sent, and otherwise how long after the last one sent it arrived.
	Took time.Duration
}

// FrameField is one field of a message.
type FrameField struct {
	Name  string // its JSON name
	Size  int    // of its JSON, in bytes
	Items int    // how many elements an array has; -1 for what is none
}

// maxFrameFields is how many fields a Frame tells of: a host may send any.
const maxFrameFields = 16

// NewFrame describes a message that was received before its connection was traced.
func NewFrame(m *wire.Message) Frame {
	body, err := json.Marshal(m)
	if err != nil {
		return Frame{Kind: "unknown"}
	}
	return describeFrame(body)
}

// Traced returns a connection that tells of each message that goes over it. trace may be called by two goroutines at once.
func Traced(conn io.ReadWriteCloser, trace func(Frame)) io.ReadWriteCloser {
	return &traced{ReadWriteCloser: conn, trace: trace, last: time.Now()}
}

type traced struct {
	io.ReadWriteCloser
	trace func(Frame)
	in    frames
	out   frames

	mu   sync.Mutex
	last time.Time // when a message was sent last
}

func (t *traced) Read(b []byte) (int, error) {
	n, err := t.ReadWriteCloser.Read(b)
	t.in.feed(b[:n], func(body []byte) {
		f := describeFrame(body)
		t.mu.Lock()
		f.Took = time.Since(t.last)
		t.mu.Unlock()
		t.trace(f)
	})
	return n, err
}

func (t *traced) Write(b []byte) (int, error) {
	begin := time.Now()
	n, err := t.ReadWriteCloser.Write(b)
	end := time.Now()
	t.mu.Lock()
	t.last = end
	t.mu.Unlock()
	t.out.feed(b[:n], func(body []byte) {
		f := describeFrame(body)
		f.Sent, f.Took = true, end.Sub(begin)
		t.trace(f)
	})
	return n, err
}

// frames puts together the frames of a stream.
type frames struct {
	buffer []byte
	lost   bool // a length that no frame has: what comes after it cannot be told apart
}

// feed takes in bytes, and calls found with each body that is complete.
func (f *frames) feed(b []byte, found func(body []byte)) {
	if f.lost {
		return
	}
	f.buffer = append(f.buffer, b...)
	for len(f.buffer) >= 4 {
		n := binary.BigEndian.Uint32(f.buffer)
		if n > wire.MaxFrame {
			f.buffer, f.lost = nil, true
			return
		}
		if len(f.buffer) < 4+int(n) {
			return
		}
		found(f.buffer[4 : 4+n])
		f.buffer = f.buffer[4+n:]
	}
}

// describeFrame describes the body of a frame.
func describeFrame(body []byte) Frame {
	f := Frame{Kind: "unknown", Size: 4 + len(body)}
	var message map[string]json.RawMessage
	if json.Unmarshal(body, &message) != nil || len(message) != 1 {
		return f
	}
	for kind, content := range message {
		if !plainName(kind) {
			return f
		}
		f.Kind = kind
		var fields map[string]json.RawMessage
		if json.Unmarshal(content, &fields) != nil {
			return f
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if !plainName(name) || len(f.Fields) == maxFrameFields {
				continue
			}
			field := FrameField{Name: name, Size: len(fields[name]), Items: -1}
			var items []json.RawMessage
			if fields[name][0] == '[' && json.Unmarshal(fields[name], &items) == nil {
				field.Items = len(items)
			}
			f.Fields = append(f.Fields, field)
		}
	}
	return f
}

// plainName tells whether a name is one that a field of a message may have: anything else is not repeated.
func plainName(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
