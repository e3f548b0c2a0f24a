package engine_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

const machineID = "0123456789abcdef0123456789abcdef"

// host plays a host with its helpers, one for each session: it keeps files and the manifest in memory, has one lock, takes transactions back, and
// refuses to write what is named /broken.
type host struct {
	machine string // machineID if empty
	boot    string
	brings  map[string]string
	holder  *wire.Holder // somebody else who has the lock
	// leaves is how long that one keeps it; 0: for good.
	leaves    time.Duration
	recovered *wire.Recovered // what the next Begin is to tell
	stuck     string          // path that cannot be taken back
	refuse    string          // why a commit is refused
	unclean   string          // what is wrong after a commit that was made
	drop      func(h *host, m *wire.Message) drop
	// forge is sent in place of the answer to a message, when it returns any.
	forge  func(m *wire.Message) []*wire.Message
	sudden error // why no session can be opened any more
	// starts has the outcome of starting a service. One that runs is a file with its name.
	starts func(unit string, files map[string]string) error

	mu        sync.Mutex
	files     map[string]string
	manifest  []byte
	aside     []byte   // a manifest that was kept
	manifests int      // how many were written
	runs      []string // packages of each run of the package manager
	log       []string // messages and operations, in their order
	sessions  int
	open      *transaction

	once sync.Once
	lock chan struct{}
}

// drop says at which moment a connection ends.
type drop int

const (
	goOn      drop = iota
	cutBefore      // before the message is obeyed
	cutAfter       // when it was obeyed, and before the answer
)

// transaction is what is open on a host.
type transaction struct {
	id        string
	done      []wire.Order
	originals map[int]*string // by ID of the operation; nil: absent
	confirm   *wire.Confirmation
	confirmed bool
}

func (h *host) start() {
	h.once.Do(func() {
		h.lock = make(chan struct{}, 1)
		if h.files == nil {
			h.files = map[string]string{}
		}
		if h.holder != nil {
			h.lock <- struct{}{}
			if h.leaves > 0 {
				time.AfterFunc(h.leaves, func() { <-h.lock })
			}
		}
	})
}

// file returns a file's content, and whether it is there.
func (h *host) file(path string) (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text, ok := h.files[path]
	return text, ok
}

// edit is what somebody else does on the host.
func (h *host) edit(path, content string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[path] = content
}

func (h *host) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

// did is the log without questions.
func (h *host) did() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.log, "; ")
}

// id is the host's machine-id.
func (h *host) id() string { return cmp.Or(h.machine, machineID) }

func (h *host) connect() (*engine.Session, error) {
	h.start()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sudden != nil && h.sessions > 0 {
		return nil, h.sudden
	}
	h.sessions++
	ours, theirs := net.Pipe()
	go h.serve(theirs, fmt.Sprint("transaction ", h.sessions))
	return engine.NewSession(ours, &wire.Hello{
		Facts: &wire.Facts{Hostname: "h", MachineID: h.id(), Username: "admin"}, Boot: h.boot, Manifest: h.manifest, Holder: h.holder,
	})
}

// serve is one helper. When its connection ends, it takes back what it has open.
func (h *host) serve(conn io.ReadWriteCloser, id string) {
	defer func() { _ = conn.Close() }()
	var mine *transaction
	end := func() {
		h.mu.Lock()
		h.open = nil
		h.mu.Unlock()
		mine = nil
		<-h.lock
	}
	defer func() {
		if mine != nil {
			h.note("gone")
			h.undo(mine, func(wire.Event) {})
			end()
		}
	}()
	say := func(m *wire.Message) { _ = wire.Write(conn, m) }
	for {
		m, err := wire.Read(conn)
		if err != nil {
			return
		}
		if m.Beat != nil {
			continue
		}
		at := goOn
		if h.drop != nil {
			at = h.drop(h, m)
		}
		if at == cutBefore {
			return
		}
		if h.forge != nil {
			if forged := h.forge(m); forged != nil {
				for _, f := range forged {
					say(f)
				}
				continue
			}
		}
		var answer *wire.Message
		switch {
		case m.Ask != nil:
			h.mu.Lock()
			answer = &wire.Message{Answers: &wire.Answers{Answers: answersOf(m.Ask.Queries, h.files)}}
			h.mu.Unlock()
			say(&wire.Message{Beat: &wire.Beat{}})
		case m.Begin != nil:
			begun := h.begin(m.Begin, id, say)
			if begun.ID != "" {
				h.mu.Lock()
				mine = h.open
				h.mu.Unlock()
			}
			answer = &wire.Message{Begun: begun}
		case m.Confirm != nil:
			answer = &wire.Message{Done: h.confirm(m.Confirm)}
		case mine == nil:
			say(&wire.Message{Failure: &wire.Failure{Message: "no transaction is open"}})
			return
		case m.Do != nil:
			done := h.do(mine, m.Do, say)
			if done.Undone {
				end()
			}
			answer = &wire.Message{Done: done}
		case m.Rollback != nil:
			h.note("rollback")
			answer = &wire.Message{Done: h.undo(mine, func(e wire.Event) { say(&wire.Message{Event: &e}) })}
			end()
		case m.Commit != nil:
			done := h.commit(mine, m.Commit)
			if m.Commit.Next && done.Error == "" {
				done.Next = id + " later"
				mine = &transaction{id: done.Next, originals: map[int]*string{}}
				h.mu.Lock()
				h.open = mine
				h.mu.Unlock()
			} else {
				end()
			}
			answer = &wire.Message{Done: done}
		}
		if at == cutAfter {
			return
		}
		say(answer)
	}
}

func (h *host) begin(b *wire.Begin, id string, say func(*wire.Message)) *wire.Begun {
	select {
	case h.lock <- struct{}{}:
	default:
		holder := wire.Holder{Operator: "alice@laptop", Command: "apply", Since: "2026-01-01T00:00:00Z"}
		if h.holder != nil {
			holder = *h.holder
		}
		say(&wire.Message{Waiting: &wire.Waiting{Holder: holder}})
		select {
		case h.lock <- struct{}{}:
		case <-time.After(time.Duration(b.Wait) * time.Second):
			return &wire.Begun{Held: &holder}
		}
	}
	h.note("begin")
	h.mu.Lock()
	defer h.mu.Unlock()
	begun := &wire.Begun{Recovered: h.recovered}
	if h.recovered != nil && len(h.recovered.Errors) > 0 {
		<-h.lock
		return begun
	}
	h.recovered = nil
	h.open = &transaction{id: id, originals: map[int]*string{}}
	begun.ID, begun.Manifest = id, h.manifest
	return begun
}

func (h *host) confirm(c *wire.Confirm) *wire.Done {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.open; o == nil || o.id != c.ID || o.confirm == nil || o.confirm.Nonce != c.Nonce {
		return &wire.Done{Error: "no such transaction waits for a confirmation"}
	}
	h.open.confirmed = true
	h.log = append(h.log, "confirm")
	return &wire.Done{}
}

func (h *host) commit(tx *transaction, c *wire.Commit) *wire.Done {
	h.note("commit")
	h.mu.Lock()
	why := h.refuse
	if tx.confirm != nil && !tx.confirmed {
		why = "it was not confirmed"
	}
	if why == "" {
		if c.Aside {
			h.aside = h.manifest
		}
		if len(c.Manifest) > 0 {
			h.manifest = c.Manifest
			h.manifests++
		}
		h.mu.Unlock()
		return &wire.Done{Error: h.unclean}
	}
	h.mu.Unlock()
	done := h.undo(tx, func(wire.Event) {})
	done.Error = why
	return done
}

// do performs orders until one fails, and then takes back the whole transaction.
func (h *host) do(tx *transaction, do *wire.Do, say func(*wire.Message)) *wire.Done {
	event := func(e wire.Event) { say(&wire.Message{Event: &e}) }
	h.mu.Lock()
	if do.Confirm != nil {
		tx.confirm = do.Confirm
	}
	h.mu.Unlock()
	for _, o := range do.Ops {
		event(wire.Event{ID: o.ID, State: wire.Started})
		if err := h.perform(tx, o); err != nil {
			event(wire.Event{ID: o.ID, State: wire.Failed, Error: err.Error()})
			done := h.undo(tx, event)
			done.Failed = &o.ID
			return done
		}
		event(wire.Event{ID: o.ID, State: wire.Finished})
	}
	return &wire.Done{}
}

// changed is the file that an operation changes.
func changed(op wire.Op) string {
	if op.Unit != nil {
		return op.Unit.Name
	}
	return op.Path()
}

func (h *host) perform(tx *transaction, o wire.Order) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	op := o.Op
	if op.Expect != "" {
		if now := answersOf([]wire.Query{{Arg: op.Path()}}, h.files)[0].File.Fingerprint; now != op.Expect {
			return fmt.Errorf("%s is %q, expected %q", op.Path(), now, op.Expect)
		}
	}
	if text, ok := h.files[changed(op)]; ok {
		tx.originals[o.ID] = &text
	}
	switch {
	case op.Write != nil && op.Write.Path == "/broken":
		return errors.New("read-only file system")
	case op.Write != nil:
		h.files[op.Write.Path] = string(op.Write.Content)
		h.log = append(h.log, "write "+op.Write.Path)
	case op.Remove != nil:
		delete(h.files, op.Remove.Path)
		h.log = append(h.log, "remove "+op.Remove.Path)
	case op.Unit != nil:
		h.log = append(h.log, string(op.Unit.Action)+" "+op.Unit.Name)
		if err := h.change(op.Unit); err != nil {
			return err
		}
	case op.Package != nil:
		h.runs = append(h.runs, strings.Join(op.Package.Install, " "))
		for _, p := range op.Package.Install {
			h.files[p] = ""
			for name, content := range h.brings {
				h.files[name] = content
			}
		}
	}
	tx.done = append(tx.done, o)
	return nil
}

// change starts or stops a service.
func (h *host) change(op *wire.UnitOp) error {
	switch {
	case h.starts == nil:
	case op.Action == wire.UnitStop:
		delete(h.files, op.Name)
	case op.Action == wire.UnitStart, op.Action == wire.UnitLoad:
		if err := h.starts(op.Name, h.files); err != nil {
			return err
		}
		h.files[op.Name] = "active"
	}
	return nil
}

// undo takes back what can be.
func (h *host) undo(tx *transaction, event func(wire.Event)) *wire.Done {
	done := &wire.Done{Undone: true}
	for _, o := range slices.Backward(tx.done) {
		if o.Undo == nil {
			continue
		}
		path := changed(o.Op)
		if path == h.stuck {
			event(wire.Event{ID: o.ID, State: wire.UndoFailed, Error: "disk full"})
			done.Journal = "/var/lib/mirrorform/journal/" + tx.id
			continue
		}
		h.mu.Lock()
		if text := tx.originals[o.ID]; text != nil {
			h.files[path] = *text
		} else {
			delete(h.files, path)
		}
		h.log = append(h.log, "undo "+path)
		h.mu.Unlock()
		event(wire.Event{ID: o.ID, State: wire.Undone})
	}
	tx.done = nil
	return done
}

// answers plays a host whose files are as given.
func answers(t *testing.T, qs []wire.Query, files map[string]string) engine.Answers {
	t.Helper()
	got, err := engine.NewAnswers(qs, answersOf(qs, files))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func answersOf(qs []wire.Query, files map[string]string) []wire.Answer {
	var as []wire.Answer
	for _, q := range qs {
		f := &wire.File{Fingerprint: "absent"}
		if content, ok := files[q.Arg]; ok {
			f = &wire.File{Kind: wire.Regular, Content: []byte(content), Fingerprint: "print of " + content}
		}
		as = append(as, wire.Answer{File: f})
	}
	return as
}
