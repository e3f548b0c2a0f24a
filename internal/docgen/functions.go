package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/lang"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// functionText describes the functions. A line is a heading, "## GROUP", or a function, "SIGNATURE
// | DESCRIPTION | EXAMPLE". The example is an expression; a function whose value differs from one
// machine to another has none.
//
//go:embed functions.txt
var functionText string

type functionDoc struct {
	name, signature, description, example string
}

type functionGroup struct {
	name      string
	functions []functionDoc
}

func parseFunctions(text string) ([]functionGroup, error) {
	var groups []functionGroup
	for n, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			groups = append(groups, functionGroup{name: heading})
			continue
		}
		cells := strings.SplitN(line, " | ", 3)
		name, _, isCall := strings.Cut(cells[0], "(")
		if len(groups) == 0 || len(cells) < 2 || !isCall {
			return nil, fmt.Errorf("functions.txt line %d is not SIGNATURE | DESCRIPTION | EXAMPLE below a heading", n+1)
		}
		f := functionDoc{name: name, signature: cells[0], description: cells[1]}
		if len(cells) == 3 {
			f.example = cells[2]
		}
		g := &groups[len(groups)-1]
		g.functions = append(g.functions, f)
	}
	return groups, nil
}

// functions lists the functions, with examples and the values of these.
func (g *generator) functions() (string, error) {
	groups, err := parseFunctions(functionText)
	if err != nil {
		return "", err
	}
	if err := g.checkFunctions(groups); err != nil {
		return "", err
	}
	results, err := evaluate(groups)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, group := range groups {
		var rows [][]string
		for _, f := range group.functions {
			example := ""
			if f.example != "" {
				example = code(f.example) + " is " + code(results[f.name])
			}
			rows = append(rows, []string{code(f.signature), prose(f.description), example})
		}
		fmt.Fprintf(&out, "**%s**\n\n%s\n", group.name, table([]string{"Function", "Meaning", "Example"}, rows))
	}
	return out.String(), nil
}

// code is an inline span of code. Text with backticks gets two around it.
func code(s string) string {
	if !strings.Contains(s, "`") {
		return "`" + s + "`"
	}
	return "`` " + s + " ``"
}

// checkFunctions finds functions without a description, and descriptions without a function.
func (g *generator) checkFunctions(groups []functionGroup) error {
	names := lang.SortedKeys(lang.NewEvaluator(g.root, true, nil).Functions)
	described := map[string]bool{}
	for _, group := range groups {
		for _, f := range group.functions {
			if described[f.name] {
				return fmt.Errorf("functions.txt describes %s twice", f.name)
			}
			described[f.name] = true
			if !slices.Contains(names, f.name) {
				return fmt.Errorf("functions.txt describes %s, which is not a function", f.name)
			}
		}
	}
	for _, name := range names {
		if !described[name] {
			return fmt.Errorf("functions.txt does not describe %s", name)
		}
	}
	return nil
}

// evaluate returns the values of the examples by function, as JSON, whose form is that of the
// language.
func evaluate(groups []functionGroup) (map[string]string, error) {
	dir, err := os.MkdirTemp("", "docgen")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var text strings.Builder
	for _, group := range groups {
		for _, f := range group.functions {
			if f.example != "" {
				fmt.Fprintf(&text, "output \"%s\" {\n  value = %s\n}\n", f.name, f.example)
			}
		}
	}
	for name, content := range map[string]string{
		"fleet.hcl": text.String(), "hello.txt": "Hello!\n", "hello.tmpl": "Hello, ${name}!\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	c, diags := load(dir)
	if diags.HasErrors() {
		return nil, diags
	}
	outputs, diags := c.Outputs(nil)
	if diags.HasErrors() {
		return nil, diags
	}
	results := map[string]string{}
	for name, o := range outputs {
		value, err := ctyjson.Marshal(o.Value, o.Value.Type())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		results[name] = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(value))
	}
	return results, nil
}
