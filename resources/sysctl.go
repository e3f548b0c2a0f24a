package resources

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Sysctl is a kernel parameter: its current value, and a file in /etc/sysctl.d that sets it at each
// boot. A removal restores the value from before the first apply.
type Sysctl struct {
	// Name is the name of the parameter, as in sysctl(8): net.ipv4.ip_forward. If its first separator
	// is a slash, dots are part of the words: net/ipv4/conf/eth0.100/rp_filter.
	Name  string `hcl:"name" id:"true"`
	Value string `hcl:"value" argv:"true"` // as the kernel shows it; runs of spaces and tabs count as one space

	generatedFile
	// Previous is the value from before the first apply.
	Previous string `remember:"previous,first"`

	live    *string // wanted: the current value, once the host has answered
	absent  bool    // wanted: the host's kernel does not have the parameter
	another string  // wanted: a file that sets another value at each boot, after this one
}

const sysctlDir = "/etc/sysctl.d"

type sysctlType struct{}

func init() { register("sysctl", sysctlType{}) }

// Complete returns want with the content of its file.
func (st sysctlType) Complete(_ engine.Target, want *Sysctl) *Sysctl {
	full := *want
	full.complete(func() (string, error) {
		return header("sysctl", full.Name) + st.dotted(&full) + " = " + strings.TrimSpace(full.Value) + "\n", nil
	})
	return &full
}

// path returns the path of the parameter below /proc/sys. If the first separator is a dot, dots are
// separators and slashes stand for dots (sysctl.d(5)).
func (sysctlType) path(s *Sysctl) string {
	if i := strings.IndexAny(s.Name, "./"); i < 0 || s.Name[i] == '/' {
		return s.Name
	}
	return swapSeparators(s.Name)
}

// dotted returns the name with dots as separators: each parameter has one such spelling.
func (st sysctlType) dotted(s *Sysctl) string { return swapSeparators(st.path(s)) }

func swapSeparators(s string) string {
	return strings.NewReplacer(".", "/", "/", ".").Replace(s)
}

func (st sysctlType) file(s *Sysctl) *managedFile {
	if s == nil {
		return nil
	}
	return s.at(sysctlDir + "/" + st.entry(s))
}

// entry returns the name of the file. Files are read in the order of their names (sysctl.d(5)): 90
// is after the files of packages.
func (st sysctlType) entry(s *Sysctl) string {
	return "90-mirrorform-" + strings.ReplaceAll(st.dotted(s), "/", "@") + ".conf"
}

// Generated implements engine.Generator.
func (sysctlType) Generated(*Sysctl) bool { return true }

func (st sysctlType) Keys(t engine.Target, want *Sysctl) (provides, needs []engine.Key) {
	tool := "procps"
	if t.Facts.OS.Family == "el" {
		tool = "procps-ng"
	}
	return []engine.Key{engine.Key("sysctl:" + st.path(want)), engine.PathKey(st.file(want).path)},
		[]engine.Key{engine.PathKey(sysctlDir), engine.PackageKey(tool)}
}

// Risk implements engine.Risky.
func (st sysctlType) Risk(want, have *Sysctl) string {
	if s := cmp.Or(want, have); strings.HasPrefix(st.path(s), "net/") {
		return "kernel parameter " + s.Name
	}
	return ""
}

// sysctlWord is one component of a parameter's path. It has none of the patterns of sysctl.d(5).
var sysctlWord = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:@+-]*$`)

// sysctlActions are parameters without a value: writing to them runs an action.
var sysctlActions = []string{"net/ipv4/route/flush", "net/ipv6/route/flush", "vm/compact_memory", "vm/drop_caches"}

func (st sysctlType) Validate(want *Sysctl) []engine.Problem {
	var out []engine.Problem
	words := strings.Split(st.path(want), "/")
	switch {
	case len(words) < 2 || len(want.Name) > 200 || slices.ContainsFunc(words, func(w string) bool { return !sysctlWord.MatchString(w) }):
		out = append(out, refusal("name", fmt.Sprintf("invalid kernel parameter %q", want.Name),
			"write it as in sysctl(8), such as net.ipv4.ip_forward"))
	case slices.Contains(sysctlActions, st.path(want)):
		out = append(out, refusal("name", fmt.Sprintf("%q is an action, not a parameter with a value", want.Name), ""))
	}
	switch {
	case strings.TrimSpace(want.Value) == "":
		out = append(out, refusal("value", "the value is empty", ""))
	case len(want.Value) > 1024:
		out = append(out, refusal("value",
			fmt.Sprintf("the value is too long: it has %d bytes, and the limit is 1024", len(want.Value)), ""))
	case strings.ContainsFunc(want.Value, func(r rune) bool { return r != '\t' && (unicode.IsControl(r) || r == unicode.ReplacementChar) }):
		out = append(out, refusal("value", "the value contains a character that a line of sysctl.d(5) cannot have", ""))
	}
	return out
}

// assignments asks which files set which parameters. All resources of a host share the question.
var assignments = wire.Query{Verb: wire.AskRun, Args: []string{
	"grep", "-rsHE", "--include=*.conf", "^[^#;]+=", "/etc/sysctl.conf", sysctlDir, "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d",
}}

// live asks for the current value.
func (st sysctlType) live(s *Sysctl) wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: "/proc/sys/" + st.path(s), Option: "head"}
}

func (st sysctlType) Ask(_ engine.Target, want *Sysctl) []wire.Query {
	return []wire.Query{st.file(want).query(), st.live(want), assignments}
}

// sameValue compares values as the kernel does: it shows tabs between numbers, and accepts spaces.
func sameValue(a, b string) bool { return slices.Equal(strings.Fields(a), strings.Fields(b)) }

// Settle remembers the value from before the first apply, and finds what else sets the parameter.
func (st sysctlType) Settle(_ engine.Target, want *Sysctl, prior *engine.Record, got engine.Answers) *Sysctl {
	full := *want
	if f, err := got.File(st.live(want)); err == nil {
		if full.absent = f.Kind != wire.Regular; !full.absent {
			value := strings.TrimSpace(string(f.Content))
			full.live = &value
		}
	}
	if prior == nil && full.live != nil {
		full.Previous = *full.live
	}
	if run, err := got.Run(assignments); err == nil {
		full.another = st.overruled(want, run.Stdout)
	}
	return &full
}

// overruled returns the file that sets another value after this one, or "". A file in /etc hides
// files with its name elsewhere (sysctl.d(5)), and sysctl --system reads /etc/sysctl.conf last.
// found is the output of grep.
func (st sysctlType) overruled(want *Sysctl, found string) string {
	files, values := map[string]string{}, map[string]string{} // by file name, which gives the order of reading
	for line := range strings.Lines(found) {
		file, assignment, _ := strings.Cut(line, ":")
		order := path.Base(file)
		if file == "/etc/sysctl.conf" {
			order = "~" // sorts after letters and digits
		}
		name, value, _ := strings.Cut(assignment, "=")
		name = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), "-"))
		if st.path(&Sysctl{Name: name}) == st.path(want) && cmp.Or(files[order], file) == file && order > st.entry(want) {
			files[order], values[order] = file, value
		}
	}
	if len(files) == 0 {
		return ""
	}
	last := slices.Max(slices.Collect(maps.Keys(files)))
	if sameValue(values[last], want.Value) {
		return ""
	}
	return files[last]
}

func (st sysctlType) Read(_ engine.Target, want *Sysctl, got engine.Answers) (*Sysctl, error) {
	value, err := got.File(st.live(want))
	if err != nil {
		return nil, err
	}
	if _, err := got.Run(assignments); err != nil {
		return nil, err
	}
	m, err := st.file(want).read(got)
	if err != nil || m == nil {
		return nil, err
	}
	have := *want
	have.took(m)
	if text := strings.TrimSpace(string(value.Content)); !sameValue(text, want.Value) {
		have.Value = text
	}
	return &have, nil
}

func (st sysctlType) Diff(_ engine.Target, want, have *Sysctl) []engine.Step {
	steps := fileSteps(st.file(want), st.file(have))
	switch {
	case want == nil && len(steps) > 0 && have.Previous != "":
		return append(steps, st.set(have, have.Previous, have.Value)...)
	case want == nil:
		return steps
	case have != nil:
		return append(steps, st.set(want, want.Value, have.Value)...)
	case want.live != nil:
		return append(steps, st.set(want, want.Value, *want.live)...)
	}
	return steps
}

// set returns the step that sets the current value, if it differs.
func (st sysctlType) set(s *Sysctl, value, live string) []engine.Step {
	if sameValue(value, live) {
		return nil
	}
	run := func(value string) wire.Op {
		return wire.Op{Run: &wire.RunOp{Argv: []string{"/usr/sbin/sysctl", "-w", st.path(s) + "=" + strings.TrimSpace(value)}}}
	}
	undo := run(live)
	return []engine.Step{{Summary: "set kernel parameter " + s.Name, Do: run(value), Undo: &undo}}
}

func (st sysctlType) Check(_ engine.Target, want, have *Sysctl) []engine.Problem {
	if want == nil {
		return nil
	}
	var out []engine.Problem
	if want.absent {
		out = append(out, refusal("name", fmt.Sprintf("the kernel of the host has no parameter %q", want.Name),
			"check the name, and whether its kernel module is loaded"))
	}
	if want.another != "" {
		out = append(out, caution("value", fmt.Sprintf("%s sets another value of %s at each boot, since it is read after %s",
			want.another, want.Name, st.file(want).path),
			"remove that line on the host, or change it to the wanted value"))
	}
	if have != nil {
		out = append(out, st.file(have).check(st.file(want))...)
	}
	return out
}
