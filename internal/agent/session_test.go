package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// controller is the other end of a session in tests.
type controller struct {
	t  *testing.T
	rw io.ReadWriteCloser
	in *bufio.Reader
	id int    // of the last operation of try
	tx string // ID of the open transaction, or ""
	mu sync.Mutex
}

// dial starts a session in process and says hello.
func dial(t *testing.T, state string) *controller {
	t.Helper()
	return connect(t, Pipe(context.Background(), Options{Version: "test", StateDir: state}))
}

// dialLate is dial to a session whose time for a confirmation is up when overdue is called.
func dialLate(t *testing.T, state string) (c *controller, overdue func()) {
	t.Helper()
	late := make(chan time.Time)
	c = connect(t, pipeTo(context.Background(), Options{Version: "test", StateDir: state}, func(s *session) {
		s.after = func(time.Duration) <-chan time.Time { return late }
	}))
	return c, func() { late <- time.Now() }
}

func connect(t *testing.T, rw io.ReadWriteCloser) *controller {
	t.Helper()
	c := &controller{t: t, rw: rw, in: bufio.NewReader(rw)}
	ended := make(chan struct{})
	t.Cleanup(func() {
		close(ended)
		_ = rw.Close()
	})
	line, err := c.in.ReadString('\n')
	if err != nil || line != wire.Preamble {
		t.Fatalf("preamble: %q, %v", line, err)
	}
	c.send(&wire.Message{Hello: &wire.Hello{Protocol: wire.Protocol, Nonce: "n"}})
	m := c.receive()
	if m.Hello == nil || m.Hello.Nonce != "n" || m.Hello.Facts == nil {
		t.Fatalf("answer to hello: %+v", m)
	}
	go func() {
		for {
			select {
			case <-time.After(beat):
				c.mu.Lock()
				_ = wire.Write(c.rw, &wire.Message{Beat: &wire.Beat{}}) // the session may have ended
				c.mu.Unlock()
			case <-ended:
				return
			}
		}
	}()
	return c
}

func (c *controller) send(m *wire.Message) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := wire.Write(c.rw, m); err != nil {
		c.t.Fatal(err)
	}
}

// receive returns the next message that is no sign of life.
func (c *controller) receive() *wire.Message {
	c.t.Helper()
	for {
		m, err := wire.Read(c.in)
		if err != nil {
			c.t.Fatal(err)
		}
		if m.Beat == nil {
			return m
		}
	}
}

func (c *controller) ask(queries ...wire.Query) []wire.Answer {
	c.t.Helper()
	c.send(&wire.Message{Ask: &wire.Ask{Queries: queries}})
	m := c.receive()
	if m.Answers == nil || len(m.Answers.Answers) != len(queries) {
		c.t.Fatalf("answers to %d questions: %+v", len(queries), m)
	}
	return m.Answers.Answers
}

// file asks about one file.
func (c *controller) file(path string) *wire.File {
	c.t.Helper()
	a := c.ask(wire.Query{Verb: wire.AskFile, Arg: path, Option: "content"})[0]
	if a.Error != "" {
		c.t.Fatalf("%s: %s", path, a.Error)
	}
	return a.File
}

// finish collects events up to Done.
func (c *controller) finish() (events []wire.Event, done *wire.Done) {
	c.t.Helper()
	for {
		m := c.receive()
		switch {
		case m.Event != nil:
			events = append(events, *m.Event)
		case m.Done != nil:
			return events, m.Done
		default:
			c.t.Fatalf("unexpected message %+v", m)
		}
	}
}

// lock asks for the lock, waiting up to so many seconds, and returns the answer. A lock that was
// released a moment ago needs a wait: a test beside this one may be between fork(2) and execve(2),
// with a copy of its descriptor.
func (c *controller) lock(wait int) *wire.Begun {
	c.t.Helper()
	c.send(&wire.Message{Begin: &wire.Begin{Operator: "alice@laptop", Command: "apply", Wait: wait}})
	for {
		switch m := c.receive(); {
		case m.Begun != nil:
			c.tx = m.Begun.ID
			return m.Begun
		case m.Waiting == nil:
			c.t.Fatalf("answer to begin: %+v", m)
		}
	}
}

// begin opens a transaction, unless one is open.
func (c *controller) begin() {
	c.t.Helper()
	if c.tx != "" {
		return
	}
	if b := c.lock(60); b.ID == "" {
		c.t.Fatalf("no transaction: %+v %+v", b, b.Recovered)
	}
}

// do performs orders in a transaction, which stays open unless one fails.
func (c *controller) do(orders ...wire.Order) ([]wire.Event, *wire.Done) {
	c.t.Helper()
	c.begin()
	c.send(&wire.Message{Do: &wire.Do{Ops: orders}})
	return c.ended(c.finish())
}

func (c *controller) rollback() ([]wire.Event, *wire.Done) {
	c.t.Helper()
	c.send(&wire.Message{Rollback: &wire.Rollback{}})
	return c.ended(c.finish())
}

func (c *controller) commit(m wire.Commit) *wire.Done {
	c.t.Helper()
	c.begin()
	c.send(&wire.Message{Commit: &m})
	_, done := c.finish()
	c.tx = ""
	return done
}

func (c *controller) ended(events []wire.Event, done *wire.Done) ([]wire.Event, *wire.Done) {
	if done.Undone {
		c.tx = ""
	}
	return events, done
}

// must performs operations that have to succeed.
func (c *controller) must(ops ...wire.Op) {
	c.t.Helper()
	for _, op := range ops {
		if err := c.try(op); err != "" {
			c.t.Fatalf("%+v: %s", op, err)
		}
	}
}

// try performs one operation, as a transaction of its own, and returns its error.
func (c *controller) try(op wire.Op) string {
	c.t.Helper()
	c.id++
	events, done := c.do(wire.Order{ID: 1e6 + c.id, Op: op})
	if done.Failed == nil {
		if done.Error == "" {
			done = c.commit(wire.Commit{})
		}
		if done.Error != "" {
			c.t.Fatalf("%+v: %s", op, done.Error)
		}
		return ""
	}
	if !done.Undone || done.Journal != "" {
		c.t.Errorf("%+v: %+v", events, done)
	}
	for _, e := range events {
		if e.State == wire.Failed && strings.TrimSpace(e.Error) != "" {
			return e.Error + ": " + e.Said
		}
	}
	c.t.Fatalf("failed without an error: %+v", events)
	return ""
}

// talk feeds frames to a session and returns what it says until it ends, without the preamble.
func talk(t *testing.T, in io.Reader, prepare func(*session)) ([]*wire.Message, error) {
	t.Helper()
	return talkTo(t, in, t.TempDir()+"/state", prepare)
}

// talkTo is talk with a state directory.
func talkTo(t *testing.T, in io.Reader, state string, prepare func(*session)) ([]*wire.Message, error) {
	t.Helper()
	var out bytes.Buffer
	s := newSession(in, &out, Options{Version: "test", StateDir: state})
	close(s.digested)
	if prepare != nil {
		prepare(s)
	}
	err := s.serve(t.Context())
	text, ok := bytes.CutPrefix(out.Bytes(), []byte(wire.Preamble))
	if !ok {
		t.Fatalf("no preamble: %q", out.Bytes())
	}
	var messages []*wire.Message
	for r := bytes.NewReader(text); ; {
		m, err := wire.Read(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m)
	}
	return messages, err
}

func frames(t *testing.T, messages ...*wire.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, m := range messages {
		if err := wire.Write(&b, m); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

var begin = &wire.Message{Begin: &wire.Begin{Operator: "alice@laptop", Command: "apply"}}

var hello = &wire.Message{Hello: &wire.Hello{Protocol: wire.Protocol, Nonce: "n"}}

func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	raw := func(body string) []byte {
		n := len(body)
		return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
	}
	for name, c := range map[string]struct {
		in   []byte
		want string // in the Failure; empty: none, and an error
	}{
		"another protocol":  {frames(t, &wire.Message{Hello: &wire.Hello{Protocol: 7}}), "protocol mismatch: the helper speaks version 1 and the controller version 7"},
		"no hello":          {frames(t, &wire.Message{Ask: &wire.Ask{}}), "first message must be hello"},
		"long nonce":        {frames(t, &wire.Message{Hello: &wire.Hello{Protocol: 1, Nonce: strings.Repeat("x", 1000)}}), "nonce"},
		"too long":          {[]byte{0xff, 0xff, 0xff, 0xff}, "malformed frame"},
		"not JSON":          {raw("x"), "malformed frame"},
		"another kind":      {raw(`{"hello":3}`), "malformed frame"},
		"deep nesting":      {raw(strings.Repeat(`{"a":`, 1000)), "too deep"},
		"empty":             {append(frames(t, hello), raw("{}")...), "unknown type of"},
		"cut head":          {[]byte{0, 0}, ""},
		"cut body":          {[]byte{0, 0, 0, 9, '{'}, ""},
		"unknown from Mars": {append(frames(t, hello), raw(`{"dance":{"x":[1,2.5,{"y":null}],"z":"\u00e9"}}`)...), "unknown type of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			messages, err := talk(t, bytes.NewReader(c.in), nil)
			if err == nil {
				t.Fatal("no error")
			}
			if c.want == "" {
				if len(messages) != 0 || !errors.Is(err, errCut) {
					t.Errorf("%v, %+v", err, messages)
				}
				return
			}
			if len(messages) == 0 || messages[len(messages)-1].Failure == nil || !strings.Contains(messages[len(messages)-1].Failure.Message, c.want) {
				t.Errorf("%v, %+v", err, messages)
			}
		})
	}
}

func TestHello(t *testing.T) {
	t.Parallel()
	messages, err := talk(t, bytes.NewReader(frames(t, hello, &wire.Message{Beat: &wire.Beat{}}, &wire.Message{Ask: &wire.Ask{}})), nil)
	if err != nil || len(messages) != 2 {
		t.Fatalf("%v, %+v", err, messages)
	}
	h := messages[0].Hello
	if h == nil || h.Nonce != "n" || h.Version != "test" || h.Facts.Kernel == "" || h.Facts.CPUs < 1 || h.Facts.Memory < 1<<20 || h.Facts.UID != os.Geteuid() || h.Facts.OS.ID == "" {
		t.Errorf("%+v %+v", h, h.Facts)
	}
	if messages[1].Answers == nil || len(messages[1].Answers.Answers) != 0 {
		t.Errorf("%+v", messages[1])
	}
}

func TestUnknownQuestionsAndOperations(t *testing.T) {
	t.Parallel()
	c := dial(t, t.TempDir()+"/state")
	answers := c.ask(wire.Query{Verb: "weather"}, wire.Query{Verb: wire.AskFile, Arg: "etc"}, wire.Query{Verb: wire.AskHTTP, Arg: "x"},
		wire.Query{Verb: wire.AskFilesystem}, wire.Query{Verb: wire.AskLoaded, Arg: "../x"}, wire.Query{Verb: wire.AskPackage, Arg: "-x"})
	for i, a := range answers {
		if a.Error == "" {
			t.Errorf("question %d: %+v", i, a)
		}
	}
	if err := c.try(wire.Op{}); !strings.Contains(err, "unknown type of") {
		t.Error(err)
	}
}

func TestPanics(t *testing.T) {
	t.Parallel()
	messages, err := talk(t, bytes.NewReader(frames(t, hello, begin, &wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1}}}})), func(s *session) {
		s.perform = func(job) error { panic("oops") }
	})
	// The input's end may come before the operation begins, which then is not begun.
	if err != nil || len(messages) != 5 || messages[4].Done == nil || messages[4].Done.Failed == nil {
		t.Fatalf("%v, %+v", err, messages)
	}
	if err := guard(func() error { panic("oops") }); err == nil || !strings.Contains(err.Error(), "bug in the helper: oops") || !strings.Contains(outputOf(err), "session_test.go") {
		t.Errorf("%v: %s", err, outputOf(err))
	}
	if err := guard(func() error { var p *transaction; return p.open() }); err == nil || !strings.Contains(err.Error(), "nil pointer") {
		t.Error(err)
	}
}

// blocked is a reader that yields some bytes and then nothing until it is closed.
type blocked struct {
	first io.Reader
	end   chan struct{}
}

func (b *blocked) Read(p []byte) (int, error) {
	if n, err := b.first.Read(p); n > 0 || err != io.EOF {
		return n, err
	}
	<-b.end
	return 0, io.EOF
}

func TestSilence(t *testing.T) {
	t.Parallel()
	in := &blocked{bytes.NewReader(frames(t, hello)), make(chan struct{})}
	defer close(in.end)
	messages, err := talk(t, in, func(s *session) { s.silence = 50 * time.Millisecond })
	if !errors.Is(err, errSilent) || len(messages) != 1 {
		t.Errorf("%v, %+v", err, messages)
	}
}

func TestBeats(t *testing.T) {
	t.Parallel()
	in := &blocked{bytes.NewReader(frames(t, hello, begin, &wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1}}}})), make(chan struct{})}
	release := make(chan struct{})
	client, server := io.Pipe()
	go func() {
		s := newSession(in, server, Options{StateDir: t.TempDir()})
		close(s.digested)
		s.beat = time.Millisecond
		s.perform = func(job) error { <-release; return nil }
		_ = s.serve(t.Context())
		_ = server.Close()
	}()
	r := bufio.NewReader(client)
	_, _ = r.ReadString('\n')
	beats := 0
	for {
		m, err := wire.Read(r)
		if err != nil {
			t.Fatal(err)
		}
		if m.Beat != nil {
			if beats++; beats == 3 {
				close(release)
			}
		}
		if m.Done != nil {
			break
		}
	}
	close(in.end)
	_, _ = io.Copy(io.Discard, r)
	if beats < 3 {
		t.Errorf("%d beats", beats)
	}
}

// When the controller goes, the operation under way is finished, the next is not begun, and all is undone.
func TestLostController(t *testing.T) {
	t.Parallel()
	var did []string
	undo := &wire.Op{Run: &wire.RunOp{}}
	in := &blocked{bytes.NewReader(frames(t, hello, begin, &wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Undo: undo}, {ID: 2, Undo: undo}}}},
		&wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 3, Undo: undo}, {ID: 4, Undo: undo}}}})), make(chan struct{})}
	messages, err := talk(t, in, func(s *session) {
		s.perform = func(j job) error {
			if j.undo != nil {
				did = append(did, "undo "+strconv.Itoa(j.undo.ID))
				return nil
			}
			did = append(did, "do "+strconv.Itoa(j.order.ID))
			if j.order.ID == 3 {
				close(in.end)
				<-s.alive.Done()
			}
			return nil
		}
	})
	if err != nil {
		t.Error(err)
	}
	if want := []string{"do 1", "do 2", "do 3", "undo 3", "undo 2", "undo 1"}; !slices.Equal(did, want) {
		t.Errorf("did %v, want %v", did, want)
	}
	last := messages[len(messages)-1]
	if last.Done == nil || last.Done.Failed == nil || *last.Done.Failed != 4 || !last.Done.Undone {
		t.Errorf("%+v", last)
	}
}

// stuck is a writer that never returns.
type stuck struct{ began chan struct{} }

func (s stuck) Write([]byte) (int, error) {
	close(s.began)
	select {}
}

func TestControllerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	w := stuck{make(chan struct{})}
	done := make(chan struct{})
	s := newSession(bytes.NewReader(frames(t, hello, &wire.Message{Ask: &wire.Ask{Queries: []wire.Query{{Verb: wire.AskFile, Arg: "/"}}}})), w, Options{StateDir: t.TempDir()})
	close(s.digested)
	go func() {
		_ = s.serve(t.Context())
		close(done)
	}()
	<-w.began
	<-done
}

// The sizes for other architectures are those that internal/helper/build, and so make demo, checks.
func TestExecutable(t *testing.T) {
	t.Parallel()
	helper := build(t, hostArch)
	info, err := os.Stat(helper)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 3_500_000 {
		t.Errorf("the helper has %d bytes", info.Size())
	}
	if n := compressed(t, helper); n > 1_500_000 {
		t.Errorf("the helper has %d bytes compressed", n)
	}
	c := start(t, []string{helper})
	if f := c.file(filepath.Dir(helper)); f.Kind != wire.Directory {
		t.Errorf("%+v", f)
	}
}

// TestNonce: a helper that was given the nonce greets at once, and needs no Hello of the controller's.
func TestNonce(t *testing.T) {
	t.Parallel()
	rw := Pipe(context.Background(), Options{Version: "test", StateDir: t.TempDir() + "/state", Nonce: "n"})
	defer func() { _ = rw.Close() }()
	in := bufio.NewReader(rw)
	if line, err := in.ReadString('\n'); err != nil || line != wire.Preamble {
		t.Fatalf("preamble: %q, %v", line, err)
	}
	if m, err := wire.Read(in); err != nil || m.Hello == nil || m.Hello.Nonce != "n" || m.Hello.Facts == nil {
		t.Fatalf("greeting: %+v, %v", m, err)
	}
	if err := wire.Write(rw, &wire.Message{Ask: &wire.Ask{}}); err != nil {
		t.Fatal(err)
	}
	if m, err := wire.Read(in); err != nil || m.Answers == nil {
		t.Fatalf("answers: %+v, %v", m, err)
	}
}
