package adopt

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/mirrorform/mirrorform/resources"
	"mvdan.cc/sh/v3/syntax"
)

// block is a resource of one or more hosts.
type block struct {
	candidate
	hosts []string
}

// Render writes the drafts as one formatted file. Equal resources of several hosts become one
// block. taken reports whether the configuration already has a resource of that type and name.
func Render(drafts []*Draft, taken func(kind, name string) bool) ([]byte, error) {
	var out strings.Builder
	out.WriteString("# Written by mirrorform adopt. The resources describe what is on the hosts; to apply them changes nothing there.\n")
	for _, d := range drafts {
		if len(d.Remarks) > 0 {
			fmt.Fprintf(&out, "\n# Host %s:\n", d.Host.Name)
			for _, r := range d.Remarks {
				comment(&out, "- "+r.String())
			}
		}
	}
	used := map[string]bool{}
	for _, b := range blocks(drafts) {
		name := b.name
		for n := 2; used[b.kind+"."+name] || taken(b.kind, name); n++ {
			name = fmt.Sprintf("%s_%d", b.name, n)
		}
		used[b.kind+"."+name] = true
		fmt.Fprintf(&out, "\nresource %q %q %s", b.kind, name, body(b.hosts, b.state, b.notes))
	}
	for _, d := range drafts {
		d.renderMirror(&out)
	}
	formatted, diags := lang.Format([]byte(out.String()), "adopted.hcl")
	if diags.HasErrors() {
		return nil, fmt.Errorf("adopt wrote invalid HCL, which is a bug in mirrorform: %w", diags)
	}
	return formatted, nil
}

// blocks merges equal resources of several hosts.
func blocks(drafts []*Draft) []*block {
	var list []*block
	by := map[string]*block{}
	for _, d := range drafts {
		for _, c := range d.candidates {
			key := c.kind + "\x00" + c.name + "\x00" + body(nil, c.state, c.notes)
			if b := by[key]; b != nil {
				b.hosts = append(b.hosts, d.Host.Name)
				continue
			}
			by[key] = &block{*c, []string{d.Host.Name}}
			list = append(list, by[key])
		}
	}
	return list
}

// renderMirror writes the mirror block. If the block would change something, it is a comment, with
// the list of changes.
func (d *Draft) renderMirror(out *strings.Builder) {
	if d.spec == nil {
		return
	}
	text := fmt.Sprintf("mirror %q %s", d.name, body([]string{d.Host.Name}, d.spec, nil))
	if d.whole {
		out.WriteString("\n" + text)
		return
	}
	out.WriteString("\n")
	comment(out, fmt.Sprintf("To manage all of this on host %s with the mirror block below:", d.Host.Name))
	for i, step := range d.takeOver() {
		text, commands, _ := strings.Cut(step, "\n")
		comment(out, fmt.Sprintf("%d. %s", i+1, text))
		for command := range strings.Lines(commands) {
			out.WriteString("#      " + strings.TrimSuffix(command, "\n") + "\n") // unwrapped, to copy
		}
	}
	out.WriteString("# Changes that the block makes:\n")
	for _, c := range d.Changes {
		comment(out, "- "+c)
	}
	out.WriteString("#\n")
	if formatted, diags := lang.Format([]byte(text), "adopted.hcl"); !diags.HasErrors() {
		text = string(formatted)
	}
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		out.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
}

// takeOver returns the steps to replace the resources with the mirror block. The lines after the
// first line of a step are commands.
func (d *Draft) takeOver() []string {
	steps := []string{"Apply the resources above once, so that the host records them. Remove by hand what the remarks above say."}
	if files := d.named(func(c *candidate) bool { return c.path() != "" && !c.stays || d.ownUnit(c) }); files != "" {
		step := "Delete the blocks " + files + " and apply. mirrorform releases these files, but does not remove them, " +
			"because they existed before it managed them. "
		if slices.ContainsFunc(d.candidates, func(c *candidate) bool { return c.site && !c.stays }) {
			step += "nginx ignores a second site with the same name; it keeps serving the loaded site until the next step reloads it. "
		}
		step += "Then run:\n"
		for _, c := range d.candidates {
			if d.ownUnit(c) {
				step += "systemctl disable --now " + quote(c.state.(*resources.Service).Name) + "\n"
			}
		}
		steps = append(steps, step+"rm "+d.paths())
	}
	last := "Replace the remaining resources with this block"
	if stay := d.named(func(c *candidate) bool { return c.stays }); stay != "" {
		last += ", but keep " + stay
	}
	return append(steps, last+". Check the changes with `mirrorform plan`, then run `mirrorform apply`.")
}

// path returns the path of a file or link, or "".
func (c *candidate) path() string {
	switch s := c.state.(type) {
	case *resources.File:
		return s.Path
	case *resources.Symlink:
		return s.Path
	}
	return ""
}

// paths returns the files and links that the mirror block replaces, quoted for a shell.
func (d *Draft) paths() string {
	var list []string
	for _, c := range d.candidates {
		if file := c.path(); file != "" && !c.stays {
			list = append(list, quote(file))
		}
	}
	return strings.Join(list, " ")
}

// ownUnit reports whether a candidate is a unit whose file the mirror block replaces.
func (d *Draft) ownUnit(c *candidate) bool {
	unit, ok := c.state.(*resources.Service)
	return ok && !c.stays && slices.ContainsFunc(d.candidates, func(f *candidate) bool {
		return !f.stays && path.Base(f.path()) == unit.Name
	})
}

// quote quotes a word for a shell. A word that POSIX quoting cannot represent becomes a Go string.
func quote(word string) string {
	if text, err := syntax.Quote(word, syntax.LangPOSIX); err == nil {
		return text
	}
	return strconv.Quote(word)
}

// named returns the addresses of the resources that which selects, without their host.
func (d *Draft) named(which func(*candidate) bool) string {
	var names []string
	for _, c := range d.candidates {
		if which(c) {
			names = append(names, c.kind+"."+c.name)
		}
	}
	return strings.Join(names, ", ")
}

// comment writes text as comment lines of at most about 150 columns.
func comment(out *strings.Builder, text string) {
	const width = 150
	line := "#"
	for _, word := range slices.Collect(strings.FieldsSeq(text)) {
		if len(line)+1+len(word) > width && line != "#" {
			out.WriteString(line + "\n")
			line = "#  "
		}
		line += " " + word
	}
	out.WriteString(line + "\n")
}
