// Package settings defines the settings of one mirror for the host's program mirrorform-sync: a
// text file that an apply writes and the program reads.
package settings

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Dir contains the settings, in one file per job, with the job's name. It belongs to root.
const Dir = "/etc/mirrorform-sync"

// Program is the path of the program.
const Program = "/usr/local/libexec/mirrorform-sync"

// Settings are the settings of one job.
type Settings struct {
	User      string   // the account that runs the syncs
	Directory string   // the mirror's directory, with a slash at the end
	Upstream  string   // rsync:// URL, with a slash at the end
	Fallback  []string // further upstreams, for when it refuses or is behind the tree
	Lock      string   // file that flock(1) locks in the cron entry
	Log       string   // file that cron's output is appended to; "": cron handles the output
	Mount     string   // mount point that must be mounted for the directory to exist, or ""
	State     string   // directory of the job's records
	// Around is a command that runs another one, such as nice(1), or empty. All of rsync runs in it.
	Around []string
	// Proxy is the path of a file with the value of RSYNC_PROXY, or "".
	Proxy string
	// TimeLimit is after how long timeout(1) ends a sync, or "".
	TimeLimit string
	// OnFailure is a program with its arguments, or empty. Mail is an address, and URL and Ping are
	// configurations of curl(1), or "". They are notified.
	OnFailure       []string
	Mail, URL, Ping string
	Metrics         string // file for the textfile collector of the node exporter, or ""
	// Rates are values of --bwlimit by the time at which a sync begins: "08:00-20:00 10m".
	Rates []string
	// Options are rsync's options before the upstream, and Safety those after the directory.
	Options, Safety []string
	// MaxDelete is how many files a sync may delete, and MaxDeletePercent which percentage of all
	// files; 0 means no limit.
	MaxDelete, MaxDeletePercent int
	// Require is a file that the upstream's root must contain, or "".
	Require string
	// Freshness is Require or "". While the upstream's is the tree's, a scheduled sync has nothing to
	// do.
	Freshness string
}

// Command returns the rsync command. If it is not limited, it may delete everything that the
// upstream does not have.
func (s *Settings) Command(limited bool) []string {
	argv := slices.Clip(s.Around)
	if s.TimeLimit != "" {
		// In the foreground, timeout(1) stays in the process group, which a terminal interrupts.
		argv = append(argv, "/usr/bin/timeout", "--foreground", "-k", "60", s.TimeLimit)
	}
	argv = slices.Concat(argv, []string{"/usr/bin/rsync"}, s.Options, []string{s.Upstream, s.Directory}, s.Safety)
	if limited && s.MaxDelete > 0 {
		argv = append(argv, "--max-delete="+strconv.Itoa(s.MaxDelete))
	}
	return argv
}

// texts returns the settings with one text each, in the order of the file.
func (s *Settings) texts() []setting[string] {
	return []setting[string]{
		{"user", &s.User, true}, {"directory", &s.Directory, true}, {"upstream", &s.Upstream, true}, {"lock", &s.Lock, true}, {"log", &s.Log, false},
		{"mount", &s.Mount, false}, {"state", &s.State, true}, {"require", &s.Require, false}, {"freshness", &s.Freshness, false},
		{"proxy", &s.Proxy, false}, {"time_limit", &s.TimeLimit, false}, {"mail", &s.Mail, false}, {"url", &s.URL, false}, {"ping", &s.Ping, false}, {"metrics", &s.Metrics, false},
	}
}

func (s *Settings) numbers() []setting[int] {
	return []setting[int]{{"max_delete", &s.MaxDelete, false}, {"max_delete_percent", &s.MaxDeletePercent, false}}
}

func (s *Settings) lists() []setting[[]string] {
	return []setting[[]string]{
		{"fallback", &s.Fallback, false}, {"around", &s.Around, false}, {"option", &s.Options, false}, {"safety", &s.Safety, false}, {"rate", &s.Rates, false},
		{"on_failure", &s.OnFailure, false},
	}
}

type setting[T any] struct {
	key      string
	value    *T
	required bool
}

// Text returns the content of the file, without the comment at its top: a line KEY VALUE for each
// value.
func (s *Settings) Text() string {
	var out strings.Builder
	line := func(key, value string) { out.WriteString(key + " " + value + "\n") }
	for _, t := range s.texts() {
		if *t.value != "" {
			line(t.key, *t.value)
		}
	}
	for _, l := range s.lists() {
		for _, value := range *l.value {
			line(l.key, value)
		}
	}
	for _, n := range s.numbers() {
		if *n.value != 0 {
			line(n.key, strconv.Itoa(*n.value))
		}
	}
	return out.String()
}

// Parse parses the content of a file. It accepts only what Text writes, and lines that begin with
// #.
func Parse(text string) (*Settings, error) {
	s := &Settings{}
	for i, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(l, "#") {
			continue
		}
		key, value, _ := strings.Cut(l, " ")
		if err := s.set(key, value); err != nil {
			return nil, errors.New("line " + strconv.Itoa(i+1) + ": " + err.Error())
		}
	}
	for _, t := range s.texts() {
		if t.required && *t.value == "" {
			return nil, errors.New(t.key + " is missing")
		}
	}
	return s, s.check()
}

func (s *Settings) set(key, value string) error {
	if value == "" {
		return errors.New(strconv.Quote(key) + " has no value")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New(key + " contains a control character")
	}
	for _, t := range s.texts() {
		if t.key == key {
			if *t.value != "" {
				return errors.New(key + " is listed twice")
			}
			*t.value = value
			return nil
		}
	}
	for _, l := range s.lists() {
		if l.key == key {
			*l.value = append(*l.value, value)
			return nil
		}
	}
	for _, n := range s.numbers() {
		if n.key == key {
			number, err := strconv.Atoi(value)
			if err != nil || number <= 0 || *n.value != 0 || strconv.Itoa(number) != value {
				return errors.New(key + " must be one number greater than zero")
			}
			*n.value = number
			return nil
		}
	}
	return errors.New("unknown setting " + strconv.Quote(key))
}

// check refuses settings that would make the program write or delete in the wrong place.
func (s *Settings) check() error {
	for _, p := range []string{s.Lock, s.Log, s.Mount, s.State, s.Proxy, s.URL, s.Ping, s.Metrics, strings.TrimSuffix(s.Directory, "/")} {
		if p != "" && (!path.IsAbs(p) || path.Clean(p) != p) {
			return errors.New(strconv.Quote(p) + " is not an absolute path without ., .. and double slashes")
		}
	}
	switch {
	case !strings.HasSuffix(s.Directory, "/") || s.Directory == "/":
		return errors.New("directory is not a tree's path with a slash at the end")
	case slices.ContainsFunc(append(s.Fallback[:len(s.Fallback):len(s.Fallback)], s.Upstream), func(u string) bool {
		return !strings.HasPrefix(u, "rsync://") || !strings.HasSuffix(u, "/")
	}):
		return errors.New("upstream is not an rsync:// URL with a slash at the end")
	case s.MaxDeletePercent > 100:
		return errors.New("max_delete_percent is more than 100")
	case strings.Contains(s.Require, "/"):
		return errors.New("require is not the name of a file")
	case s.Freshness != "" && s.Freshness != s.Require:
		return errors.New("freshness is not the required file")
	}
	return nil
}
