package resources

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// SELinuxContext is the SELinux type of a directory with everything below it, or of a file: a rule
// in the host's own part of the policy, and the labels on disk. It is an error on hosts where
// SELinux is not enabled.
type SELinuxContext struct {
	// Path is an absolute path of ASCII characters without quotes and backslashes.
	Path string `hcl:"path" id:"true"`
	Type string `hcl:"type"` // the type, such as public_content_t
	// Labels is the type that the path and what is directly in it have on disk, or the first other
	// one, with its path.
	Labels string `plan:"labels"`
	// Readable is whether a rule that mirrorform did not make may have another type instead that web
	// servers may read.
	Readable bool

	pattern string // the expression of the rule; wanted: that of a new rule
	fixed   string // wanted: the kind of a file system that has one label for all files
	clash   string // wanted: why a local rule that mirrorform did not make is in the way
	mend    string // wanted: what to do about it
}

type selinuxContext struct{}

func init() { register("selinux_context", selinuxContext{}) }

// Batch implements engine.Batcher.
func (selinuxContext) Batch() string { return selinuxBatch }

// Complete returns want with the labels that the files should have.
func (selinuxContext) Complete(_ engine.Target, want *SELinuxContext) *SELinuxContext {
	full := *want
	full.Labels, full.pattern = cmp.Or(full.Labels, full.Type), cmp.Or(full.pattern, treePattern(full.Path))
	return &full
}

func contextKey(p string) engine.Key { return engine.Key("selinux_context:" + p) }

// Keys implements engine.Type. The rule of a directory comes before those below it: of the rules
// that match a path, the last one decides.
func (selinuxContext) Keys(_ engine.Target, want *SELinuxContext) (provides, needs []engine.Key) {
	needs = []engine.Key{engine.PathKey(want.Path), engine.PackageKey(selinuxTools)}
	for i, c := range want.Path {
		if c == '/' && i > 0 {
			needs = append(needs, contextKey(want.Path[:i]))
		}
	}
	return []engine.Key{contextKey(want.Path)}, needs
}

func (selinuxContext) Validate(want *SELinuxContext) []engine.Problem {
	out := report("path", checkPath(want.Path))
	if len(out) == 0 && !contextPath.MatchString(want.Path) {
		out = append(out, refusal("path", fmt.Sprintf("invalid path %q for a file context", want.Path),
			"use a path of ASCII characters, without quotes and backslashes"))
	}
	if !selinuxName.MatchString(want.Type) {
		out = append(out, refusal("type", fmt.Sprintf("invalid SELinux type %q", want.Type),
			"use the name of a type, such as public_content_t; seinfo -t lists those of a host"))
	}
	return out
}

func (selinuxContext) labels(want *SELinuxContext) wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: want.Path, Option: "labels"}
}

func (selinuxContext) filesystem(want *SELinuxContext) wire.Query {
	return wire.Query{Verb: wire.AskFilesystem, Arg: want.Path}
}

func (sc selinuxContext) Ask(t engine.Target, want *SELinuxContext) []wire.Query {
	if t.Facts.SELinuxPolicy == "" {
		return nil
	}
	return append(equivalences(t), localContexts(t), sc.labels(want), sc.filesystem(want))
}

// known returns the local rules, and the path by which they know want.
func (selinuxContext) known(t engine.Target, want *SELinuxContext, got engine.Answers) (rules []contextRule, p string, err error) {
	text, err := contentOf(got, localContexts(t))
	if err != nil {
		return nil, "", err
	}
	p = want.Path
	for _, q := range equivalences(t) {
		same, err := contentOf(got, q)
		if err != nil {
			return nil, "", err
		}
		if p = equivalent(want.Path, same); p != want.Path {
			break
		}
	}
	return parseContexts(text), p, nil
}

// ours returns the index of the rule for a tree, or -1.
func (selinuxContext) ours(rules []contextRule, p string) int {
	return slices.IndexFunc(rules, func(r contextRule) bool {
		return r.kind == "" && slices.Contains(treePatterns(p), r.pattern)
	})
}

// Settle finds what the policy calls the path, and local rules that are in the way.
func (sc selinuxContext) Settle(t engine.Target, want *SELinuxContext, prior *engine.Record, got engine.Answers) *SELinuxContext {
	if t.Facts.SELinuxPolicy == "" {
		return want
	}
	full := *want
	if fs, err := got.Filesystem(sc.filesystem(want)); err == nil && oneLabel(fs.Type) {
		full.fixed = fs.Type
	}
	rules, p, err := sc.known(t, want, got)
	if err != nil {
		return &full
	}
	full.pattern = treePattern(p)
	at := sc.ours(rules, p)
	if at >= 0 && (prior == nil || !prior.Made) {
		full.Type = want.instead(&rules[at])
		full.Labels = full.Type
	}
	if at >= 0 && prior == nil && rules[at].of != full.Type {
		full.clash = fmt.Sprintf("the host's policy has the type %s for %s, which mirrorform did not set", rules[at].of, want.Path)
		full.mend = fmt.Sprintf("set type to it (in a mirror block, selinux = false), or remove the rule on the host: "+
			"semanage fcontext -d '%s'", rules[at].pattern)
		return &full
	}
	if last := lastOf(rules, p); at >= 0 && last > at && rules[last].of != full.Type {
		full.clash = fmt.Sprintf("the host's policy has a later rule for %s, with the type %s", want.Path, rules[last].of)
		full.mend = fmt.Sprintf("remove it on the host: semanage fcontext -d '%s'", rules[last].pattern)
	}
	if at < 0 && full.clash == "" {
		sc.hides(&full, rules, p)
	}
	return &full
}

// webTypes are those that web servers may read.
var webTypes = []string{"public_content_t", "public_content_rw_t", "httpd_sys_content_t", "httpd_sys_rw_content_t"}

// instead returns the type that the files should have, if a rule for them was there before.
func (s *SELinuxContext) instead(r *contextRule) string {
	if s.Readable && slices.Contains(webTypes, r.of) {
		return r.of
	}
	return s.Type
}

// hides finds a local rule for something in the tree, which a new rule for the tree would follow,
// and so hide.
func (selinuxContext) hides(want *SELinuxContext, rules []contextRule, p string) {
	for _, r := range rules {
		below := strings.HasPrefix(r.pattern, escapes.Replace(p)+"/") || strings.HasPrefix(strings.ReplaceAll(r.pattern, `\`, ""), p+"/")
		if r.of == want.Type || !below {
			continue
		}
		want.clash = fmt.Sprintf("the host's policy has a rule for files in %s, with the type %s, which a later rule for %s would hide",
			want.Path, r.of, want.Path)
		want.mend = fmt.Sprintf("remove it on the host, apply, and add it again: semanage fcontext -d '%s'", r.pattern)
		return
	}
}

func (sc selinuxContext) Read(t engine.Target, want *SELinuxContext, got engine.Answers) (*SELinuxContext, error) {
	if t.Facts.SELinuxPolicy == "" {
		return nil, nil
	}
	fs, err := got.Filesystem(sc.filesystem(want))
	if err != nil {
		return nil, err
	}
	root, err := got.File(sc.labels(want))
	if err != nil {
		return nil, err
	}
	rules, p, err := sc.known(t, want, got)
	at := sc.ours(rules, p)
	if err != nil || at < 0 {
		return nil, err
	}
	have := *want
	have.Type, have.pattern = rules[at].of, rules[at].pattern
	files := *want
	files.Type = want.instead(&rules[at])
	if have.Labels = files.Type; root.Kind != wire.Absent && t.Facts.SELinux != "" && !oneLabel(fs.Type) {
		have.Labels = sc.found(&files, rules, p, &root)
	}
	return &have, nil
}

// found returns the type that the path and what is directly in it have, if it is the wanted one,
// and otherwise the first other one with its path. An entry with a rule of its own counts as right.
func (selinuxContext) found(want *SELinuxContext, rules []contextRule, p string, root *wire.File) string {
	if is := labelType(root.Label); is != want.Type {
		return cmp.Or(is, "none") + " of " + want.Path
	}
	for _, entry := range root.Labels {
		label, name, _ := strings.Cut(entry, " ")
		last := lastOf(rules, p+"/"+name)
		if last < 0 || rules[last].of == want.Type {
			return cmp.Or(labelType(label), "none") + " of " + want.Path + "/" + name
		}
	}
	return want.Type
}

// rule returns a line for semanage-import(8) that adds (-a) or changes (-m) a rule. The pattern has
// no quote: Validate refuses it.
func (selinuxContext) rule(action, of, pattern string) string {
	return "fcontext " + action + " -t " + cmp.Or(of, "<<none>>") + " '" + pattern + "'"
}

// without returns the line that removes a rule.
func (selinuxContext) without(pattern string) string { return "fcontext -d '" + pattern + "'" }

// contextHints explain what semanage prints.
var contextHints = []engine.Hint{
	{Text: "must be a file or device type", Advice: "the policy of the host has no such type. To list the types: seinfo -t"},
	{Text: "already defined", Advice: "the policy of the distribution has a rule with this pattern. Give the directory another name, " +
		"or change the rule on the host: semanage fcontext -m -t TYPE PATTERN"},
}

func (sc selinuxContext) Diff(_ engine.Target, want, have *SELinuxContext) []engine.Step {
	of := cmp.Or(want, have)
	step := engine.Step{Do: wire.Op{Policy: &wire.PolicyOp{Relabel: []string{of.Path}}}, Hints: contextHints}
	undo := &wire.PolicyOp{Relabel: []string{of.Path}}
	change := func(summary, do, back string) []engine.Step {
		step.Summary = summary
		step.Do.Policy.Commands, undo.Commands = []string{do}, []string{back}
		step.Undo = &wire.Op{Policy: undo}
		return []engine.Step{step}
	}
	switch {
	case want == nil:
		return change("remove the file context of "+have.Path+", and label it as the policy then says",
			sc.without(have.pattern), sc.rule("-a", have.Type, have.pattern))
	case have == nil:
		return change("set the file context of "+want.Path+", and label it",
			sc.rule("-a", want.Type, want.pattern), sc.without(want.pattern))
	case want.Type != have.Type:
		return change("change the file context of "+want.Path+", and label it",
			sc.rule("-m", want.Type, have.pattern), sc.rule("-m", have.Type, have.pattern))
	case want.Labels != have.Labels && want.fixed == "":
		step.Summary, step.Final = "label "+want.Path+" as the policy says", "the labels are those of the policy"
		return []engine.Step{step}
	}
	return nil
}

func (sc selinuxContext) Check(t engine.Target, want, have *SELinuxContext) []engine.Problem {
	if want == nil {
		return nil
	}
	if out := withoutSELinux(t); out != nil {
		return out
	}
	if want.clash != "" {
		return []engine.Problem{refusal("type", want.clash, want.mend)}
	}
	if want.fixed != "" {
		return []engine.Problem{caution("path", fmt.Sprintf("all files of the file system of %s (%s) have one label, which a mount option sets",
			want.Path, want.fixed), "mount it with the option context=system_u:object_r:"+want.Type+":s0, or allow servers to read it: "+
			"setsebool -P httpd_use_nfs on")}
	}
	return nil
}
