package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/resources"
)

// types lists the resource types.
func (g *generator) types() (string, error) {
	registry := resources.All()
	var rows [][]string
	for _, name := range registry.Names() {
		s, err := g.typeStructure(registry, name)
		if err != nil {
			return "", err
		}
		purpose, _, _ := strings.Cut(purposeOf(name, s), ". ")
		rows = append(rows, []string{fmt.Sprintf("[`%s`](#%s)", name, name), sentence(purpose)})
	}
	return table([]string{"Type", "What it is"}, rows), nil
}

func (g *generator) typeStructure(registry *engine.Registry, name string) (*structure, error) {
	kind := registry.Kind(name)
	if kind == nil {
		return nil, fmt.Errorf("unknown resource type %q", name)
	}
	structs, err := parseStructs(filepath.Join(g.root, "resources"), "hcl")
	if err != nil {
		return nil, err
	}
	s := structs[camelCase(name)] // an alias, if several types have one struct
	if s == nil {
		s = structs[reflect.TypeOf(kind.New()).Elem().Name()]
	}
	if s == nil {
		return nil, fmt.Errorf("package resources has no struct for %q", name)
	}
	return s, nil
}

// camelCase returns the Go name for a name of the language.
func camelCase(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		b.WriteString(upperFirst(word))
	}
	return b.String()
}

// purposeOf is the comment of a type without the words that Go conventions put first: "Cron is an
// entry of a crontab" becomes "An entry of a crontab".
func purposeOf(name string, s *structure) string {
	text := prose(strings.Join(strings.Fields(s.doc), " "))
	return sentence(strings.TrimPrefix(strings.TrimPrefix(text, s.name), " is "))
}

// resourceType describes one type: its purpose, its attributes, and an example.
func (g *generator) resourceType(name string) (string, error) {
	registry := resources.All()
	s, err := g.typeStructure(registry, name)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(purposeOf(name, s) + "\n\n" + attributeTable(s.fields) + "\n")
	if keep := (&engine.Resource{Kind: registry.Kind(name)}).Kept(); keep != "" {
		out.WriteString("`destroy` keeps it unless `--target` names it: " + prose(keep) + ".\n\n")
	}
	example, err := g.example("examples/resources/" + name + ".hcl")
	if err != nil {
		return "", err
	}
	out.WriteString(example)
	return out.String(), nil
}

// otherTypes are sections for the types without a section written by hand.
func (g *generator) otherTypes() (string, error) {
	page, err := os.ReadFile(filepath.Join(g.root, "docs", "resources.md"))
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, name := range resources.All().Names() {
		if strings.Contains(string(page), regionOpen+"type "+name+" -->\n") {
			continue
		}
		text, err := g.resourceType(name)
		if err != nil {
			return "", err
		}
		out.WriteString("## " + name + "\n\n" + text + "\n")
	}
	return out.String(), nil
}

// attributeTable lists attributes. Blocks are described in their own regions.
func attributeTable(fields []attribute) string {
	var rows [][]string
	for _, a := range fields {
		if a.block {
			continue
		}
		required := ""
		if !a.optional {
			required = "yes"
		}
		name, kind := "`"+a.name+"`", "`"+a.kind+"`"
		if a.identity {
			name = "**" + name + "**"
		}
		if len(a.kind) > 0 && a.kind[0] >= 'A' && a.kind[0] <= 'Z' {
			kind = "`object`"
		}
		rows = append(rows, []string{name, kind, required, a.doc})
	}
	return table([]string{"Attribute", "Type", "Required", "Meaning"}, rows)
}

// example shows a file of the repository as a block of code.
func (g *generator) example(name string) (string, error) {
	src, err := os.ReadFile(filepath.Join(g.root, name))
	if err != nil {
		return "", err
	}
	return fenced("hcl", string(src)), nil
}

// facts lists the facts of a host: target.facts.
func (g *generator) facts() (string, error) {
	structs, err := parseStructs(filepath.Join(g.root, "engine", "wire"), "json")
	if err != nil {
		return "", err
	}
	var rows [][]string
	var add func(prefix, name string) error
	add = func(prefix, name string) error {
		s := structs[name]
		if s == nil {
			return fmt.Errorf("package wire has no struct %s", name)
		}
		for _, f := range s.fields {
			if structs[f.kind] != nil {
				if err := add(prefix+f.name+".", f.kind); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, []string{"`" + prefix + f.name + "`", "`" + f.kind + "`", f.doc})
		}
		return nil
	}
	if err := add("target.facts.", reflect.TypeFor[wire.Facts]().Name()); err != nil {
		return "", err
	}
	return table([]string{"Fact", "Type", "Meaning"}, rows), nil
}
