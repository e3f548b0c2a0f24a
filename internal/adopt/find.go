package adopt

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/adopt/shell"
)

// Place is a line of a file on the host.
type Place struct {
	File string
	Line int // from 1; 0 is the whole file
}

func (p Place) String() string {
	if p.Line == 0 {
		return printable(p.File)
	}
	return printable(p.File) + ":" + strconv.Itoa(p.Line)
}

// Remark is a note for the operator about a place on a host.
type Remark struct {
	At   Place // File is empty if the remark is about the host
	Text string
}

func (r Remark) String() string {
	if r.At.File == "" {
		return r.Text
	}
	return r.At.String() + ": " + r.Text
}

// printable makes text from the host safe for comments and terminals: one line of limited length,
// without control characters and invisible characters.
func printable(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "…"
	}
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	return strconv.QuoteToGraphic(s)
}

// isAlmaLinux reports whether a path or URL has AlmaLinux in it.
func isAlmaLinux(text string) bool { return strings.Contains(strings.ToLower(text), "almalinux") }

// found is what a survey has found on a host.
type found struct {
	*Survey
	jobs               []*job
	mainJob, kittenJob *job
	sites              []*site
	modules            []module
	remarks            []Remark
	synced             []syncedTree              // by other tools than rsync in a script
	wants              []string                  // files that others refer to and that were not read yet
	stats              []string                  // paths whose kind is needed
	binds              map[string]string         // bind mounts: from mount point to directory
	looked             map[string]map[int]string // secretsOf of a file
	dirs               int                       // document roots whose entries were requested
	secrets            map[string]int            // the line of a secret in a command, by the resolved path of the file
	budget             *shell.Budget             // of all evaluations of commands
	users              map[string]string         // home directories by user; nil if not read yet
	unitStarts         map[string]starter        // what starts units by systemctl
	finds              int                       // paths where programs were looked for
}

// read interprets the answers so far.
func (s *Survey) read() *found {
	f := &found{
		Survey: s, secrets: map[string]int{}, unitStarts: map[string]starter{}, budget: shell.NewBudget(maxWork),
		binds: map[string]string{}, looked: map[string]map[int]string{},
	}
	for _, dir := range slices.Concat(cronSpools, s.unitPlaces(), nginxDirs, apacheDirs, []string{cronDir}, sortedKeys(partsDirs)) {
		if err := s.errors[dir]; err != nil {
			f.remark(Place{dir, 0}, "left out, because it cannot be read: %s", printable(err.Error()))
		} else if d := s.files[dir]; d.Kind == "directory" && !d.Empty && d.Entries == nil {
			f.remark(Place{dir, 0}, "left out, because it has too many entries or cannot be read")
		}
	}
	cronReader{evaluator{f}}.crontabs()
	unitReader{evaluator{f}}.systemd()
	f.choose()
	f.rsyncd()
	(&webReader{f}).read()
	return f
}

func (f *found) remark(at Place, format string, args ...any) {
	r := Remark{at, fmt.Sprintf(format, args...)}
	if !slices.Contains(f.remarks, r) {
		f.remarks = append(f.remarks, r)
	}
}

// file returns a file's text and its path with links resolved. ok reports whether it was read; an
// error becomes a remark.
func (f *found) file(p string) (text, realPath string, ok bool) {
	text, realPath, missing, err := f.text(p)
	if err != nil {
		f.remark(Place{p, 0}, "%s", printable(err.Error()))
	}
	return text, realPath, !missing && err == nil
}

// entries returns the files of a directory that the survey reads.
func (f *found) entries(dir string) []string {
	var list []string
	for _, p := range f.listed() {
		if path.Dir(p) == dir {
			list = append(list, p)
		}
	}
	return list
}

func (f *found) secret(file string, line int) {
	if f.secrets[file] == 0 {
		f.secrets[file] = line
	}
}

func contentOf(p string) wire.Query { return wire.Query{Verb: wire.AskFile, Arg: p, Option: "content"} }

func (f *found) want(p string) {
	if !f.asked[contentOf(p).Key()] && !slices.Contains(f.wants, p) {
		f.wants = append(f.wants, p)
	}
}

// trees returns the directories with AlmaLinux's files: those of the syncs, or without a sync those
// with AlmaLinux in their name that a web server serves.
func (f *found) trees() []string {
	var list []string
	add := func(p string) {
		if p != "" && p != "/" && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	add(f.named)
	for _, j := range []*job{f.main(), f.kitten()} {
		if j != nil {
			add(j.sync.tree)
		}
	}
	if len(list) > 0 {
		return list
	}
	for _, p := range (&webReader{f}).servedTrees() {
		add(p)
	}
	return list[:min(len(list), 2)]
}
