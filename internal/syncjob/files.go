package syncjob

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stateFiles are the files of a job in the state directory.
type stateFiles struct {
	dir, name string
	complain  func(message string)
}

func (j *job) files() stateFiles { return stateFiles{dir: j.State, name: j.name, complain: j.complain} }

// replace writes one of the job's files.
func (f stateFiles) replace(suffix string, content []byte) error {
	return replace(f.file(suffix), content)
}

// add adds a line to the status file, and keeps the last ones.
func (f stateFiles) add(line string) {
	unlock := f.lockState()
	defer unlock()
	old, _ := os.ReadFile(f.file(".status"))
	lines := bytes.SplitAfter(old, []byte("\n"))
	if len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	lines = append(lines[max(0, len(lines)-keptRecords+1):], []byte(line))
	if err := f.replace(".status", bytes.Join(lines, nil)); err != nil {
		f.complain("cannot record the sync: " + err.Error())
	}
}

// records returns the records of earlier syncs, the newest first.
func (f stateFiles) records() (list []entry) {
	text, _ := os.ReadFile(f.file(".status"))
	for line := range strings.Lines(string(text)) {
		if e := parseEntry(line); e.start > 0 {
			list = append(list, e)
		}
	}
	slices.Reverse(list)
	return list
}

// lockState makes sure that one program at a time changes the state directory. If the lock fails,
// it does not wait: a record without a lock is better than none.
func (f stateFiles) lockState() (unlock func()) {
	dir, err := os.Open(f.dir)
	if err != nil {
		return func() {}
	}
	_ = flock(dir, unix.LOCK_EX)
	return func() { _ = dir.Close() }
}

// The hold is set if its file is not empty.

func (f stateFiles) held() bool {
	info, err := os.Stat(f.file(".hold"))
	return err == nil && info.Size() > 0
}

func (f stateFiles) hold() {
	text := "held since " + time.Now().UTC().Format(time.RFC3339) + ": a sync has deleted as many files as max_delete allows. To delete the rest: mirrorform sync --allow-deletions\n"
	if err := f.replace(".hold", []byte(text)); err != nil {
		f.complain("cannot set the hold: " + err.Error())
	}
}

func (f stateFiles) release() {
	if !f.held() {
		return
	}
	if err := f.replace(".hold", nil); err != nil {
		f.complain("cannot lift the hold: " + err.Error())
	}
}

// file returns the path of one of the job's files in the state directory.
func (f stateFiles) file(suffix string) string { return filepath.Join(f.dir, f.name+suffix) }

// trimOutput keeps only the end of the output, which has a line for each file.
func (f stateFiles) trimOutput() {
	end, err := tail(f.file(".output"), 65536)
	if err == nil {
		_ = f.replace(".output", end)
	}
}
