package config

import "github.com/mirrorform/mirrorform/internal/lang"

// preconditions checks those preconditions of an instance on a host that need facts. Load has
// checked the others.
func (w *wanting) preconditions(i *instance, h *DeclaredHost) lang.Verdict {
	if w.dry || len(i.block.life.preconditions) == 0 {
		return lang.Holds
	}
	facts, address := w.facts[h.Name], i.address(h.Name).String()
	v, diags := i.judge(w.bodies.eval, i.hostContext(h, facts), usesFacts)
	w.diags = append(w.diags, lang.Labelled(diags, "This is about "+address+".")...)
	switch {
	case v == lang.Undecided && facts == nil:
		w.missingFacts(i, h, address, false)
	case v == lang.Undecided && !diags.HasErrors():
		w.diags = append(w.diags, lang.ErrorAt(i.block.header, lang.SummaryUnknown,
			"A precondition of %s has no known result, although the facts of host %s are known.", address, h.Name))
	}
	return v
}

// unfit reports whether a mirror's preconditions on a host are false or unknown. The errors are
// reported with the resources of that host.
func (w *wanting) unfit(i *instance, h *DeclaredHost) bool {
	if w.dry || len(i.block.life.preconditions) == 0 {
		return false
	}
	v, _ := i.judge(w.bodies.eval, i.hostContext(h, w.facts[h.Name]), usesFacts)
	return v != lang.Holds
}

// unknownArguments reports a body with unknown arguments. It needs facts of the host; if these are
// known, the unknown argument is an error.
func (w *wanting) unknownArguments(i *instance, h *DeclaredHost, d *decoded, local bool) {
	if w.dry || w.facts[h.Name] == nil {
		w.missingFacts(i, h, i.address(h.Name).String(), local)
		return
	}
	for _, path := range lang.SortedKeys(d.unknown) {
		w.diags = append(w.diags, lang.ErrorAt(i.block.attributeRange(path), lang.SummaryUnknown,
			"The value of %q of %s is not known, although the facts of host %s are known.", path, i.address(h.Name), h.Name))
	}
}
