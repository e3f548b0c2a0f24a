package resources

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

func (st siteType) Validate(want *Site) []engine.Problem {
	full := st.Complete(engine.Target{}, want)
	out := checkEntry(full.Name, st.server.facts(engine.Target{}).Sites)
	out = append(out, checkServerNames(full.ServerName)...)
	out = append(out, checkListens("listen", full.Listen)...)
	out = append(out, checkAliases(st.server, full.Aliases, full.Root != "")...)
	out = append(out, checkTLS(st.server, want)...)
	out = append(out, checkSiteOptions(st.server, full)...)
	out = append(out, st.server.lacks(full)...)
	if full.TreesOf != "" {
		out = append(out, report("trees_of", checkServerName(full.TreesOf))...)
	}
	if full.Root == "" && len(full.Aliases) == 0 && full.TreesOf == "" {
		out = append(out, refusal("root", "the site has no files: neither root nor aliases is set",
			"set root, aliases, or both"))
	}
	if full.Root != "" {
		out = append(out, report("root", checkServed(st.server, full.Root))...)
	}
	return out
}

func (st siteType) Ask(t engine.Target, want *Site) []wire.Query {
	list := []wire.Query{st.fileQuery(t, want), st.server.facts(t).unitQuery(), listenersQuery("", siteListensOn(want)...)}
	if isTrue(want.HTTP3) {
		list = append(list, listenersQuery(wire.UDP, want.TLSListen...))
	}
	for _, p := range siteProbes(t, want) {
		list = append(list, p.Query())
	}
	list = append(list, interimProbes(t, want)...)
	return append(list, st.server.ask(t, want, st.undecided(t, want))...)
}

// Read compares the file and the answers of the server. All other attributes are copied from want:
// their differences show in the file's content.
func (st siteType) Read(t engine.Target, want *Site, got engine.Answers) (*Site, error) {
	fileQuery := st.fileQuery(t, want)
	want = st.Complete(t, st.Settle(t, want, nil, got))
	m, err := st.file(t, want).readAs(fileQuery, got)
	if err != nil || m == nil {
		return nil, err
	}
	unit, err := got.Unit(st.server.facts(t).unitQuery())
	if err != nil {
		return nil, err
	}
	have := *want
	served := true
	for _, probe := range siteProbes(t, &have) {
		answer, err := got.HTTP(probe.Query())
		if err != nil && !want.elsewhere() {
			return nil, noAnswer(st.server.facts(t), err)
		}
		loaded := answer.Status == probe.Status && answer.Body == probe.Body
		if loaded {
			have.treeProblem = cmp.Or(have.treeProblem, answer.Trees)
			have.unverified = cmp.Or(have.unverified, answer.Unverified)
		}
		served = served && loaded && answer.Trees == ""
	}
	have.took(m)
	have.Served, have.is = &served, stateOf(unit)
	return &have, nil
}

// noAnswer is the error of a site of which it is not known whether a server serves it.
func noAnswer(server ServerFacts, err error) error {
	return fmt.Errorf("unknown whether %s serves it: %w. To look for the cause: systemctl status %s", server.Name, err, server.Unit)
}

// elsewhere reports whether a request to the site cannot reach its server. Settle finds out.
func (s *Site) elsewhere() bool {
	return !s.is.running || slices.ContainsFunc(s.taken, func(p engine.Problem) bool { return p.Severity == engine.Error })
}

func (st siteType) Diff(t engine.Target, want, have *Site) []engine.Step {
	if want == nil {
		return st.remove(t, have)
	}
	file := st.file(t, want)
	if have == nil {
		return slices.Concat(st.server.before(t, want, nil), file.steps(nil), st.activate(t, want))
	}
	found := st.file(t, have)
	if len(found.inTheWay()) > 0 {
		return nil // Check refuses it
	}
	steps := file.steps(found)
	same := found.kind == file.kind && found.holds(file.content)
	if same && (isTrue(have.Served) || !isTrue(want.Served)) {
		return steps // owner, group or mode of the file at most: the server need not load it again
	}
	return slices.Concat(st.server.before(t, want, have), steps, st.activate(t, want))
}

// activate returns the steps after the file is written.
func (st siteType) activate(t engine.Target, want *Site) []engine.Step {
	steps := append([]engine.Step{st.server.test(t, want)}, st.server.load(t, want, want.is)...)
	for _, probe := range siteProbes(t, want) {
		steps = append(steps, engine.Step{
			Summary: "verify that " + st.server.facts(t).Name + " serves the site " + want.File + probedBy(want, probe),
			Do:      wire.Op{Probe: probe},
			Final:   engine.ChangesNothing,
			Hints:   st.server.facts(t).Hints,
		})
	}
	return steps
}

// remove removes the file, and reloads the server if it runs.
func (st siteType) remove(t engine.Target, have *Site) []engine.Step {
	steps := st.file(t, have).remove()
	if len(steps) == 0 {
		return steps
	}
	steps = append(steps, st.server.after(have)...)
	if !have.is.running {
		return steps
	}
	if have.alone {
		stop := unitStep("stop", st.server.facts(t).Unit, wire.UnitStop, wire.UnitRestore)
		stop.Summary += ", which listens on nothing else"
		return append(steps, stop)
	}
	return append(append(steps, st.server.test(t, nil)), st.server.load(t, nil, have.is)...)
}

func (st siteType) Check(t engine.Target, want, have *Site) (out []engine.Problem) {
	if want != nil && want.decided && isFalse(want.Default) {
		out = append(out, caution("default",
			fmt.Sprintf("%s: another site or server may answer for %s, so this site answers only for its names", t.Name,
				want.Address),
			"to answer for the address, too, set default = true; to keep it so without this warning, set default = false"))
	}
	if want != nil {
		out = append(out, st.server.check(t, want)...)
		out = append(out, want.taken...)
	}
	if want == nil || have == nil {
		return out
	}
	out = append(out, st.file(t, have).check(st.file(t, want))...)
	if have.unverified != "" && want.Certificate == have.Certificate {
		out = append(out, caution("certificate", fmt.Sprintf("%s: clients do not trust the certificate of %s: %s", t.Name, probeHost(want), have.unverified),
			"use a certificate of a public CA for this name, with its whole chain"))
	}
	if have.treeProblem != "" {
		out = append(out, engine.Problem{Severity: engine.Warning,
			Summary: st.server.facts(t).Name + " serves the site, but not its files: " + have.treeProblem})
	}
	return out
}

// siteTrees returns what the site serves: URL path, directory, URL path, directory, …
func siteTrees(s *Site) []string {
	var trees []string
	if s.Root != "" {
		trees = append(trees, "/", s.Root)
	}
	for _, url := range slices.Sorted(maps.Keys(s.Aliases)) {
		trees = append(trees, url, s.Aliases[url])
	}
	return trees
}
