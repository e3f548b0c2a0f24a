package resources

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// RsyncModule is a module of the host's rsync daemon that everybody can read and nobody can write:
// a file in /etc/rsyncd.d. /etc/rsyncd.conf has to include that directory: if it does not,
// mirrorform adds the line, and removes it with the last module. Other lines and modules stay. An
// apply succeeds only if rsync accepts the configuration and the daemon then serves the module on
// port 873. The module starts the daemon, unless the service or its socket runs already.
type RsyncModule struct {
	// Name is the name of the module: letters, digits, _ and -.
	Name    string `hcl:"name" id:"true"`
	Path    string `hcl:"path"`             // absolute path of the directory
	Comment string `hcl:"comment,optional"` // what the daemon's list says about the module
	// MaxConnections is how many clients the module serves at a time.
	MaxConnections *int `hcl:"max_connections,optional"`
	// MOTD is the absolute path of a text file that every client of the daemon gets first.
	MOTD string `hcl:"motd,optional"`
	// Exclude has patterns of files that are not served, without spaces.
	Exclude []string `hcl:"exclude,optional"`
	// HostsAllow and HostsDeny are addresses, networks and names of clients, as in rsyncd.conf(5).
	// With HostsAllow, all others are refused, except the host itself.
	HostsAllow []string `hcl:"hosts_allow,optional"`
	HostsDeny  []string `hcl:"hosts_deny,optional"`
	// RefuseOptions are options of clients that the daemon refuses, without hyphens: checksum.
	RefuseOptions []string `hcl:"refuse_options,optional"`
	UID           string   `hcl:"uid,optional"` // user that reads the files; default: nobody
	// GID is the group that reads the files; default: nogroup or nobody, whichever the host has.
	GID    string `hcl:"gid,optional"`
	Chroot *bool  `hcl:"chroot,optional"` // whether the daemon confines itself to Path; default: true
	// Log is the absolute path of the log of connections and sent files; default: the system's log.
	Log string `hcl:"log,optional"`

	generatedFile
	Included *bool `plan:"included"` // whether /etc/rsyncd.conf includes the file
	// Served is whether the daemon lists the directory, with a file of it that can be read.
	Served *bool `plan:"served"`

	anyGroup bool       // wanted: GID is a default
	host     rsyncdHost // after Settle: what the module needs of the daemon's configuration
	is       rsyncdState
	full     bool             `fingerprint:"-"` // found: max_connections clients are being served
	refusal  string           `fingerprint:"-"` // found: why the module is not served
	problems []engine.Problem `fingerprint:"-"` // wanted: what is in the way on the host
}

type rsyncModule struct{}

func init() { register("rsync_module", rsyncModule{}) }

// Complete returns want with defaults and the content of its file.
func (rsyncModule) Complete(t engine.Target, want *RsyncModule) *RsyncModule {
	full := *want
	full.Chroot, full.Included, full.Served = orYes(full.Chroot), orYes(full.Included), orYes(full.Served)
	full.UID = cmp.Or(full.UID, "nobody")
	if full.GID == "" {
		full.anyGroup, full.GID = true, nobodyGroups(t)[0]
	}
	full.complete(func() (string, error) { return rsyncModuleText(&full), nil })
	return &full
}

// nobodyGroups returns the groups without files that a host may have, that of its family first.
func nobodyGroups(t engine.Target) []string {
	if t.Facts.OS.Family == "el" {
		return []string{"nobody", "nogroup"}
	}
	return []string{"nogroup", "nobody"}
}

// rsyncModuleText returns the content of the file. What makes a module public and read-only is
// always there: the daemon's own defaults may differ.
func rsyncModuleText(s *RsyncModule) string {
	var out strings.Builder
	out.WriteString(header("rsync_module", s.Name) + "[" + s.Name + "]\n")
	set := func(when bool, name, value string) {
		if when {
			out.WriteString(strings.TrimRight("    "+name+" = "+value, " ") + "\n")
		}
	}
	words := func(name string, list []string) { set(len(list) > 0, name, strings.Join(list, " ")) }
	set(s.Comment != "", "comment", s.Comment)
	set(true, "path", s.Path)
	set(true, "use chroot", yesNo(isTrue(s.Chroot)))
	set(true, "uid", s.UID)
	set(true, "gid", s.GID)
	set(true, "read only", "yes")
	set(true, "write only", "no")
	set(true, "list", "yes")
	set(true, "auth users", "")
	if s.MaxConnections != nil {
		set(true, "max connections", fmt.Sprint(*s.MaxConnections))
		set(true, "lock file", "/run/rsyncd-"+s.Name+".lock")
	}
	words("exclude", s.Exclude)
	if len(s.HostsAllow) > 0 { // the host itself asks whether the module is served
		words("hosts allow", append(slices.Clip(s.HostsAllow), "127.0.0.1", "::1"))
	}
	words("hosts deny", s.HostsDeny)
	words("refuse options", s.RefuseOptions)
	if s.Log != "" {
		set(true, "log file", s.Log)
		set(true, "transfer logging", "yes")
	}
	return out.String()
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// file is the file of a module. rsync parses a new content before it replaces the old one, since
// the daemon reads all files again for each client.
func (rsyncModule) file(s *RsyncModule) *managedFile {
	m := s.at(rsyncdDir + "/" + s.Name + rsyncdSuffix)
	m.parents, m.validate = true, rsyncdCheck
	return m
}

// Generated implements engine.Generator.
func (rsyncModule) Generated(*RsyncModule) bool { return true }

func (rm rsyncModule) Keys(t engine.Target, want *RsyncModule) (provides, needs []engine.Key) {
	needs = []engine.Key{
		engine.PackageKey("rsync"), engine.PackageKey(rsyncdPackage(t)), engine.UnitKey(rsyncdUnit(t)),
		engine.PathKey(want.Path), engine.PathKey(rsyncdDir), engine.PathKey(rsyncdMain),
	}
	for _, p := range []string{want.MOTD, want.Log} {
		if p != "" {
			needs = append(needs, engine.PathKey(p))
		}
	}
	if want.UID != "" {
		needs = append(needs, engine.UserKey(want.UID))
	}
	if want.GID != "" {
		needs = append(needs, engine.GroupKey(want.GID))
	}
	return []engine.Key{engine.PathKey(rsyncdDir + "/" + want.Name + rsyncdSuffix)}, needs
}

// Loads implements engine.Loader.
func (rsyncModule) Loads(t engine.Target, _ *RsyncModule) []engine.Key {
	return []engine.Key{engine.UnitKey(rsyncdUnit(t))}
}

func (rm rsyncModule) Ask(t engine.Target, want *RsyncModule) []wire.Query {
	list := []wire.Query{
		rm.file(want).query(), rsyncdMainQuery, rsyncdDirQuery, rsyncdParseQuery, rsyncdPortQuery,
		unitQueryOf(rsyncdUnit(t)), unitQueryOf(rsyncdSocket),
	}
	for _, u := range rsyncURLs(t, want) {
		list = append(list, rsyncServedQuery(u, want))
	}
	return append(list, accountQueries(t, want)...)
}

// accountQueries ask whether the user and the group exist. Numbers need no account.
func accountQueries(t engine.Target, s *RsyncModule) (list []wire.Query) {
	if !isNumber(s.UID) {
		list = append(list, wire.Query{Verb: wire.AskUser, Arg: s.UID})
	}
	for _, g := range groupsOf(t, s) {
		if !isNumber(g) {
			list = append(list, wire.Query{Verb: wire.AskGroup, Arg: g})
		}
	}
	return list
}

func groupsOf(t engine.Target, s *RsyncModule) []string {
	if s.anyGroup {
		return nobodyGroups(t)
	}
	return []string{s.GID}
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

// Settle finds what the daemon's configuration lacks, and which group the host has.
func (rm rsyncModule) Settle(t engine.Target, want *RsyncModule, _ *engine.Record, got engine.Answers) *RsyncModule {
	full := *want
	full.is = rsyncdStateOf(t, got)
	full.host = settleRsyncd(t, want, got)
	full.problems = slices.Clip(full.host.problems)
	if !anotherRsyncModule(t.Settled) { // one of several reports what all have in common
		full.problems = append(full.problems, rsyncdTaken(t, full.is, got)...)
	}
	if want.anyGroup {
		for _, g := range nobodyGroups(t) {
			if found, err := got.Group(wire.Query{Verb: wire.AskGroup, Arg: g}); err == nil && found.GID >= 0 {
				if full.GID != g {
					full.GID, full.Content = g, nil
				}
				break
			}
		}
	}
	full.problems = append(full.problems, checkRsyncAccounts(t, &full, got)...)
	return &full
}

// checkRsyncAccounts refuses a user or a group that the host does not have: the daemon would refuse
// every client.
func checkRsyncAccounts(t engine.Target, s *RsyncModule, got engine.Answers) (out []engine.Problem) {
	if !isNumber(s.UID) && !t.Provided[engine.UserKey(s.UID)] {
		if u, err := got.User(wire.Query{Verb: wire.AskUser, Arg: s.UID}); err == nil && u.UID < 0 {
			out = append(out, refusal("uid",
				fmt.Sprintf("%s has no user %s", t.Name, s.UID), "set uid to a user of the host"))
		}
	}
	if !isNumber(s.GID) && !t.Provided[engine.GroupKey(s.GID)] && !t.Provided[engine.UserKey(s.GID)] {
		if g, err := got.Group(wire.Query{Verb: wire.AskGroup, Arg: s.GID}); err == nil && g.GID < 0 {
			out = append(out, refusal("gid",
				fmt.Sprintf("%s has no group %s", t.Name, s.GID), "set gid to a group of the host"))
		}
	}
	return out
}

func (rm rsyncModule) Read(t engine.Target, want *RsyncModule, got engine.Answers) (*RsyncModule, error) {
	asked := rm.file(want)
	want = rm.Complete(t, rm.Settle(t, want, nil, got))
	for _, q := range []func() error{
		func() error { _, err := got.File(rsyncdMainQuery); return err },
		func() error { _, err := got.File(rsyncdDirQuery); return err },
		func() error { _, err := got.Run(rsyncdParseQuery); return err },
		func() error { _, err := got.Unit(unitQueryOf(rsyncdUnit(t))); return err },
		func() error { _, err := got.Unit(unitQueryOf(rsyncdSocket)); return err },
	} {
		if err := q(); err != nil {
			return nil, err
		}
	}
	m, err := rm.file(want).readAs(asked.query(), got)
	if err != nil || m == nil {
		return nil, err
	}
	if asked.content != nil && m.found.SHA256 == digestOf([]byte(*asked.content)) {
		m.content, m.digest = asked.content, "" // the host does not send content that it was asked about
	}
	have := *want
	have.took(m)
	have.problems, have.Included, have.Served = nil, new(want.host.importing == nil), new(true)
	have.full = true // unless one request is served: the requests count as clients, too
	for _, u := range rsyncURLs(t, want) {
		run, err := got.Run(rsyncServedQuery(u, want))
		if err != nil {
			return nil, err
		}
		full, reason := readServed(run)
		have.full, have.refusal = have.full && full, cmp.Or(have.refusal, reason)
	}
	*have.Served = have.refusal == ""
	return &have, nil
}

func (rm rsyncModule) Diff(t engine.Target, want, have *RsyncModule) []engine.Step {
	if want == nil {
		return rm.remove(t, have)
	}
	file := rm.file(want)
	if have == nil {
		return slices.Concat(file.steps(nil), want.host.include(), activateRsync(t, want, false))
	}
	found := rm.file(have)
	if len(found.inTheWay()) > 0 {
		return nil // Check refuses it
	}
	steps := file.steps(found)
	same := found.kind == file.kind && found.holds(file.content)
	var include []engine.Step
	if isTrue(want.Included) && !isTrue(have.Included) {
		include = want.host.include()
	}
	if same && include == nil && (isTrue(have.Served) || !isTrue(want.Served)) {
		return steps // owner, group or mode of the file at most
	}
	return slices.Concat(steps, include, activateRsync(t, want, have.full))
}

// remove removes the file, and with the last module the line that includes it. A daemon without any
// configuration would refuse every client.
func (rm rsyncModule) remove(t engine.Target, have *RsyncModule) []engine.Step {
	steps := rm.file(have).remove()
	if len(steps) == 0 || !have.host.last {
		return steps
	}
	if steps = append(steps, have.host.exclude()...); have.host.added {
		steps = append(steps, removal(rsyncdDir))
	}
	if have.host.made && have.is.service {
		stop := unitStep("stop", rsyncdUnit(t), wire.UnitStop, wire.UnitRestore)
		stop.Summary += ", which has no configuration any more"
		steps = append(steps, stop)
	}
	return steps
}

// activateRsync starts the daemon if it does not run, and asks it for the module. A running one
// needs no reload. full: the module had no place for another client.
func activateRsync(t engine.Target, want *RsyncModule, full bool) (steps []engine.Step) {
	if !want.is.running() {
		steps = append(steps, unitStep("start", rsyncdUnit(t), wire.UnitStart, wire.UnitRestore))
	}
	if full {
		return steps
	}
	for _, u := range rsyncURLs(t, want) {
		summary := "verify that the rsync daemon serves the module " + want.Name
		if strings.Contains(u, "[") {
			summary += " over IPv6"
		}
		steps = append(steps, engine.Step{
			Summary: summary, Do: wire.Op{Run: &wire.RunOp{Argv: append(slices.Clip(rsyncVerify), u), Timeout: 120}},
			Final: engine.ChangesNothing, Hints: rsyncHints,
		})
	}
	return steps
}

func (rm rsyncModule) Check(t engine.Target, want, have *RsyncModule) (out []engine.Problem) {
	if want == nil {
		return nil
	}
	out = slices.Clone(want.problems)
	if have == nil {
		return out
	}
	out = append(out, rm.file(have).check(rm.file(want))...)
	switch {
	case have.refusal != "" && rm.file(have).holds(want.Content) && want.is.running():
		out = append(out, caution("",
			fmt.Sprintf("%s: the rsync daemon does not serve the module %s: %s", t.Name, want.Name, have.refusal),
			adviceOf(rsyncHints, have.refusal)))
	case have.full:
		out = append(out, caution("max_connections",
			fmt.Sprintf("%s: the module %s serves as many clients as max_connections allows, and refuses others now",
				t.Name, want.Name),
			"raise max_connections, or plan again later"))
	}
	return out
}

// Serving returns what the daemon does with a found module: served, full if it has as many clients
// as it may have, or not served. A nil module is not served.
func (s *RsyncModule) Serving() string {
	switch {
	case s == nil || !isTrue(s.Served):
		return "not served"
	case s.full:
		return "full"
	}
	return "served"
}

func (rm rsyncModule) Validate(want *RsyncModule) []engine.Problem {
	out := checkEntry(want.Name, rsyncdDir)
	if name := strings.ToLower(want.Name); name == "global" || name == "globals" {
		out = append(out, refusal("name",
			fmt.Sprintf("%q is the name of the part of rsyncd.conf for all modules", want.Name),
			"use another name"))
	}
	for _, p := range []struct{ name, path string }{{"path", want.Path}, {"motd", want.MOTD}, {"log", want.Log}} {
		if p.path == "" && p.name != "path" {
			continue
		}
		err := checkPath(p.path)
		if err == nil {
			err = checkRsyncdValue(p.path)
		}
		out = append(out, report(p.name, err)...)
	}
	if want.Comment != "" {
		err := checkText(want.Comment)
		if err == nil {
			err = checkRsyncdValue(want.Comment)
		}
		out = append(out, report("comment", err)...)
	}
	if n := want.MaxConnections; n != nil && (*n < 1 || *n > 100_000) {
		out = append(out, refusal("max_connections",
			fmt.Sprintf("invalid number of connections, %d", *n), "use 1 to 100000"))
	}
	out = append(out, checkRsyncdWords("exclude", "pattern", want.Exclude, excludeWord)...)
	out = append(out, checkRsyncdWords("hosts_allow", "client", want.HostsAllow, clientWord)...)
	out = append(out, checkRsyncdWords("hosts_deny", "client", want.HostsDeny, clientWord)...)
	out = append(out, checkRsyncdWords("refuse_options", "option", want.RefuseOptions, optionWord)...)
	for _, a := range []struct{ name, value string }{{"uid", want.UID}, {"gid", want.GID}} {
		out = append(out, report(a.name, checkOwner(a.value))...)
		if a.value == "root" || a.value == "0" {
			out = append(out, refusal(a.name,
				"the daemon would read files as root", "use an account without rights, such as nobody"))
		}
	}
	if want.Log != "" && engine.PathWithin(want.Log, path.Clean(want.Path)) {
		out = append(out, refusal("log",
			want.Log+" is in the directory that the module serves", "use a file in /var/log"))
	}
	return out
}
