package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// records are the files of the state directory that record what units have loaded.
type records struct {
	state *stateDir
	files *files
}

// record is one of them: what a unit has loaded.
type record struct {
	Name string `json:"name"`
	Sum  string `json:"sum"`
}

// file returns the file of a record.
func (r *records) file(name string) (string, error) {
	for _, c := range name {
		if c <= ' ' || c == '/' || c == 0x7f {
			return "", fmt.Errorf("invalid name of a record: %s", quote(name))
		}
	}
	if name == "" || name[0] == '.' || len(name) > 200 {
		return "", fmt.Errorf("invalid name of a record: %s", quote(name))
	}
	return r.state.dir + "/loaded/" + name, nil
}

// loadedDigest returns a digest of files' paths and contents. The order of the paths does not
// matter. A link counts as the file that it leads to.
func loadedDigest(files []string) (string, error) {
	files = append([]string(nil), files...)
	slices.Sort(files)
	var b strings.Builder
	for _, p := range files {
		if p == "" || p[0] != '/' {
			return "", notAbsolute(p)
		}
		sum, err := contentDigest(p, true)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p, err)
		}
		b.WriteString(p + "\x00" + sum + "\x00")
	}
	return digestOf(b.String()), nil
}

// contentDigest returns a digest of a file, or of the names and contents of the files in a
// directory.
func contentDigest(p string, enter bool) (string, error) {
	w, err := walk(p, nil)
	if absent(err) {
		return "absent", nil
	}
	if err != nil {
		return "", err
	}
	defer w.close()
	kind := w.kind()
	if kind != unix.S_IFREG && (kind != unix.S_IFDIR || !enter) {
		return octal(kind), nil
	}
	fd, err := w.reopen(unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer closeFD(fd)
	if kind == unix.S_IFREG {
		sum, _, err := digest(fd, nil)
		return sum, err
	}
	names, err := list(fd, 0)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range names {
		if strings.HasPrefix(name, tempPrefix) {
			continue // an original that is kept until the commit
		}
		sum, err := contentDigest(p+"/"+name, false)
		if err != nil {
			return "", err
		}
		b.WriteString(name + "\x00" + sum + "\x00")
	}
	return digestOf(b.String()), nil
}

// ask answers AskLoaded.
func (r *records) ask(q wire.Query) wire.Answer {
	file, err := r.file(q.Arg)
	if err != nil {
		return failed(err)
	}
	record, err := readFile(file)
	if absent(err) {
		return wire.Answer{Loaded: &wire.Loaded{}}
	}
	if err != nil {
		return failed(err)
	}
	now, err := loadedDigest(q.Args)
	if err != nil {
		return failed(err)
	}
	return wire.Answer{Loaded: &wire.Loaded{Recorded: true, Current: now == strings.TrimSpace(string(record))}}
}

// of lists the records of a unit: NAME and NAME.SOMETHING.
func (r *records) of(unit string) (names []string) {
	all, _ := listDir(r.state.dir + "/loaded") // does not exist before the first record
	for _, name := range all {
		if name == unit || strings.HasPrefix(name, unit+".") {
			names = append(names, name)
		}
	}
	return names
}

// forget removes the records of a unit: a stopped unit has nothing loaded.
func (r *records) forget(unit string) {
	for _, name := range r.of(unit) {
		_ = unlink(unix.AT_FDCWD, r.state.dir+"/loaded/"+name)
	}
}

// put records what a unit has loaded.
func (r *records) put(name, sum string) error {
	file, err := r.file(name)
	if err != nil {
		return err
	}
	if err := r.state.make("loaded"); err != nil {
		return err
	}
	return r.files.replaceFile(file, []byte(sum+"\n"), 0o600)
}

// restore restores the records of a unit.
func (r *records) restore(name string, was []record) error {
	for _, now := range r.of(name) {
		if !slices.ContainsFunc(was, func(w record) bool { return w.Name == now }) {
			if err := unlink(unix.AT_FDCWD, r.state.dir+"/loaded/"+now); err != nil && !absent(err) {
				return fmt.Errorf("remove the record %s: %w", now, err)
			}
		}
	}
	for _, w := range was {
		if err := r.put(w.Name, w.Sum); err != nil {
			return err
		}
	}
	return nil
}
