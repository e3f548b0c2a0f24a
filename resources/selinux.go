package resources

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// What the types of SELinux have in common. They read the files that semanage(8) writes, since the
// program itself takes seconds.

// selinuxBatch is the batch of all of them: semanage compiles the policy once.
const selinuxBatch = "selinux"

// selinuxTools is the package that has semanage, on EL and Debian.
const selinuxTools = "policycoreutils-python-utils"

// localContexts asks for the host's own file contexts.
func localContexts(t engine.Target) wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: contextsFile(t, ".local"), Option: "content"}
}

// equivalences asks for the paths that the policy treats as others: those of the host, and those of
// the distribution.
func equivalences(t engine.Target) []wire.Query {
	return []wire.Query{
		{Verb: wire.AskFile, Arg: contextsFile(t, ".subs"), Option: "content"},
		{Verb: wire.AskFile, Arg: contextsFile(t, ".subs_dist"), Option: "content"},
	}
}

func contextsFile(t engine.Target, suffix string) string {
	return "/etc/selinux/" + t.Facts.SELinuxPolicy + "/contexts/files/file_contexts" + suffix
}

// localBooleans asks for the host's own values of booleans.
func localBooleans(t engine.Target) wire.Query {
	return wire.Query{
		Verb: wire.AskFile, Arg: "/var/lib/selinux/" + t.Facts.SELinuxPolicy + "/active/booleans.local", Option: "content",
	}
}

// withoutSELinux returns the problem of a resource on a host where SELinux is not enabled.
func withoutSELinux(t engine.Target) []engine.Problem {
	if t.Facts.SELinux != "" {
		return nil
	}
	return []engine.Problem{refusal("", "SELinux is not enabled on the host",
		"remove the resource from hosts without SELinux; target.facts.selinux is \"\" there")}
}

// contextRule is a line of file_contexts.local (file_contexts(5)).
type contextRule struct {
	pattern string // a regular expression for whole paths
	kind    string // type only: "" (of all), or the kind of files it is for, such as "-d"
	of      string // the type; "" for <<none>>
}

// parseContexts parses file_contexts.local. Of the rules that match a path, the last one decides.
func parseContexts(text string) (rules []contextRule) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(f[0], "#") {
			continue
		}
		r := contextRule{pattern: f[0], of: labelType(f[len(f)-1])}
		if len(f) > 2 {
			r.kind = f[1]
		}
		rules = append(rules, r)
	}
	return rules
}

// matches reports whether a rule is about a path. An expression that Go does not know matches
// nothing.
func (r *contextRule) matches(p string) bool {
	re, err := regexp.Compile("^(?:" + r.pattern + ")$")
	return err == nil && re.MatchString(p)
}

// lastOf returns the index of the rule that decides about a path, or -1.
func lastOf(rules []contextRule, p string) int {
	for i := len(rules) - 1; i >= 0; i-- {
		if rules[i].matches(p) {
			return i
		}
	}
	return -1
}

// labelType returns the type of a label, user:role:type:level; "" if it has none.
func labelType(label string) string {
	f := strings.Split(label, ":")
	if len(f) < 3 || !selinuxName.MatchString(f[2]) {
		return ""
	}
	return f[2]
}

// equivalent returns the path by which the policy knows a path: file_contexts.subs(5) has lines
// with a directory and the one whose contexts it has. The longest directory decides.
func equivalent(p, text string) string {
	from, to := "", ""
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] != "#" && engine.PathWithin(p, f[0]) && len(f[0]) > len(from) {
			from, to = f[0], f[1]
		}
	}
	if from == "" {
		return p
	}
	return path.Join(to, strings.TrimPrefix(p, from))
}

// escapes are the characters that mean something in the expression of a rule. file_contexts(5) has
// no spaces in one, and libselinux takes the first directory of an expression for that of the path
// if it has none of the others: a backslash before ")" would make it another one.
var escapes = strings.NewReplacer(" ", "[[:space:]]", ")", "[)]", ".", `\.`, "+", `\+`, "*", `\*`, "?", `\?`, "(", `\(`, "[", `\[`, "{", `\{`,
	"|", `\|`, "^", `\^`, "$", `\$`)

// treePattern returns the rule's expression for a path and everything below it.
func treePattern(p string) string { return escapes.Replace(p) + "(/.*)?" }

// treePatterns are the spellings of that expression: operators often do not escape dots.
func treePatterns(p string) []string {
	list := []string{treePattern(p)}
	if plainPath.MatchString(p) {
		list = append(list, p+"(/.*)?")
	}
	return list
}

// contextPath has the characters that a rule can have: printable ASCII without the backslash, and
// without quotes, which are around it in a line of semanage.
var contextPath = regexp.MustCompile(`^[ !#-&(-\[\]-~]+$`)

// plainPath has those that mean themselves in an expression, and the dot.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9/._@:,=~%-]+$`)

// selinuxName is the name of a type or a boolean.
var selinuxName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// contentOf returns the content of a file; "" if it is missing.
func contentOf(got engine.Answers, q wire.Query) (string, error) {
	f, err := got.File(q)
	return string(f.Content), err
}

// remapped are file systems whose files all have one label, unless a mount option sets another one.
var remapped = []string{"nfs", "nfs4", "cifs", "smb3", "9p", "vfat", "exfat", "ntfs", "ntfs3", "fuseblk", "iso9660"}

// oneLabel reports whether a file system cannot have a label for each file.
func oneLabel(kind string) bool {
	return slices.Contains(remapped, kind) || strings.HasPrefix(kind, "fuse.")
}
