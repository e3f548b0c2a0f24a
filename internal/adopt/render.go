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

// Render writes the drafts as one file, formatted. Resources that are the same on several hosts become one block. taken tells whether the configuration has a
// resource of that type and name already.
func Render(drafts []*Draft, taken func(kind, name string) bool) ([]byte, error) {
	var out strings.Builder
	out.WriteString("# Written by mirrorform adopt from what was found on the hosts. It changes nothing there.\n")
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
		return nil, fmt.Errorf("what adopt wrote is no HCL, which is a bug: %w", diags)
	}
	return formatted, nil
}

// blocks merges what is the same on several hosts.
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

// renderMirror writes the mirror block: as it is where it changes nothing, else as a comment with what it would change.
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
	comment(out, fmt.Sprintf("To have mirrorform do the whole of it on host %s:", d.Host.Name))
	for i, step := range d.takeOver() {
		comment(out, fmt.Sprintf("%d. %s", i+1, step))
	}
	out.WriteString("# By itself the block would change:\n")
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

// takeOver is how the mirror block takes the place of the resources.
func (d *Draft) takeOver() []string {
	steps := []string{"Apply the resources above once, so that the host knows them; remove by hand what the remarks above say."}
	if files := d.named(func(c *candidate) bool { return c.path() != "" && !c.stays || d.ownUnit(c) }); files != "" {
		step := "Take out " + files + " and apply. They were there before mirrorform, so it does not remove them: "
		for _, c := range d.candidates {
			if d.ownUnit(c) {
				step += "systemctl disable --now " + quote(c.state.(*resources.Service).Name) + "; "
			}
		}
		step += "rm " + d.paths()
		if slices.ContainsFunc(d.candidates, func(c *candidate) bool { return c.site && !c.stays }) {
			step += " (nginx takes no second site of the same name; it serves what it has loaded until the next step reloads it)"
		}
		steps = append(steps, step+".")
	}
	last := "Put this block in place of the resources that are left"
	if stay := d.named(func(c *candidate) bool { return c.stays }); stay != "" {
		last += ", but keep " + stay
	}
	return append(steps, last+". The plan shows what goes and what comes; then apply.")
}

// path is that of a file or link, or "".
func (c *candidate) path() string {
	switch s := c.state.(type) {
	case *resources.File:
		return s.Path
	case *resources.Symlink:
		return s.Path
	}
	return ""
}

// paths are the files and links that the mirror block takes the place of, quoted for a shell.
func (d *Draft) paths() string {
	var list []string
	for _, c := range d.candidates {
		if file := c.path(); file != "" && !c.stays {
			list = append(list, quote(file))
		}
	}
	return strings.Join(list, " ")
}

// ownUnit tells whether it is a unit whose file is one of those that the mirror block takes the
// place of.
func (d *Draft) ownUnit(c *candidate) bool {
	unit, ok := c.state.(*resources.Service)
	return ok && !c.stays && slices.ContainsFunc(d.candidates, func(f *candidate) bool { return !f.stays && path.Base(f.path()) == unit.Name })
}

// quote is a word for a shell, or a Go string where it has characters that no plain quoting shows.
func quote(word string) string {
	if text, err := syntax.Quote(word, syntax.LangPOSIX); err == nil {
		return text
	}
	return strconv.Quote(word)
}

// named are the addresses of some of the resources, without their host.
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
