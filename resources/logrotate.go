package resources

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Logrotate is a rule for rotating log files: a file in /etc/logrotate.d.
type Logrotate struct {
	Name      string   `hcl:"name" id:"true"`     // name of the file in /etc/logrotate.d: letters, digits, _ and -
	Files     []string `hcl:"files"`              // absolute paths; * ? [ ] are patterns as in glob(7)
	Frequency string   `hcl:"frequency,optional"` // daily, weekly or monthly; default: weekly
	Rotate    *int     `hcl:"rotate,optional"`    // how many rotated files to keep; default: 4
	Compress  *bool    `hcl:"compress,optional"`  // whether to compress rotated files; default: true
	// DelayCompress is whether to leave the newest rotated file uncompressed until the next rotation,
	// for a program that keeps its log file open.
	DelayCompress bool `hcl:"delay_compress,optional"`
	// MissingOK is whether a missing file is not an error; default: true.
	MissingOK *bool `hcl:"missing_ok,optional"`
	// NotIfEmpty is whether to skip empty files; default: true.
	NotIfEmpty *bool `hcl:"not_if_empty,optional"`
	// CopyTruncate is whether to copy a file and truncate it, for a program that cannot reopen its log
	// file.
	CopyTruncate bool `hcl:"copy_truncate,optional"`
	// CreateMode, CreateOwner and CreateGroup are the mode, owner and group of the new log file. Set
	// all three or none.
	CreateMode  string `hcl:"create_mode,optional"`
	CreateOwner string `hcl:"create_owner,optional"`
	CreateGroup string `hcl:"create_group,optional"`
	// SUUser and SUGroup are the user and the group that rotate the files. Set both or none. By
	// default, they are the owner of the first directory above the files that is not root's: its
	// owner could replace a file by a link, which root would follow.
	SUUser  string `hcl:"su_user,optional"`
	SUGroup string `hcl:"su_group,optional"`

	generatedFile
	differs []string // directories with different owners, which one rule cannot rotate
}

const logrotateDir = "/etc/logrotate.d"

type logrotateType struct{}

func init() { register("logrotate", logrotateType{}) }

// Complete returns want with defaults and the content of its file.
func (logrotateType) Complete(_ engine.Target, want *Logrotate) *Logrotate {
	full := *want
	if full.Frequency == "" {
		full.Frequency = "weekly"
	}
	if full.Rotate == nil {
		four := 4
		full.Rotate = &four
	}
	for _, b := range []**bool{&full.Compress, &full.MissingOK, &full.NotIfEmpty} {
		if *b == nil {
			yes := true
			*b = &yes
		}
	}
	full.complete(func() (string, error) { return logrotateContent(&full), nil })
	return &full
}

// logDirectories returns the directories above a file, the topmost first. It omits those that root
// owns on every host, and patterns.
func logDirectories(file string) (dirs []string) {
	for d := path.Dir(file); d != "/" && d != "/var/log" && d != "/var"; d = path.Dir(d) {
		if !strings.ContainsAny(d, "*?[") {
			dirs = append([]string{d}, dirs...)
		}
	}
	return dirs
}

// ownerQueries ask for the owners of the directories above the files.
func (logrotateType) ownerQueries(s *Logrotate) (list []wire.Query) {
	if s.SUUser != "" {
		return nil
	}
	var dirs []string
	for _, f := range s.Files {
		dirs = append(dirs, logDirectories(f)...)
	}
	for _, dir := range sorted(dirs) {
		list = append(list, wire.Query{Verb: wire.AskFile, Arg: dir})
	}
	return list
}

// Settle sets SUUser and SUGroup to the owner of a directory above the files, if root does not own
// all of them.
func (logrotateType) Settle(_ engine.Target, want *Logrotate, _ *engine.Record, got engine.Answers) *Logrotate {
	if want.SUUser != "" {
		return want
	}
	full := *want
	users := map[string]string{} // a directory's account and group, and the directory
	for _, f := range want.Files {
		account, at := "", path.Dir(f)
		for _, dir := range logDirectories(f) {
			if d, err := got.File(wire.Query{Verb: wire.AskFile, Arg: dir}); err == nil && d.Kind == wire.Directory && d.UID != 0 {
				account, at = d.Owner+" "+d.Group, dir
				break
			}
		}
		users[account] = at
	}
	if len(users) > 1 {
		full.differs = slices.Sorted(maps.Values(users))
		return &full
	}
	for account := range users {
		if account != "" {
			full.SUUser, full.SUGroup, _ = strings.Cut(account, " ")
			full.Content = nil // it contains the account: Complete writes it again
		}
	}
	return &full
}

// logrotateContent returns the content of the file. Validate ensures that each value is one word.
func logrotateContent(s *Logrotate) string {
	var out strings.Builder
	out.WriteString(header("logrotate", s.Name))
	for _, f := range s.Files {
		out.WriteString(`"` + f + "\"\n")
	}
	out.WriteString("{\n")
	directive := func(set bool, text string) {
		if set {
			out.WriteString("    " + text + "\n")
		}
	}
	directive(true, s.Frequency)
	directive(true, fmt.Sprintf("rotate %d", *s.Rotate))
	directive(*s.Compress, "compress")
	directive(!*s.Compress, "nocompress")
	directive(s.DelayCompress, "delaycompress")
	directive(*s.MissingOK, "missingok")
	directive(!*s.MissingOK, "nomissingok")
	directive(*s.NotIfEmpty, "notifempty")
	directive(!*s.NotIfEmpty, "ifempty")
	directive(s.CopyTruncate, "copytruncate")
	directive(s.CreateMode != "", "create "+s.CreateMode+" "+s.CreateOwner+" "+s.CreateGroup)
	directive(s.SUUser != "", "su "+s.SUUser+" "+s.SUGroup)
	out.WriteString("}\n")
	return out.String()
}

func (logrotateType) file(s *Logrotate) *managedFile {
	if s == nil {
		return nil
	}
	m := s.at(logrotateDir + "/" + s.Name)
	m.validate = []string{"/usr/sbin/logrotate", "--debug", "{}"}
	return m
}

// Generated implements engine.Generator.
func (logrotateType) Generated(*Logrotate) bool { return true }

func (logrotateType) Keys(_ engine.Target, want *Logrotate) (provides, needs []engine.Key) {
	p := logrotateDir + "/" + want.Name
	needs = []engine.Key{engine.PathKey(logrotateDir), engine.PackageKey("logrotate")}
	var dirs []string
	for _, f := range want.Files {
		dirs = append(dirs, path.Dir(f))
	}
	for _, dir := range sorted(dirs) {
		needs = append(needs, engine.PathKey(dir))
	}
	for _, name := range sorted([]string{want.CreateOwner, want.CreateGroup, want.SUUser, want.SUGroup}) {
		if name != "" {
			needs = append(needs, engine.UserKey(name), engine.GroupKey(name))
		}
	}
	return []engine.Key{engine.PathKey(p)}, needs
}

func (lt logrotateType) Validate(want *Logrotate) []engine.Problem {
	full := lt.Complete(engine.Target{}, want)
	out := checkEntry(full.Name, logrotateDir)
	if len(full.Files) == 0 {
		out = append(out, refusal("files", "files is empty", "list at least one log file by its absolute path"))
	}
	for _, f := range full.Files {
		err := checkPath(f)
		if err == nil && strings.ContainsAny(f, "\"'\\{}#") {
			err = fmt.Errorf("%q contains a quote, a backslash, a brace or #, which have a meaning in logrotate.conf(5)", f)
		}
		out = append(out, report("files", err)...)
	}
	if !slices.Contains([]string{"daily", "weekly", "monthly"}, full.Frequency) {
		out = append(out, refusal("frequency", fmt.Sprintf("invalid frequency %q", full.Frequency),
			`use "daily", "weekly" or "monthly"`))
	}
	if *full.Rotate < 0 || *full.Rotate > 100000 {
		out = append(out, refusal("rotate", fmt.Sprintf("invalid number of rotated files, %d", *full.Rotate),
			"use 0 to 100000"))
	}
	out = slices.Concat(out,
		together("create_mode", []string{"create_mode", "create_owner", "create_group"}, full.CreateMode, full.CreateOwner, full.CreateGroup),
		together("su_user", []string{"su_user", "su_group"}, full.SUUser, full.SUGroup),
		report("create_owner", checkOwner(full.CreateOwner)), report("create_group", checkOwner(full.CreateGroup)),
		report("su_user", checkOwner(full.SUUser)), report("su_group", checkOwner(full.SUGroup)))
	if full.CreateMode != "" {
		_, err := parseMode(full.CreateMode)
		out = append(out, report("create_mode", err)...)
	}
	if full.CopyTruncate && full.CreateMode != "" {
		out = append(out, refusal("copy_truncate",
			"copy_truncate and create_mode are both set: copy_truncate creates no new file", "remove one of them"))
	}
	return out
}

// together refuses a group of attributes of which only some are set.
func together(attribute string, names []string, values ...string) []engine.Problem {
	set := len(slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" }))
	if set == 0 || set == len(values) {
		return nil
	}
	return []engine.Problem{refusal(attribute, "only some of "+enumerate(names)+" are set", "set all of them or none")}
}

func (lt logrotateType) Ask(_ engine.Target, want *Logrotate) []wire.Query {
	return append([]wire.Query{lt.file(want).query()}, lt.ownerQueries(want)...)
}

// Read compares only the file. All other attributes are copied from want: their differences show in
// the content.
func (lt logrotateType) Read(t engine.Target, want *Logrotate, got engine.Answers) (*Logrotate, error) {
	for _, q := range lt.ownerQueries(want) {
		if _, err := got.File(q); err != nil {
			return nil, err
		}
	}
	plain := lt.file(want)
	want = lt.Complete(t, lt.Settle(t, want, nil, got))
	m, err := lt.file(want).readAs(plain.query(), got)
	if err != nil || m == nil {
		return nil, err
	}
	if plain.content != nil && m.found.SHA256 == digestOf([]byte(*plain.content)) {
		m.content, m.digest = plain.content, "" // the host does not send content that it was asked about
	}
	have := *want
	have.took(m)
	return &have, nil
}

func (lt logrotateType) Diff(_ engine.Target, want, have *Logrotate) []engine.Step {
	return fileSteps(lt.file(want), lt.file(have))
}

func (lt logrotateType) Check(_ engine.Target, want, have *Logrotate) []engine.Problem {
	var out []engine.Problem
	if want != nil && len(want.differs) > 0 {
		out = append(out, refusal("files",
			"the directories of the files have different owners ("+enumerate(want.differs)+"), and one rule rotates as one user",
			"declare a logrotate resource for each directory, or set su_user and su_group"))
	}
	if want == nil || have == nil {
		return out
	}
	return append(out, lt.file(have).check(lt.file(want))...)
}
