// Package wire contains the messages between the controller and the host helper, and nothing else.
//
// A connection carries frames: a length of four bytes, big endian, then that many bytes of JSON,
// one Message. The helper first prints Preamble, so that the controller can skip what a login shell
// printed before it. The helper then sends Hello with the facts and the controller's nonce, which
// it received as an argument or in the controller's own Hello. After that the controller sends one
// request at a time: questions (Ask, Answers), the start of a transaction (Begin, Waiting…, Begun),
// operations (Do, Event…, Done) and its end (Commit or Rollback, Event…, Done). Either side may
// send Beat at any time.
package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
)

const (
	// Protocol is the version of these messages. A helper with another version is replaced.
	Protocol = 1
	// Preamble is the line that the helper prints before its first frame.
	Preamble = "\x00mirrorform-helper/1\n"
	// MaxFrame is the largest frame either side accepts, in bytes.
	MaxFrame = 32 << 20
	// MaxContent is the largest file content in a message, in bytes.
	MaxContent = 4 << 20
	// MaxPiece is how many bytes of a file the options "head" and "tail" of AskFile return.
	MaxPiece = 2000
	// MaxEntries is how many names of a directory a message contains.
	MaxEntries = 64
	// MaxTreeEntries is the same for the top directory of a tree. AlmaLinux's has about fifty.
	MaxTreeEntries = 256
	// MaxListeners is how many sockets an answer to AskListeners contains.
	MaxListeners = 64
	// MaxOutput is how many bytes of a program's output are kept; the rest is dropped.
	MaxOutput = 64 << 10
)

// Message is the content of one frame: exactly one field is set.
type Message struct {
	Hello    *Hello    `json:"hello,omitempty"`
	Ask      *Ask      `json:"ask,omitempty"`
	Answers  *Answers  `json:"answers,omitempty"`
	Begin    *Begin    `json:"begin,omitempty"`
	Waiting  *Waiting  `json:"waiting,omitempty"`
	Begun    *Begun    `json:"begun,omitempty"`
	Do       *Do       `json:"do,omitempty"`
	Rollback *Rollback `json:"rollback,omitempty"`
	Confirm  *Confirm  `json:"confirm,omitempty"`
	Commit   *Commit   `json:"commit,omitempty"`
	Event    *Event    `json:"event,omitempty"`
	Done     *Done     `json:"done,omitempty"`
	Beat     *Beat     `json:"beat,omitempty"`
	Failure  *Failure  `json:"failure,omitempty"`
}

// Hello opens a connection. The controller sends Protocol and Nonce; the helper repeats both and
// adds the other fields.
type Hello struct {
	Protocol int    `json:"protocol"`
	Nonce    string `json:"nonce"`
	Version  string `json:"version,omitempty"` // the mirrorform version
	SHA256   string `json:"sha256,omitempty"`  // of the helper's own executable, in hex
	Facts    *Facts `json:"facts,omitempty"`
	Boot     string `json:"boot,omitempty"` // the host's boot_id (random(4)), which differs after each boot
	// Manifest is the host's manifest, empty if there is no manifest. Unread is why it could not be
	// read.
	Manifest []byte `json:"manifest,omitempty"`
	Unread   string `json:"unread,omitempty"`
	// Holder is the current holder of the lock, or nil.
	Holder *Holder `json:"holder,omitempty"`
	// Unfinished describes a transaction that was left open and that no run is working on. The next
	// Begin rolls it back.
	Unfinished *Holder `json:"unfinished,omitempty"`
}

// Beat shows that the sender is alive.
type Beat struct {
	Files int64 `json:"files,omitempty"` // how many files the current operation has labelled
}

// Failure ends a connection: the helper could not read or process a message.
type Failure struct {
	Message string `json:"message"`
}

// Ask carries all questions of one round trip.
type Ask struct {
	Queries []Query `json:"queries"`
}

// Answers has one Answer per Query, in the same order.
type Answers struct {
	Answers []Answer `json:"answers"`
}

// Do performs operations of the transaction, in order, until one fails. Then that one and all that
// succeeded since Begin are rolled back, and Done reports it.
//
// A rollback undoes operations in reverse order, with one exception: an undo that starts a unit or
// makes it load its files waits for all others, so that the unit gets the restored files. If such a
// unit was stopped, it waits for all but those that remove packages, since that takes long. An undo
// that stops a unit keeps its place: the next undo may remove what the unit needs.
type Do struct {
	Ops []Order `json:"ops"`
	// Confirm applies until the end of the transaction, once it is set.
	Confirm *Confirmation `json:"confirm,omitempty"`
}

// Order is one operation of a Do, with the operation that undoes it.
type Order struct {
	ID   int `json:"id"` // unique within a connection
	Op   Op  `json:"op"`
	Undo *Op `json:"undo,omitempty"` // nil: Op cannot be undone
	// Final is why Op cannot be undone.
	Final string `json:"final,omitempty"`
	// Private means that the operation contains secrets: no message contains the output of its
	// programs.
	Private bool `json:"private,omitempty"`
}

// Event reports on one operation during Do, Rollback or Commit.
type Event struct {
	ID    int    `json:"id"`
	State State  `json:"state"`
	Error string `json:"error,omitempty"`
	// Said and Output come from a program that failed: the line with the reason, and the end of its
	// output. Error contains neither.
	Said   string `json:"said,omitempty"`
	Output string `json:"output,omitempty"`
	// Withheld means that a program failed, but its output is not sent, since its order is private.
	Withheld bool `json:"withheld,omitempty"`
	// Files is set with Working: what a Beat reports of the operation that has started last.
	Files int64 `json:"files,omitempty"`
}

// State is the state of an operation.
type State string

// The states of an operation.
const (
	Started    State = "started"
	Working    State = "working"
	Finished   State = "done"
	Failed     State = "failed"
	Undone     State = "undone"
	UndoFailed State = "undo-failed"
)

// Done ends a Do, Rollback, Confirm or Commit.
type Done struct {
	Failed *int   `json:"failed,omitempty"` // ID of the operation that failed, or nil
	Error  string `json:"error,omitempty"`  // why the message as a whole was rejected
	// Undone means that the transaction was rolled back, completely unless Journal is set.
	Undone bool `json:"undone,omitempty"`
	// Journal is the directory with the originals, if some changes could not be rolled back.
	Journal string `json:"journal,omitempty"`
	// Next is the ID of the transaction that a Commit with Next began.
	Next string `json:"next,omitempty"`
}

// Frame encodes a message as a frame.
func Frame(m *Message) ([]byte, error) {
	frame := appendValue(make([]byte, 4, 1024), reflect.ValueOf(m))
	size := len(frame) - 4
	if size > MaxFrame {
		return nil, fmt.Errorf("message of %d bytes is larger than the limit of %d", size, MaxFrame)
	}
	binary.BigEndian.PutUint32(frame, uint32(size))
	return frame, nil
}

// Write sends one message as a frame.
func Write(w io.Writer, m *Message) error {
	frame, err := Frame(m)
	if err == nil {
		_, err = w.Write(frame)
	}
	return err
}
