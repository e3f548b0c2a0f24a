package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aymanbagabas/go-udiff"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/mirrorform/mirrorform/resources"
)

func root(t *testing.T) string {
	t.Helper()
	dir, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPages holds the committed pages against what would be generated.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, page := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			found, wanted, err := render(root(t), filepath.Join(root(t), page))
			if err != nil {
				t.Fatal(err)
			}
			if found != wanted {
				t.Errorf("%s is out of date: run go run ./internal/docgen\n%s", page, udiff.Unified("committed", "generated", found, wanted))
			}
			if !strings.Contains(wanted, regionOpen) {
				t.Errorf("%s has no region", page)
			}
		})
	}
}

// TestComplete finds types, attributes, blocks and facts that no page describes.
func TestComplete(t *testing.T) {
	t.Parallel()
	dir := root(t)
	read := func(name string) string {
		src, err := os.ReadFile(filepath.Join(dir, "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(src)
	}
	page := read("resources.md")
	for _, name := range resources.All().Names() {
		if line := "## " + name; !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("docs/resources.md lacks the line %q", line)
		}
	}

	page = read("mirror.md")
	for _, s := range structsOf(t, "internal/mirror", "hcl") {
		for _, f := range s.fields {
			described := func(parent string) bool { return strings.Contains(page, regionOpen+"block "+parent+f.name+" -->") }
			if f.block && !slices.ContainsFunc([]string{"", "sync.", "web.", "web.tls."}, described) {
				t.Errorf("docs/mirror.md lacks a region for the block %q", f.name)
			}
		}
	}

	page = read("language.md")
	structs := structsOf(t, "internal/config", "hcl")
	maps.Copy(structs, structsOf(t, "internal/lang", "hcl"))
	for _, name := range []string{"hostArguments", "variableShape", "ValidationShape", "outputShape", "lifecycleShape", "checkShape", "movedShape", "removedShape", "removedLifecycleShape"} {
		s := structs[name]
		if s == nil || len(s.fields) == 0 {
			t.Errorf("neither internal/config nor internal/lang has a struct %s with arguments", name)
			continue
		}
		for _, f := range s.fields {
			if !regexp.MustCompile("(?m)`" + f.name + "\\b|^ +" + f.name + " *[={]").MatchString(page) {
				t.Errorf("docs/language.md does not mention the argument %q (%s)", f.name, name)
			}
		}
	}
}

func structsOf(t *testing.T, dir, tag string) map[string]*structure {
	t.Helper()
	structs, err := parseStructs(filepath.Join(root(t), dir), tag)
	if err != nil {
		t.Fatal(err)
	}
	return structs
}

// TestComments finds attributes without a comment, which would have no meaning in their table.
func TestComments(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, source := range []struct{ dir, tag string }{{"resources", "hcl"}, {"internal/mirror", "hcl"}} {
		for name, s := range structsOf(t, source.dir, source.tag) {
			for _, f := range s.fields {
				checked++
				if f.doc == "" && !f.block {
					t.Errorf("%s: the field of %s for %q needs a comment", source.dir, name, f.name)
				}
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d attributes were found", checked)
	}
}

// TestExamples loads every example, with hosts of both families, and checks its form.
func TestExamples(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(root(t), "examples", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if filepath.Base(dir) == "owntype" {
			continue // a program and no configuration: a script of the lab builds and runs it
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			files := formatted(t, dir)
			if filepath.Base(dir) == "demo" {
				return // its host blocks are written by the lab
			}
			main, err := os.ReadFile(filepath.Join(dir, "fleet.hcl"))
			if err != nil || !bytes.HasPrefix(main, []byte("# ")) {
				t.Errorf("fleet.hcl does not begin with a comment that says what it is (%v)", err)
			}
			c, err := loadExample(dir)
			if err != nil {
				t.Fatal(err)
			}
			for family, manager := range map[string]string{"debian": "apt", "el": "dnf"} {
				facts := map[string]*wire.Facts{}
				for _, h := range c.Hosts() {
					facts[h.Name] = &wire.Facts{OS: wire.OSFacts{ID: family, Family: family, Name: family}, Packages: manager, Systemd: true}
				}
				for _, h := range c.Hosts() {
					list, diags := c.Resources(h.Name, facts)
					if len(diags) > 0 || len(list) == 0 {
						t.Errorf("host %s (%s) has %d resources: %v", h.Name, family, len(list), diags)
					}
				}
			}
			if filepath.Base(dir) != "resources" {
				return
			}
			for _, name := range resources.All().Names() {
				if !slices.Contains(files, name+".hcl") {
					t.Errorf("there is no example of the type %s", name)
				}
			}
		})
	}
}

// formatted checks the form of a directory's files, and returns their names.
func formatted(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.hcl", "*.hclvars"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			checkFormat(t, file, src)
			names = append(names, filepath.Base(file))
		}
	}
	if len(names) == 0 {
		t.Errorf("%s holds no configuration", dir)
	}
	return names
}

func checkFormat(t *testing.T, name string, src []byte) {
	t.Helper()
	want, diags := lang.Format(src, name)
	if diags.HasErrors() {
		t.Error(diags)
	} else if !bytes.Equal(src, want) {
		t.Errorf("%s is not formatted: run mirrorform fmt\n%s", name, udiff.Unified("found", "formatted", string(src), string(want)))
	}
}

// snippet is a block of HCL on a page, outside of regions.
var snippet = regexp.MustCompile("(?s)\n```hcl\n(.*?)\n```\n")

// TestSnippets loads the snippets of docs/language.md, which are one configuration together, and checks the form of those on all pages.
func TestSnippets(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob(filepath.Join(root(t), "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var language []byte
	for _, name := range append(names, filepath.Join(root(t), "README.md")) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		page, err := replaceRegions(string(src), func([]string) (string, error) { return "", nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range snippet.FindAllStringSubmatch(page, -1) {
			text := []byte(m[1] + "\n")
			if filepath.Base(name) == "README.md" {
				continue // wraps blocks into one line, to be short
			}
			checkFormat(t, name, text)
			if filepath.Base(name) == "language.md" {
				language = append(language, text...)
			}
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fleet.hcl"), language, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadExample(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Hosts()) != 8 { // seven, and local
		t.Errorf("the snippets of language.md have %d hosts", len(c.Hosts()))
	}
}

// TestLinks finds links between pages that lead nowhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob(filepath.Join(root(t), "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	checked := 0
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(withoutCode(string(src)), -1) {
			checked++
			target := name
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(name), m[1])
			}
			content, err := os.ReadFile(target)
			if m[2] == "" {
				_, err = os.Stat(target)
			}
			if err != nil {
				t.Errorf("%s links to %s: %v", filepath.Base(name), m[1], err)
				continue
			}
			if m[2] != "" && !slices.Contains(anchors(string(content)), m[2][1:]) {
				t.Errorf("%s links to %s%s, and there is no such heading", filepath.Base(name), m[1], m[2])
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links were found", checked)
	}
}

var codeBlock = regexp.MustCompile("(?s)\n *```.*?\n *```\n|`[^`\n]*`")

func withoutCode(page string) string { return codeBlock.ReplaceAllString(page, "\n") }

// anchors are those that GitHub gives the headings of a page.
func anchors(page string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		text := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(text, " ", "-"))
	}
	return list
}

func TestRegions(t *testing.T) {
	t.Parallel()
	fill := func(words []string) (string, error) { return strings.Join(words, "+"), nil }
	for name, c := range map[string]struct{ page, want, err string }{
		"fills":      {"a\n<!-- generated: x y -->\nold\n<!-- end generated -->\nb\n", "a\n<!-- generated: x y -->\n\nx+y\n\n<!-- end generated -->\nb\n", ""},
		"none":       {"a\n", "a\n", ""},
		"not closed": {"<!-- generated: x -->\n", "", "line 1: the region has no end"},
		"not opened": {"<!-- end generated -->\n", "", "line 1: a region ends"},
		"nested":     {"<!-- generated: x -->\n<!-- generated: y -->\n", "", "line 2: a region opens inside"},
		"no arrow":   {"<!-- generated: x\n", "", "line 1: the line of a region ends with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := replaceRegions(c.page, fill)
			if c.err == "" && (err != nil || got != c.want) {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
			if c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)) {
				t.Errorf("got the error %v, want %s…", err, c.err)
			}
		})
	}
	if _, err := new(generator).region([]string{"nothing"}); err == nil {
		t.Error("a region of no such name is filled")
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	names := map[string]string{"Path": "path", "SUUser": "su_user", "SUGroup": "su_group"}
	for comment, want := range map[string]string{
		"absolute":                            "Absolute.",
		"SUUser and SUGroup are the account.": "`su_user` and `su_group` are the account.",
		"rsync's flags, *.NAME":               `rsync's flags, \*.NAME.`,
		"":                                    "",
	} {
		if got := describe("su_user", comment, names); got != want {
			t.Errorf("%q becomes %q, want %q", comment, got, want)
		}
	}
	if got := describe("path", "Path is the mirror's directory", names); got != "The mirror's directory." {
		t.Errorf("the attribute's own name stays: %q", got)
	}
}
