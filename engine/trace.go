package engine

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Frame is what a trace shows of one message. It contains nothing of the content, which may be
// secret.
type Frame struct {
	Sent   bool   // by the controller
	Kind   string // JSON name of the field of wire.Message that is set; "unknown" for other frames
	Size   int    // of the frame, in bytes
	Fields []FrameField
	// Took is how long a sent message took to write; for a received message, the time since the last
	// one was sent.
	Took time.Duration
}

// FrameField is one field of a message.
type FrameField struct {
	Name  string // its JSON name
	Size  int    // of its JSON, in bytes
	Items int    // the number of elements of an array; -1 for other values
}

// maxFrameFields limits the fields of a Frame: a host may send any number.
const maxFrameFields = 16

// NewFrame describes a message that was received before the connection was traced.
func NewFrame(m *wire.Message) Frame {
	body, err := json.Marshal(m)
	if err != nil {
		return Frame{Kind: "unknown"}
	}
	return describeFrame(body)
}

// Traced returns a connection that calls trace with each message. Two goroutines may call trace at
// once.
func Traced(conn io.ReadWriteCloser, trace func(Frame)) io.ReadWriteCloser {
	return &traced{ReadWriteCloser: conn, trace: trace, last: time.Now()}
}

type traced struct {
	io.ReadWriteCloser
	trace func(Frame)
	in    frames
	out   frames

	mu   sync.Mutex
	last time.Time // when the last message was sent
}

func (t *traced) Read(b []byte) (int, error) {
	n, err := t.ReadWriteCloser.Read(b)
	t.in.feed(b[:n], func(f Frame) {
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
	t.out.feed(b[:n], func(f Frame) {
		f.Sent, f.Took = true, end.Sub(begin)
		t.trace(f)
	})
	return n, err
}

// frames finds the frames in a stream without storing them.
type frames struct {
	head  []byte // the bytes of the length, until it is complete
	left  int    // bytes of the body that have not arrived
	shape *shape
	lost  bool // the length was invalid: the rest of the stream cannot be divided into frames
}

// feed processes bytes and calls found with each complete frame.
func (f *frames) feed(b []byte, found func(Frame)) {
	for len(b) > 0 && !f.lost {
		if f.left == 0 {
			n := min(4-len(f.head), len(b))
			f.head, b = append(f.head, b[:n]...), b[n:]
			if len(f.head) < 4 {
				return
			}
			f.left, f.shape = int(binary.BigEndian.Uint32(f.head)), new(shape)
			f.shape.frame = Frame{Kind: "unknown", Size: 4 + f.left}
			f.head = f.head[:0]
			f.lost = f.left > wire.MaxFrame
			continue
		}
		n := min(f.left, len(b))
		for _, c := range b[:n] {
			f.shape.take(c)
		}
		b = b[n:]
		if f.left -= n; f.left == 0 {
			found(f.shape.describe())
		}
	}
}

// shape scans JSON byte by byte and keeps only what a Frame contains: the names at the first two
// levels, and the sizes of their values.
type shape struct {
	frame Frame
	kinds int // names at the first level

	depth   int // of objects and arrays
	quoted  bool
	escaped bool
	text    []byte // the last string, up to maxFrameName bytes
	field   *FrameField
}

// maxFrameName is the maximum length of a name in a Frame.
const maxFrameName = 32

func (s *shape) take(c byte) {
	space := !s.quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r')
	ends := s.depth == 2 && !s.quoted && (c == ',' || c == '}')
	if s.field != nil && ends {
		s.endField()
	}
	if s.field != nil && (!space || s.field.Size > 0) {
		if s.field.Size == 0 && c == '[' {
			s.field.Items = 0
		} else if s.field.Items == 0 && s.depth >= 3 && !space && c != ']' {
			s.field.Items = 1
		} else if s.field.Items > 0 && s.depth == 3 && !s.quoted && c == ',' {
			s.field.Items++
		}
		s.field.Size++
	}
	switch {
	case s.quoted:
		s.inString(c)
	case c == '"':
		s.quoted, s.text = true, s.text[:0]
	case c == '{' || c == '[':
		s.depth++
	case c == '}' || c == ']':
		s.depth--
	case c == ':' && s.depth == 1:
		if s.kinds++; s.kinds == 1 && plainName(string(s.text)) {
			s.frame.Kind = string(s.text)
		}
	case c == ':' && s.depth == 2:
		s.field = &FrameField{Name: string(s.text), Items: -1}
	}
}

func (s *shape) inString(c byte) {
	switch {
	case s.escaped:
		s.escaped = false
	case c == '"':
		s.quoted = false
		return
	case c == '\\':
		s.escaped = true
	}
	if len(s.text) <= maxFrameName {
		s.text = append(s.text, c)
	}
}

func (s *shape) endField() {
	if plainName(s.field.Name) && len(s.frame.Fields) < maxFrameFields {
		s.frame.Fields = append(s.frame.Fields, *s.field)
	}
	s.field = nil
}

// describe returns the scanned frame.
func (s *shape) describe() Frame {
	f := s.frame
	if s.kinds != 1 || s.depth != 0 || s.quoted || f.Kind == "unknown" {
		return Frame{Kind: "unknown", Size: f.Size}
	}
	slices.SortFunc(f.Fields, func(a, b FrameField) int { return strings.Compare(a.Name, b.Name) })
	return f
}

// describeFrame describes the body of a frame.
func describeFrame(body []byte) Frame {
	s := &shape{frame: Frame{Kind: "unknown", Size: 4 + len(body)}}
	for _, c := range body {
		s.take(c)
	}
	return s.describe()
}

// plainName reports whether a field of a message may have this name. A Frame contains no other
// names, which may be secret.
func plainName(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxFrameName
}
