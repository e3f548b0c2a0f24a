package agent

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// The journal of a transaction is the directory journal/ID of the state directory. It contains only
// these files:
//
//	transaction.json  who runs it (header). Without it, the transaction has not begun or has ended
//	log               a line for each entry: 16 hex digits of its SHA-256, a space, JSON. An entry is
//	                  synced before the step that it describes
//	reserve           space that is freed before a rollback, which has to work on a full disk
//	confirmed         the nonce with which another connection confirmed the transaction
//	manifest          the new manifest, until it replaces the old one
//	commit            exists once the transaction is committed (commitment)
const (
	headerName    = "transaction.json"
	logName       = "log"
	reserveName   = "reserve"
	confirmedName = "confirmed"
	newManifest   = "manifest"
	commitName    = "commit"

	journalFormat = 1
	reserveSize   = 256 << 10
)

// header is transaction.json.
type header struct {
	Format   int      `json:"format"`
	ID       string   `json:"id"`
	Operator string   `json:"operator"`
	Command  string   `json:"command"`
	From     string   `json:"from,omitempty"`
	Since    string   `json:"since"`          // RFC 3339
	Made     []string `json:"made,omitempty"` // directories created for the boot unit's files
}

// commitment is the file commit.
type commitment struct {
	Manifest bool   `json:"manifest"` // there is a new manifest
	Aside    string `json:"aside"`    // name that the old manifest is kept under; "": it is replaced
}

// entry is a line of the log. One operation has several, in this order.
type entry struct {
	Op     int    `json:"op"` // number of the operation in its transaction, from 1
	Begun  *begun `json:"begun,omitempty"`
	Ready  *ready `json:"ready,omitempty"`
	Ended  *ended `json:"ended,omitempty"`
	Undone bool   `json:"undone,omitempty"`
}

// begun is written before an operation changes anything.
type begun struct {
	ID    int      `json:"id"`   // of the order
	What  string   `json:"what"` // for the operator
	Final string   `json:"final,omitempty"`
	Undo  *wire.Op `json:"undo,omitempty"`
	// Private is copied from the order.
	Private bool `json:"private,omitempty"`

	// For operations on a path:
	Path  string   `json:"path,omitempty"`
	Verb  string   `json:"verb,omitempty"`
	Made  []string `json:"made,omitempty"` // parent directories that have to be created
	Was   *mark    `json:"was,omitempty"`  // the original
	Want  *mark    `json:"want,omitempty"` // for attr: the entry with its new attributes
	Xattr []xattr  `json:"xattr,omitempty"`

	// For other operations:
	Subject  []wire.Query `json:"subject,omitempty"` // questions about what the operation changes
	Before   string       `json:"before,omitempty"`  // digest of the answers before it
	Unit     *unitState   `json:"unit,omitempty"`
	Packages []string     `json:"packages,omitempty"` // installed packages before a change of packages
}

// ready is written when the new content has its temporary name.
type ready struct {
	New    *mark `json:"new"`
	Copied bool  `json:"copied,omitempty"` // the original is a copy, since the file system cannot exchange entries
}

// ended is written when an operation has succeeded.
type ended struct {
	Brought []string `json:"brought,omitempty"` // packages that an installation added
}

// operation is what the journal records about one operation.
type operation struct {
	begun
	n      int
	ready  *ready
	ended  bool
	undone bool
	stuck  bool // its undo failed
	// restored is set for the first operation on a unit, once the unit was restored.
	restored bool
	// brought is nil if it is not known.
	brought []string
}

// journal is the record of a transaction.
type journal struct {
	header
	dir  string // "" until it is created
	log  int
	size int64 // of the log
	ops  []*operation
}

// close closes the log.
func (j *journal) close() {
	if j.log >= 0 {
		closeFD(j.log)
		j.log = -1
	}
}

// make creates the journal in a directory.
func (j *journal) make(parent string, files *files) error {
	dir := parent + "/" + j.ID
	if err := mkdir(unix.AT_FDCWD, dir, 0o700); err != nil {
		return fmt.Errorf("mkdir %s: %w", dir, err)
	}
	err := reserve(dir + "/" + reserveName)
	if err == nil {
		j.log, err = createOrOpen(unix.AT_FDCWD, dir+"/"+logName, unix.O_EXCL|unix.O_APPEND)
	}
	if err == nil {
		err = fsync(j.log)
	}
	if err == nil {
		err = files.replaceFile(dir+"/"+headerName, wire.Encode(j.header), 0o600)
	}
	if err == nil {
		err = syncPath(parent)
	}
	if err != nil {
		_ = removeJournal(dir)
		return fmt.Errorf("nothing was changed: the journal could not be created: %w", err)
	}
	j.dir = dir
	return nil
}

// reserve creates a file with allocated space.
func reserve(file string) error {
	fd, err := create(unix.AT_FDCWD, file, 0o600)
	if err != nil {
		return err
	}
	if err = fallocate(fd, reserveSize); unsupported(err) {
		err = writeAll(fd, make([]byte, reserveSize))
	}
	if err == nil {
		err = fsync(fd)
	}
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	return err
}

// write appends an entry to the log, completely or not at all. With sync, the entry is durable.
func (j *journal) write(e *entry, sync bool) error {
	body := wire.Encode(e)
	line := append([]byte(digestOf(string(body))[:16]+" "), body...)
	line = append(line, '\n')
	err := writeAll(j.log, line)
	if err == nil {
		j.size += int64(len(line))
		if sync {
			err = fsync(j.log)
		}
	} else {
		_ = truncate(j.log, j.size)
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	return nil
}

// loadJournal reads a journal that another process left. It returns nil if the header cannot be
// read.
func loadJournal(dir string) (*journal, error) {
	j := &journal{dir: dir, log: -1}
	data, err := readFile(dir + "/" + headerName)
	if err != nil {
		return nil, err
	}
	if err := wire.Decode(data, &j.header); err != nil {
		return nil, fmt.Errorf("%s/%s: %w", dir, headerName, err)
	}
	if j.Format != journalFormat {
		return j, fmt.Errorf("the journal %s has format %d, and this version of mirrorform knows only format %d: "+
			"use the version that created it", dir, j.Format, journalFormat)
	}
	if err := checkID(j.ID); err != nil || path.Base(dir) != j.ID {
		return j, fmt.Errorf("%s/%s belongs to another transaction, %s", dir, headerName, quote(j.ID))
	}
	fd, err := open(unix.AT_FDCWD, dir+"/"+logName, unix.O_RDWR|unix.O_APPEND|unix.O_NOFOLLOW, 0)
	if err != nil {
		return j, fmt.Errorf("open %s/%s: %w", dir, logName, err)
	}
	j.log = fd
	if data, err = readFile(dir + "/" + logName); err != nil {
		return j, err
	}
	all := slices.Collect(strings.Lines(string(data)))
	for i, line := range all {
		e := parseEntry(line)
		if e == nil {
			// The log ends with an entry that was being written when the host stopped. Its step was never
			// done, since a step waits for its entry.
			for _, line := range all[i+1:] {
				if parseEntry(line) != nil {
					return j, fmt.Errorf("the journal %s is damaged at byte %d of its log: "+
						"undo the recorded changes by hand, then: rm -r %s", dir, j.size, dir)
				}
			}
			if err := truncate(j.log, j.size); err != nil {
				return j, fmt.Errorf("truncate %s/%s: %w", dir, logName, err)
			}
			break
		}
		if err := j.replay(e); err != nil {
			return j, fmt.Errorf("%s/%s: %w", dir, logName, err)
		}
		j.size += int64(len(line))
	}
	return j, nil
}

// parseEntry parses a line of the log; nil if it is not complete.
func parseEntry(line string) *entry {
	sum, body, ok := strings.Cut(line, " ")
	body, whole := strings.CutSuffix(body, "\n")
	e := new(entry)
	if !ok || !whole || digestOf(body)[:16] != sum || wire.Decode([]byte(body), e) != nil {
		return nil
	}
	return e
}

func (j *journal) replay(e *entry) error {
	if e.Begun != nil {
		j.ops = append(j.ops, &operation{begun: *e.Begun, n: len(j.ops) + 1})
	}
	if e.Op < 1 || e.Op > len(j.ops) || e.Begun != nil && e.Op != len(j.ops) {
		return fmt.Errorf("an entry of operation %d follows operation %d", e.Op, len(j.ops))
	}
	op := j.ops[e.Op-1]
	if e.Ready != nil {
		op.ready = e.Ready
	}
	if e.Ended != nil {
		op.ended, op.brought = true, append([]string{}, e.Ended.Brought...)
	}
	op.undone = op.undone || e.Undone
	return nil
}

// begin records an operation that is about to change the host.
func (j *journal) begin(b *begun) (*operation, error) {
	op := &operation{begun: *b, n: len(j.ops) + 1}
	if err := j.write(&entry{Op: op.n, Begun: b}, true); err != nil {
		return nil, err
	}
	j.ops = append(j.ops, op)
	return op, nil
}

// prepared records what is about to be put in place.
func (j *journal) prepared(op *operation, r *ready) error {
	if err := j.write(&entry{Op: op.n, Ready: r}, true); err != nil {
		return err
	}
	op.ready = r
	return nil
}

// end records that an operation has succeeded.
func (j *journal) end(op *operation, e *ended, sync bool) error {
	if err := j.write(&entry{Op: op.n, Ended: e}, sync); err != nil {
		return err
	}
	op.ended, op.brought = true, append([]string{}, e.Brought...)
	return nil
}

// removeJournal removes a journal. The header goes first: without it, the rest is not a journal.
func removeJournal(dir string) error {
	err := unlink(unix.AT_FDCWD, dir+"/"+headerName)
	if err == nil {
		err = syncPath(dir)
	}
	if err != nil && !absent(err) {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	// Repeated, since a confirmation may arrive in the meantime.
	for range 5 {
		names, _ := listDir(dir)
		for _, name := range names {
			_ = unlink(unix.AT_FDCWD, dir+"/"+name)
		}
		if err = rmdir(unix.AT_FDCWD, dir); err == nil || absent(err) {
			return syncPath(dir[:strings.LastIndexByte(dir, '/')])
		}
	}
	return fmt.Errorf("remove %s: %w", dir, err)
}

// checkID refuses invalid IDs of transactions: an ID becomes part of a path.
func checkID(id string) error { return checkHex("transaction ID", id, 16) }

func checkHex(what, s string, most int) error {
	if s == "" || len(s) > most || strings.Trim(s, "0123456789abcdef") != "" {
		return fmt.Errorf("invalid %s %s: it must be 1 to %d hexadecimal digits", what, quote(s), most)
	}
	return nil
}
