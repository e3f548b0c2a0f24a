package main

import (
	"fmt"
	"strings"
)

const (
	regionOpen  = "<!-- generated: "
	regionClose = "<!-- end generated -->"
)

// replaceRegions fills every region of a page with the text that generate returns for the words of
// its opening line.
func replaceRegions(page string, generate func(words []string) (string, error)) (string, error) {
	var out strings.Builder
	open := 0 // line of the region that is open, or 0
	for n, line := range strings.Split(strings.TrimSuffix(page, "\n"), "\n") {
		name, opens := strings.CutPrefix(line, regionOpen)
		switch {
		case opens && open > 0:
			return "", fmt.Errorf("line %d: a region opens inside the one of line %d: %q is missing", n+1, open, regionClose)
		case line == regionClose && open == 0:
			return "", fmt.Errorf("line %d: a region ends that was not opened", n+1)
		case line == regionClose:
			open = 0
		case open > 0:
			continue
		}
		out.WriteString(line + "\n")
		if !opens {
			continue
		}
		name, ok := strings.CutSuffix(name, " -->")
		if !ok {
			return "", fmt.Errorf("line %d: the line of a region ends with -->", n+1)
		}
		text, err := generate(strings.Fields(name))
		if err != nil {
			return "", fmt.Errorf("line %d: %s: %w", n+1, name, err)
		}
		out.WriteString("\n" + strings.Trim(text, "\n") + "\n\n")
		open = n + 1
	}
	if open > 0 {
		return "", fmt.Errorf("line %d: the region has no end: %q is missing", open, regionClose)
	}
	return out.String(), nil
}

// generator makes the content of regions.
type generator struct {
	root string // the module's root
}

// region makes the content of one region.
func (g *generator) region(words []string) (string, error) {
	if len(words) == 0 {
		return "", fmt.Errorf("the region has no name")
	}
	arguments := map[string]int{"type": 1, "block": 1, "example": 1, "diagnostics": 1, "written": 3}
	if want := arguments[words[0]]; len(words)-1 != want {
		return "", fmt.Errorf("the region takes %d arguments, not %d", want, len(words)-1)
	}
	switch words[0] {
	case "types":
		return g.types()
	case "type":
		return g.resourceType(words[1])
	case "other-types":
		return g.otherTypes()
	case "block":
		return g.block(words[1])
	case "parts":
		return g.parts()
	case "guides":
		return g.guides()
	case "facts":
		return g.facts()
	case "functions":
		return g.functions()
	case "commands":
		return g.commands()
	case "rules":
		return g.rules(), nil
	case "example":
		return g.example(words[1])
	case "diagnostics":
		return g.diagnostics(words[1])
	case "written":
		return g.written(words[1], words[2], words[3])
	}
	return "", fmt.Errorf("unknown region")
}

// table writes a Markdown table. Cells are Markdown in which | is not escaped yet.
func table(header []string, rows [][]string) string {
	var out strings.Builder
	row := func(cells []string) {
		for i, c := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(c), "|", `\|`)
		}
		out.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	row(header)
	out.WriteString("|" + strings.Repeat("---|", len(header)) + "\n")
	for _, r := range rows {
		row(r)
	}
	return out.String()
}

// prose escapes a comment's plain text for Markdown, so that nothing in it counts as markup.
func prose(s string) string {
	return strings.NewReplacer(`*`, `\*`, `<`, `\<`, `~`, `\~`).Replace(s)
}

// fenced writes text as a block of code.
func fenced(language, text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + language + "\n" + strings.Trim(text, "\n") + "\n" + fence + "\n"
}
