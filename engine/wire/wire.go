// Package wire holds the messages that the controller and the host helper speak, and nothing else.
//
// A connection carries frames: a length of four bytes, big endian, then that many bytes of JSON, one Message.
// The helper first prints Preamble, so that whatever a login shell printed before it can be skipped.
// It then says Hello with the facts and a nonce of the controller's: one that it was given as an argument, or that of the controller's own Hello, which
// it then waits for. After that the controller asks (Ask, Answers), begins a transaction (Begin, Waiting…, Begun), orders (Do, Event…, Done) and ends it
// (Commit or Rollback, Event…, Done), one message at a time.
// Either side may send Beat at any time.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

const (
	// Protocol is the version of these messages. A helper that speaks another one is replaced.
	Protocol = 1
	// Preamble is the line that the helper prints before its first frame.
	Preamble = "\x00mirrorform-helper/1\n"
	// MaxFrame is the largest frame either side accepts, in bytes.
	MaxFrame = 32 << 20
	// MaxContent is the largest file content that a message carries, in bytes.
	MaxContent = 4 << 20
	// MaxPiece is how much of a file the options "head" and "tail" of AskFile give, in bytes.
	MaxPiece = 2000
	// MaxEntries is how many names of a directory a message carries.
	MaxEntries = 64
	// MaxTreeEntries is the same for the first directory of a tree. AlmaLinux's has some fifty.
	MaxTreeEntries = 256
	// MaxOutput is how much of a program's output is kept, in bytes; the rest is counted and dropped.
	MaxOutput = 64 << 10
)

// Message is one frame's content: exactly one field is set.
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

// Hello opens a connection. The controller sends Protocol and Nonce; the helper repeats both and adds the rest.
type Hello struct {
	Protocol int    `json:"protocol"`
	Nonce    string `json:"nonce"`
	Version  string `json:"version,omitempty"` // the mirrorform version
	SHA256   string `json:"sha256,omitempty"`  // of the helper's own executable, in hex
	Facts    *Facts `json:"facts,omitempty"`
	Boot     string `json:"boot,omitempty"` // the host's boot_id (random(4)), new with each start
	// Manifest is the host's manifest as it is, empty when there is none; Unread says why it could not be read.
	Manifest []byte `json:"manifest,omitempty"`
	Unread   string `json:"unread,omitempty"`
	// Holder is who has the lock now, nil when nobody has.
	Holder *Holder `json:"holder,omitempty"`
	// Unfinished is who left a transaction open that nobody is working on; the next Begin takes it back.
	Unfinished *Holder `json:"unfinished,omitempty"`
}

// Beat says that the sender is alive.
type Beat struct{}

// Failure ends a connection: the helper could not read or obey a message.
type Failure struct {
	Message string `json:"message"`
}

// Ask carries every question of a round trip.
type Ask struct {
	Queries []Query `json:"queries"`
}

// Answers has one Answer for each Query, in the same order.
type Answers struct {
	Answers []Answer `json:"answers"`
}

// Do orders operations of the transaction, performed in this order until one fails. When one fails, it and all that were done since Begin
// are taken back, and Done says so.
//
// Operations are undone in reverse order of their being done, with one exception: an undo that starts a unit or
// has it load its files waits until all others are done, so that the unit gets the files that were put back. One that stops a
// unit keeps its place: what the unit needs may be taken away next.
type Do struct {
	Ops []Order `json:"ops"`
	// Confirm, once set in a transaction, holds until its end.
	Confirm *Confirmation `json:"confirm,omitempty"`
}

// Order is one operation of a Do with what undoes it.
type Order struct {
	ID   int `json:"id"` // unique within a connection
	Op   Op  `json:"op"`
	Undo *Op `json:"undo,omitempty"` // nil: final
	// Final says why there is no Undo.
	Final string `json:"final,omitempty"`
	// Private says that secrets went into it: what its programs print is not sent, and is in no
	// message.
	Private bool `json:"private,omitempty"`
}

// Event tells of one operation while Do, Rollback or Commit runs.
type Event struct {
	ID    int    `json:"id"`
	State State  `json:"state"`
	Error string `json:"error,omitempty"`
	// Said and Output are of a program that failed: the line that gives the reason, and the end of
	// all that it printed. Error holds neither.
	Said   string `json:"said,omitempty"`
	Output string `json:"output,omitempty"`
	// Withheld says that a program failed whose output is not sent, since its order is private.
	Withheld bool `json:"withheld,omitempty"`
}

// State is how far an operation is.
type State string

// The states of an operation.
const (
	Started    State = "started"
	Finished   State = "done"
	Failed     State = "failed"
	Undone     State = "undone"
	UndoFailed State = "undo-failed"
)

// Done ends a Do, Rollback, Confirm or Commit.
type Done struct {
	Failed *int   `json:"failed,omitempty"` // the ID of the operation that failed; nil when none did
	Error  string `json:"error,omitempty"`  // why the message as a whole was not obeyed
	// Undone tells that the transaction was taken back, wholly unless Journal is set.
	Undone bool `json:"undone,omitempty"`
	// Journal is the directory where the originals are kept, when something could not be taken back.
	Journal string `json:"journal,omitempty"`
}

// Frame is a message as a frame.
func Frame(m *Message) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(body) > MaxFrame {
		return nil, fmt.Errorf("message of %d bytes is larger than the limit of %d", len(body), MaxFrame)
	}
	frame := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	return append(frame, body...), nil
}

// Write sends one message as a frame.
func Write(w io.Writer, m *Message) error {
	frame, err := Frame(m)
	if err == nil {
		_, err = w.Write(frame)
	}
	return err
}
