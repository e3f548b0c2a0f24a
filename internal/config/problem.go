package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// Problem returns a diagnostic for a problem of a resource. Its position is the argument with the
// problem ("path", or "storage.path" in a mirror), or the header of the block that declares the
// resource. It names the resource and never shows a sensitive value.
func (c *Config) Problem(r *engine.Resource, p engine.Problem) *hcl.Diagnostic {
	b := c.blockOf(r.Address)
	if b == nil {
		d := &hcl.Diagnostic{Severity: severity(p.Severity), Summary: lang.Sentence(p.Summary, ""), Detail: lang.Sentence(p.Detail, ".")}
		d.Detail = strings.TrimSpace(d.Detail + " This is about " + r.String() + ".")
		return d
	}
	d := b.problem(p, r.Sensitive, r.State)
	d.Detail = lang.WithSentence(d.Detail, "This is about "+r.Address.String()+".")
	return d
}

// Problems returns diagnostics for the problems of one host's resources, without problems of the
// host as a whole. Two blocks that manage the same things cause one diagnostic, however many things
// they share.
func (c *Config) Problems(problems []*engine.ResourceProblem) hcl.Diagnostics {
	type pair struct{ one, other *block }
	var diags hcl.Diagnostics
	first, more := map[pair]*hcl.Diagnostic{}, map[pair]int{}
	for _, p := range problems {
		if p.Resource == nil {
			continue
		}
		if p.With == nil {
			diags = append(diags, c.Problem(p.Resource, p.Problem))
			continue
		}
		both := pair{c.blockOf(p.Resource.Address), c.blockOf(p.With.Address)}
		if first[both] != nil && both.one != nil {
			more[both]++
			continue
		}
		first[both] = c.Problem(p.Resource, p.Problem)
		diags = append(diags, first[both])
	}
	for both, n := range more {
		d := first[both]
		d.Detail = lang.WithSentence(d.Detail, fmt.Sprintf("%s and %s both manage %s.",
			both.other.name, both.one.name, counted(n, "more thing")))
	}
	return diags
}

// counted returns a number with a noun: "1 more thing", "2 more things".
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func severity(s engine.Severity) hcl.DiagnosticSeverity {
	if s == engine.Warning {
		return hcl.DiagWarning
	}
	return hcl.DiagError
}

// problem returns a diagnostic for a problem of a resource of the block. sensitive has the
// top-level arguments with sensitive values.
func (b *block) problem(p engine.Problem, sensitive map[string]bool, state any) *hcl.Diagnostic {
	at := b.attributeRange(p.Attribute)
	if sensitive[firstStep(p.Attribute)] || showsSensitive(p, sensitive, state) {
		return &hcl.Diagnostic{Severity: severity(p.Severity), Summary: "Invalid value", Subject: &at,
			Detail: fmt.Sprintf("The value of %s is invalid. The reason is not shown because it contains a sensitive value.",
				p.Attribute)}
	}
	return &hcl.Diagnostic{Severity: severity(p.Severity), Summary: lang.Sentence(p.Summary, ""), Detail: lang.Sentence(p.Detail, "."), Subject: &at}
}

// showsSensitive reports whether a problem's text contains a sensitive string of the state.
func showsSensitive(p engine.Problem, sensitive map[string]bool, state any) bool {
	if len(sensitive) == 0 || state == nil {
		return false
	}
	text := p.Summary + "\n" + p.Detail
	v := reflect.Indirect(reflect.ValueOf(state))
	s, err := lang.ShapeOf(v.Type())
	if err != nil {
		return true
	}
	for _, f := range s.Fields {
		if sensitive[f.Name] && holdsString(v.Field(f.Index), text) {
			return true
		}
	}
	return false
}

// holdsString reports whether text contains any string in v. Strings of less than three bytes are
// ignored: they would match by chance.
func holdsString(v reflect.Value, text string) bool {
	switch v.Kind() {
	case reflect.String:
		return v.Len() >= 3 && (strings.Contains(text, v.String()) || strings.Contains(text, strings.Trim(strconv.Quote(v.String()), `"`)))
	case reflect.Pointer:
		return !v.IsNil() && holdsString(v.Elem(), text)
	case reflect.Slice:
		for i := range v.Len() {
			if holdsString(v.Index(i), text) {
				return true
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if holdsString(k, text) || holdsString(v.MapIndex(k), text) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if holdsString(v.Field(i), text) {
				return true
			}
		}
	}
	return false
}

var pathStep = regexp.MustCompile(`^([^.\[]+)(?:\[(\d+)\])?(?:\.|$)`)

// attributeRange returns the range of the argument with a path: "path", "storage.path",
// "rule[1].name", "publish.geolocation.country". If the source does not have all of the path, it is
// the range of the longest part, or the block's header.
func (b *block) attributeRange(path string) hcl.Range {
	r, _ := b.find(path)
	return r
}

// find returns the range of the argument with a path, and reports whether the source sets it.
func (b *block) find(path string) (place hcl.Range, set bool) {
	body, header := b.source, b.header
	for path != "" {
		step := pathStep.FindStringSubmatch(path)
		if step == nil {
			return header, false
		}
		path = path[len(step[0]):]
		if a := body.Attributes[step[1]]; a != nil && a.Expr != nil {
			return lang.KeyedRange(a.Expr, path), true
		}
		index, _ := strconv.Atoi(step[2]) // without an index, the first block
		next := lang.NestedBlock(body, step[1], index)
		if next == nil {
			return header, false
		}
		body, header = next.Body, next.DefRange()
	}
	return header, false
}

// blockOf returns the block that declares the resource with an address, HOST/TYPE.NAME["key"] or
// HOST/mirror.NAME.PART["key"], or nil.
func (c *Config) blockOf(a engine.Address) *block {
	return c.declared.byName[engine.Address{Type: a.Type, Name: a.Name}.String()]
}
