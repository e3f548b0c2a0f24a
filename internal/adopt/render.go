package adopt

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"mvdan.cc/sh/v3/syntax"
)

// block is a resource of one or more hosts.
type block struct {
	candidate
	hosts []string
}

// Render writes the drafts as one formatted file. Equal resources and equal mirror blocks of
// several hosts become one block. taken reports whether the configuration already has a resource of
// that type and name; the type of a mirror block is "mirror".
func Render(drafts []*Draft, taken func(kind, name string) bool) ([]byte, error) {
	var out strings.Builder
	out.WriteString("# Written by mirrorform adopt, which has changed nothing on the hosts. Read it, then run " +
		"mirrorform plan.\n")
	for _, d := range drafts {
		d.renderNotes(&out)
	}
	used := map[string]bool{}
	free := func(kind, name string) string {
		next := name
		for n := 2; used[kind+"."+next] || taken(kind, next); n++ {
			next = fmt.Sprintf("%s_%d", name, n)
		}
		used[kind+"."+next] = true
		return next
	}
	for _, b := range mirrorBlocks(drafts) {
		b.render(&out, free)
	}
	for _, b := range blocks(drafts) {
		fmt.Fprintf(&out, "\nresource %q %q %s", b.kind, free(b.kind, b.name), body(b.hosts, b.state, b.notes))
	}
	formatted, diags := lang.Format([]byte(out.String()), "adopted.hcl")
	if diags.HasErrors() {
		return nil, fmt.Errorf("adopt wrote invalid HCL, which is a bug in mirrorform: %w", diags)
	}
	return formatted, nil
}

// renderNotes writes what was found on a host besides its configuration, as comments.
func (d *Draft) renderNotes(out *strings.Builder) {
	list := func(title string, lines []string) {
		if len(lines) > 0 {
			comment(out, title)
			for _, l := range lines {
				comment(out, "- "+l)
			}
		}
	}
	var remarks, others []string
	for _, r := range d.Remarks {
		remarks = append(remarks, r.String())
	}
	for _, t := range d.others {
		others = append(others, printable(t.path)+": "+strings.Join(t.by, "; "))
	}
	if len(remarks)+len(others)+len(d.files) == 0 {
		return
	}
	fmt.Fprintf(out, "\n# Host %s:\n", d.Host.Name)
	for _, r := range remarks {
		comment(out, "- "+r)
	}
	list("Other trees of the host, which stay unchanged:", others)
	if !d.whole {
		list("Files of the set-up, which stay unchanged:", d.files)
	}
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

// mirrorBlock is the mirror block of one or more hosts.
type mirrorBlock struct {
	name   string
	spec   *mirror.Spec
	active bool
	drafts []*Draft
}

// mirrorBlocks merges equal mirror blocks of several hosts. Blocks of hosts that mirrorform made
// come first: their names are part of file names there.
func mirrorBlocks(drafts []*Draft) []*mirrorBlock {
	var list []*mirrorBlock
	sorted := slices.Clone(drafts)
	slices.SortStableFunc(sorted, func(a, b *Draft) int {
		return map[bool]int{true: 0, false: 1}[a.whole] - map[bool]int{true: 0, false: 1}[b.whole]
	})
	for _, d := range sorted {
		if d.spec == nil {
			continue
		}
		i := slices.IndexFunc(list, func(b *mirrorBlock) bool {
			return b.name == d.name && b.active == d.active && reflect.DeepEqual(b.spec, d.spec)
		})
		if i < 0 {
			list = append(list, &mirrorBlock{d.name, d.spec, d.active, nil})
			i = len(list) - 1
		}
		list[i].drafts = append(list[i].drafts, d)
	}
	return list
}

// render writes a mirror block with what it changes. A block that is not valid is a comment.
func (b *mirrorBlock) render(out *strings.Builder, free func(kind, name string) string) {
	name := b.name
	if b.active {
		name = free("mirror", b.name)
	}
	var hosts []string
	out.WriteString("\n")
	for _, d := range b.drafts {
		hosts = append(hosts, d.Host.Name)
		if !d.whole {
			d.renderChanges(out)
		}
	}
	text := fmt.Sprintf("mirror %q %s", name, body(hosts, b.spec, nil))
	if b.active {
		out.WriteString(text)
	} else {
		writeCommented(out, text)
	}
	if d := b.drafts[0]; d.daemon != nil && !d.whole && b.spec.RsyncDaemon == nil {
		comment(out, "The rsync module stays in its file. To have the mirror block serve it, take the module "+
			"out of that file and add this to the block:")
		writeCommented(out, fragment(d.daemon))
	}
}

// fragment returns an rsync_daemon block.
func fragment(d *mirror.RsyncDaemon) string {
	var inner strings.Builder
	encode(&inner, reflect.ValueOf(d))
	return "rsync_daemon {\n" + inner.String() + "}\n"
}

// renderChanges writes what the mirror block changes on a host, and what to do by hand before.
func (d *Draft) renderChanges(out *strings.Builder) {
	switch {
	case !d.active:
		comment(out, fmt.Sprintf("The mirror block for host %s is a comment, because it is not valid or would "+
			"do harm:", d.Host.Name))
	default:
		comment(out, fmt.Sprintf("What the mirror block below changes on host %s when it is applied:", d.Host.Name))
	}
	own, rest := d.ownFiles()
	if own > 0 {
		comment(out, fmt.Sprintf("- it adds %d files and directories of its own: the job, its settings, "+
			"records, lock and log", own))
	}
	for _, c := range rest {
		comment(out, "- "+c)
	}
	if d.active && len(d.before) > 0 {
		comment(out, "Before it is applied, do this by hand, or two syncs of one tree run side by side:")
		for _, b := range d.before {
			comment(out, "- "+b+".")
		}
	}
}

// ownFiles returns how many files of its own the block adds, and the other changes.
func (d *Draft) ownFiles() (own int, rest []string) {
	for _, c := range d.Changes {
		file := strings.TrimPrefix(strings.TrimPrefix(c, "create "), "directory ")
		if strings.HasPrefix(c, "create ") && (strings.Contains(file, "mirrorform") || file == "/usr/local/libexec" ||
			strings.HasPrefix(file, "/run/") || strings.HasPrefix(file, "/var/log/")) {
			own++
			continue
		}
		rest = append(rest, c)
	}
	return own, rest
}

// writeCommented writes HCL as comment lines.
func writeCommented(out *strings.Builder, text string) {
	if formatted, diags := lang.Format([]byte(text), "adopted.hcl"); !diags.HasErrors() {
		text = string(formatted)
	}
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		out.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
}

// quote quotes a word for a shell. A word that POSIX quoting cannot represent becomes a Go string.
func quote(word string) string {
	if text, err := syntax.Quote(word, syntax.LangPOSIX); err == nil {
		return text
	}
	return strconv.Quote(word)
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
