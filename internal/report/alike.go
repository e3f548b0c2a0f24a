package report

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/ui"
)

// alike returns, for each host, the first one with the same changes, which may be the host itself:
// they differ in nothing but each host's own name and address. A host with messages has its own.
func alike(hosts []*HostResult) []int {
	first, at, count := make([]int, len(hosts)), map[string]int{}, map[int]int{}
	for i, h := range hosts {
		first[i] = i
		if len(h.Changes) == 0 || h.Error != nil || len(h.Warnings)+len(h.Notes) > 0 {
			continue
		}
		key := string(h.Outcome) + "\n" + h.hidden()
		if n, ok := at[key]; ok {
			first[i] = n
		} else {
			at[key] = i
		}
		count[first[i]]++
	}
	for i := range first {
		if count[first[i]] < ui.Fewest {
			first[i] = i
		}
	}
	return first
}

// hidden returns the text of a host's changes, with marks instead of its own name and address.
func (h *HostResult) hidden() string {
	var b strings.Builder
	for _, c := range h.hiddenChanges() {
		b.WriteString(changeText(&c, 0))
	}
	return b.String()
}

func (h *HostResult) hiddenChanges() []Change {
	own := h.own()
	list := make([]Change, len(h.Changes))
	for i := range h.Changes {
		c := *hideDigests(&h.Changes[i])
		c.Address, c.Diff = own.Hide(c.Address), own.Hide(c.Diff)
		c.Steps = nil
		for _, step := range h.Changes[i].Steps {
			c.Steps = append(c.Steps, own.Hide(step))
		}
		list[i] = c
	}
	return list
}

// own returns the own words of a host.
func (h *HostResult) own() ui.Own {
	var addresses []string
	for i := range h.Changes {
		for _, attributes := range []map[string]any{h.Changes[i].Before, h.Changes[i].After} {
			if text, ok := attributes["address"].(string); ok {
				addresses = append(addresses, text)
			}
		}
	}
	return ui.NewOwn(h.Name, addresses)
}

// hideDigests returns a change of a file that mirrorform generates without the digests in its
// content, and any other change unchanged.
func hideDigests(c *Change) *Change {
	a, _ := engine.ParseAddress(c.Address)
	if c.Type == "file" && a.Part == "" {
		return c
	}
	hidden := *c
	var b strings.Builder
	content := false
	var in hunk
	for i, line := range strings.Split(c.Diff, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		inside, head := in.next(line)
		switch {
		case inside || head:
		case strings.HasPrefix(line, "+++ "):
			content = line == "+++ content"
		default:
			content = content && strings.HasPrefix(line, "\\")
		}
		if content {
			line = ui.HideDigests(line)
		}
		b.WriteString(line)
	}
	hidden.Diff = b.String()
	return &hidden
}

// group adds the hosts that are alike, as the first of them.
func (d *markdown) group(hosts []*HostResult) {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = code(h.Name)
	}
	const most = 8
	text := strings.Join(names, ", ")
	if len(names) > most {
		text = fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	var changes []string
	for _, c := range hosts[0].hiddenChanges() {
		changes = append(changes, changeText(&c, maxDiffBytes))
	}
	d.section(text+": on each, "+hosts[0].Outcome.words()+", "+hosts[0].counts(), hosts[0], changes)
}
