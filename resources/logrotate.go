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

// Logrotate is an entry of /etc/logrotate.d: how log files are rotated.
type Logrotate struct {
	Name      string   `hcl:"name" id:"true"`     // the file in /etc/logrotate.d: letters, digits, _ and -
	Files     []string `hcl:"files"`              // absolute paths; * ? [ ] are patterns, as in glob(7)
	Frequency string   `hcl:"frequency,optional"` // daily, weekly (the default) or monthly
	Rotate    *int     `hcl:"rotate,optional"`    // how many old files are kept: 4 by default
	Compress  *bool    `hcl:"compress,optional"`  // whether old files are compressed: true by default
	// DelayCompress leaves the newest old file as it is until the next rotation: for a writer that keeps its file open.
	DelayCompress bool `hcl:"delay_compress,optional"`
	// MissingOK lets a file be absent: true by default.
	MissingOK *bool `hcl:"missing_ok,optional"`
	// NotIfEmpty leaves an empty file alone: true by default.
	NotIfEmpty *bool `hcl:"not_if_empty,optional"`
	// CopyTruncate copies a file and empties it in place, for a writer that cannot be told to open a new one.
	CopyTruncate bool `hcl:"copy_truncate,optional"`
	// CreateMode, CreateOwner and CreateGroup are those of the new file; they are set together.
	CreateMode  string `hcl:"create_mode,optional"`
	CreateOwner string `hcl:"create_owner,optional"`
	CreateGroup string `hcl:"create_group,optional"`
	// SUUser and SUGroup are the account under which files are rotated. They are set together. By
	// default it is the account that owns their directory: what it can write to it can exchange for
	// a link, which root would follow.
	SUUser  string `hcl:"su_user,optional"`
	SUGroup string `hcl:"su_group,optional"`

	generatedFile
	differs []string // directories of several accounts, which one entry cannot rotate
}

const logrotateDir = "/etc/logrotate.d"

type logrotateType struct{}

func init() { register("logrotate", logrotateType{}) }

// Complete returns want with its defaults and the file that comes of it.
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

// logDirectories are the directories that lead to a file, the uppermost first, without those that
// belong to root everywhere, and those of a pattern.
func logDirectories(file string) (dirs []string) {
	for d := path.Dir(file); d != "/" && d != "/var/log" && d != "/var"; d = path.Dir(d) {
		if !strings.ContainsAny(d, "*?[") {
			dirs = append([]string{d}, dirs...)
		}
	}
	return dirs
}

// ownerQueries ask whose the directories of the files are.
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

// Settle has files rotated as the account that owns a directory on the way to them.
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
			full.Content = nil // it names the account
		}
	}
	return &full
}

// logrotateContent is the text of the file. Validate has seen to it that each value is one word.
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
		out = append(out, refusal("files", "no file is named", ""))
	}
	for _, f := range full.Files {
		err := checkPath(f)
		if err == nil && strings.ContainsAny(f, "\"'\\{}#") {
			err = fmt.Errorf("%q holds a quote, a backslash, a brace or #, which logrotate takes differently", f)
		}
		out = append(out, report("files", err)...)
	}
	if !slices.Contains([]string{"daily", "weekly", "monthly"}, full.Frequency) {
		out = append(out, refusal("frequency", fmt.Sprintf("%q is no frequency", full.Frequency), `use "daily", "weekly" or "monthly"`))
	}
	if *full.Rotate < 0 || *full.Rotate > 100000 {
		out = append(out, refusal("rotate", fmt.Sprintf("%d old files cannot be kept", *full.Rotate), ""))
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
		out = append(out, refusal("copy_truncate", "no file is created where the old one is emptied in place", "leave out copy_truncate or create_mode"))
	}
	return out
}

// together refuses attributes of which some are set and some are not.
func together(attribute string, names []string, values ...string) []engine.Problem {
	set := len(slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" }))
	if set == 0 || set == len(values) {
		return nil
	}
	return []engine.Problem{refusal(attribute, enumerate(names)+" are set together or not at all", "")}
}

func (lt logrotateType) Ask(_ engine.Target, want *Logrotate) []wire.Query {
	return append([]wire.Query{lt.file(want).query()}, lt.ownerQueries(want)...)
}

// Read takes what is not the file itself as wanted: the difference shows in its content.
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
		m.content, m.digest = plain.content, "" // it was not sent
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
		out = append(out, refusal("files", "they lie in directories of different accounts ("+enumerate(want.differs)+"), and one entry is rotated as one account",
			"write an entry for each directory, or set su_user and su_group"))
	}
	if want == nil || have == nil {
		return out
	}
	return append(out, lt.file(have).check(lt.file(want))...)
}
