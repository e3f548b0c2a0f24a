package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// Limits for the text of an issue or comment, and for a step summary, in bytes. GitHub's are 65,536
// characters and 1 MiB; a workflow adds lines of its own to a comment, such as the mark by which it
// finds it again.
const (
	DefaultLimit = 65536 - 512
	SummaryLimit = 1 << 20
)

// Limits of single parts, in addition to Options.Limit.
const (
	maxTableHosts   = 100
	maxDiffBytes    = 24 << 10
	maxErrorBytes   = 4 << 10
	maxCellBytes    = 300
	maxProblemsText = 50
)

// Markdown renders a result in GitHub's Markdown: a table of the hosts, the most urgent
// first, then for each host with changes or messages a collapsible section with its diffs. Parts
// beyond the limit are omitted and counted. No value can break out of its code span or block.
func Markdown(r *Result, o Options) ([]byte, error) {
	limit := o.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	d := &markdown{limit: limit - 200} // room for the line about omitted parts
	d.add("## mirrorform " + r.title() + ": " + r.verdict() + "\n\n")
	if r.Error != "" {
		d.add(fenced("", clip(lines(r.Error), maxErrorBytes)) + "\n")
	}
	d.problems(r.Problems)
	hosts := slices.Clone(r.Hosts)
	slices.SortStableFunc(hosts, func(a, b HostResult) int {
		return slices.Index(urgency, a.Outcome) - slices.Index(urgency, b.Outcome)
	})
	d.table(hosts)
	d.hosts(hosts)
	if r.Status != nil {
		d.status(r.Status)
	}
	if r.Verify != nil {
		for _, m := range r.Verify.Mirrors {
			d.mirror(m)
		}
	}
	if d.left > 0 {
		fmt.Fprintf(&d.b, "%s omitted to limit the size. The JSON result has everything.\n", count(d.left, "part"))
	}
	return []byte(d.b.String()), nil
}

// urgency is the order in which hosts are shown.
var urgency = []Outcome{Failed, RolledBack, Unreachable, NotStarted, Drifted, Changed, OK}

// markdown is a document with a size limit in bytes.
type markdown struct {
	b     strings.Builder
	limit int
	left  int // number of omitted parts
}

// add adds a part if there is room for it. It reports whether there was.
func (d *markdown) add(part string) bool {
	if d.b.Len()+len(part) > d.limit {
		d.left++
		return false
	}
	d.b.WriteString(part)
	return true
}

func (d *markdown) problems(list []Problem) {
	var b strings.Builder
	for i, p := range list {
		if i == maxProblemsText {
			fmt.Fprintf(&b, "\n… and %d more.\n", len(list)-i)
			break
		}
		at := ""
		if p.File != "" {
			at = " at " + code(fmt.Sprintf("%s:%d", p.File, p.Line))
		}
		severity := "Error"
		if p.Severity != "error" {
			severity = "Warning"
		}
		text := strings.TrimSpace(code(clip(p.Summary, maxCellBytes)) + " " + code(clip(p.Detail, maxErrorBytes)))
		fmt.Fprintf(&b, "- **%s**%s: %s\n", severity, at, text)
	}
	if b.Len() > 0 {
		d.add(b.String() + "\n")
	}
}

func (d *markdown) table(hosts []HostResult) {
	if len(hosts) == 0 {
		return
	}
	var b strings.Builder
	b.WriteString("| Host | Outcome | Changes | |\n|---|---|---|---|\n")
	for i := range hosts {
		if i == maxTableHosts {
			fmt.Fprintf(&b, "\n… and %d more.\n", len(hosts)-i)
			break
		}
		h := &hosts[i]
		message := ""
		if h.Error != nil {
			first, _, _ := strings.Cut(*h.Error, "\n")
			message = code(clip(first, maxCellBytes))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(h.Name), h.Outcome.words(), h.counts(), message)
	}
	d.add(b.String() + "\n")
}

// counts returns a host's changes by action: "1 create, 2 update".
func (h *HostResult) counts() string {
	r := Result{Hosts: []HostResult{*h}}
	r.Count()
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{r.Summary.Create, "create"}, {r.Summary.Update, "update"}, {r.Summary.Delete, "delete"}, {r.Summary.Replace, "replace"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

// hosts adds a section for each host, or for several that are alike.
func (d *markdown) hosts(hosts []HostResult) {
	list := make([]*HostResult, len(hosts))
	for i := range hosts {
		list[i] = &hosts[i]
	}
	members := map[int][]*HostResult{}
	first := alike(list)
	for i, n := range first {
		members[n] = append(members[n], list[i])
	}
	for i, h := range list {
		switch {
		case first[i] != i:
		case len(members[i]) > 1:
			d.group(members[i])
		default:
			d.host(h)
		}
	}
}

func (d *markdown) host(h *HostResult) {
	if len(h.Changes) == 0 && h.Error == nil && len(h.Warnings)+len(h.Notes) == 0 {
		return
	}
	head := h.Outcome.words()
	if counts := h.counts(); counts != "" {
		head += ", " + counts
	}
	changes := make([]string, len(h.Changes))
	for i := range h.Changes {
		changes[i] = changeText(&h.Changes[i], maxDiffBytes)
	}
	d.section(code(h.Name)+": "+head, h, changes)
}

// section adds a collapsible part with the messages of a host, and changes.
func (d *markdown) section(title string, h *HostResult, changes []string) {
	if !d.add("<details><summary>" + title + "</summary>\n\n") {
		return
	}
	const end = "</details>\n\n"
	d.limit -= len(end)
	if h.Error != nil {
		d.add(fenced("", clip(lines(*h.Error), maxErrorBytes)) + "\n")
	}
	for _, w := range h.Warnings {
		d.add("Warning: " + code(clip(w, maxErrorBytes)) + "\n\n")
	}
	for _, n := range h.Notes {
		d.add("Note: " + code(clip(n, maxErrorBytes)) + "\n\n")
	}
	for _, text := range changes {
		d.add(text)
	}
	d.limit += len(end)
	d.b.WriteString(end)
}

// changeText returns a change with at most limit bytes of its diff, 0 for all.
func changeText(c *Change, limit int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** %s", c.Action, code(clip(c.Address, maxCellBytes)))
	if c.Orphan {
		b.WriteString(" (no longer in the configuration)")
	}
	if c.Later {
		b.WriteString(" (later)")
	}
	if at := c.Source; at != nil {
		b.WriteString(", declared at " + code(fmt.Sprintf("%s:%d", at.File, at.Line)))
	}
	switch c.Done {
	case StepFailed:
		b.WriteString(": a step **failed**")
	case NotApplied:
		b.WriteString(": not applied")
	}
	b.WriteString("\n\n")
	if c.Diff != "" {
		diff := c.Diff
		if limit > 0 {
			diff = clip(diff, limit)
		}
		b.WriteString(fenced("diff", diff) + "\n")
	}
	for _, s := range c.Steps {
		b.WriteString("- " + code(clip(s, maxCellBytes)) + "\n")
	}
	if len(c.Steps) > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

// status adds a table, with a column for the rsync daemon if a mirror has one.
func (d *markdown) status(s *Status) {
	var b strings.Builder
	modules := slices.ContainsFunc(s.Hosts, func(h HostStatus) bool {
		return slices.ContainsFunc(h.Mirrors, func(m MirrorStatus) bool { return m.Rsync != "" })
	})
	rsync := func(cell string) string {
		if !modules {
			return ""
		}
		return cell + "|"
	}
	b.WriteString("| Host | State | Mirror | Last sync ended | Free |" + rsync(" Rsync ") + " |\n|---|---|---|---|---|" + rsync("---") + "---|\n")
	for i := range s.Hosts {
		if i == maxTableHosts {
			fmt.Fprintf(&b, "\n… and %d more.\n", len(s.Hosts)-i)
			break
		}
		h := &s.Hosts[i]
		row := func(m *MirrorStatus, sync, free, message string) {
			first, _, _ := strings.Cut(message, "\n")
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |%s %s |\n", code(h.Name), h.outcome().words(), code(m.Name), sync, free,
				rsync(" "+code(m.Rsync)+" "), code(clip(first, maxCellBytes)))
		}
		if len(h.Mirrors) == 0 {
			row(&MirrorStatus{}, "", "", h.Error)
		}
		for j := range h.Mirrors {
			m := &h.Mirrors[j]
			sync, free := "", ""
			if m.LastSync != nil {
				sync = time.Unix(m.LastSync.End, 0).UTC().Format(time.RFC3339)
			}
			if m.SyncFailed() {
				sync = strings.TrimPrefix(sync+", "+m.Result(), ", ")
			}
			if m.Available != nil {
				free = humanize.IBytes(*m.Available)
			}
			row(m, sync, free, cmp.Or(m.Error, h.Error))
		}
	}
	d.add(b.String() + "\n")
}

func (d *markdown) mirror(m *upstream.Report) {
	var b strings.Builder
	word := "accepted"
	if !m.Accepted {
		word = "**not accepted**"
	}
	fmt.Fprintf(&b, "### Mirror %s: %s\n\n", code(m.Name), word)
	for _, f := range m.Findings {
		fmt.Fprintf(&b, "- %s %s: %s", f.Severity, code(f.Check), code(clip(f.Message, maxErrorBytes)))
		if f.Advice != "" {
			b.WriteString(" " + code(clip(f.Advice, maxErrorBytes)))
		}
		b.WriteByte('\n')
	}
	d.add(b.String() + "\n")
}

// code returns text as inline code, so that nothing in it is markup, a mention, a link or an emoji.
// All other punctuation becomes character references, which have no structural meaning in Markdown
// (CommonMark, section 2.5).
func code(text string) string {
	if text == "" {
		return ""
	}
	const bare = "-./,0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var b strings.Builder
	b.WriteString("<code>")
	for _, r := range plain.Escape(strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", " ")) {
		switch {
		case r > ' ' && r < 0x7f && !strings.ContainsRune(bare, r):
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteString("</code>")
	return b.String()
}

// fenced returns text as a code block, with a fence longer than any run of backticks in it.
func fenced(language, text string) string {
	longest, run := 0, 0
	for _, r := range text {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", max(3, longest+1))
	return fence + language + "\n" + lines(text) + "\n" + fence + "\n"
}

// clip truncates a text to limit bytes and appends the number of bytes removed.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	cut := strings.ToValidUTF8(text[:limit], "")
	if i := strings.LastIndexByte(cut, '\n'); i > limit/2 {
		cut = cut[:i]
	}
	space := "\n"
	if !strings.Contains(text, "\n") {
		space = " "
	}
	return fmt.Sprintf("%s%s… %d more bytes", cut, space, len(text)-len(cut))
}
