package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/engine"
)

// PlanFormat is the version of the format of PlanJSON. Additions raise the second number, everything else the first.
const PlanFormat = "1.1"

type planJSON struct {
	FormatVersion string         `json:"format_version"`
	Hosts         []hostPlanJSON `json:"hosts"`
	Summary       countsJSON     `json:"summary"`
}

type hostPlanJSON struct {
	Name     string       `json:"name"`
	Changes  []changeJSON `json:"changes"`
	Error    *string      `json:"error"` // null: the host's plan can be applied
	Warnings []string     `json:"warnings"`
	Notes    []string     `json:"notes"` // since 1.1
}

type changeJSON struct {
	Address string         `json:"address"`
	Type    string         `json:"type"`
	Action  engine.Action  `json:"action"`
	Before  map[string]any `json:"before"` // null for create
	After   map[string]any `json:"after"`  // null for delete
	Steps   []string       `json:"steps"`
}

type countsJSON struct {
	Create    int `json:"create"`
	Update    int `json:"update"`
	Delete    int `json:"delete"`
	Replace   int `json:"replace"`
	Unchanged int `json:"unchanged"`
}

// PlanJSON renders a plan as one JSON object. Sensitive values are the string "(sensitive value)"; what a terminal
// would not show as itself is written as \u escapes. Strings that are not UTF-8 have U+FFFD in place of what is not.
func PlanJSON(p *engine.Plan) ([]byte, error) {
	c := p.Counts()
	doc := planJSON{
		FormatVersion: PlanFormat,
		Hosts:         []hostPlanJSON{},
		Summary:       countsJSON{c.Create, c.Update, c.Delete, c.Replace, c.Unchanged},
	}
	for _, h := range p.Hosts {
		doc.Hosts = append(doc.Hosts, hostJSON(h))
	}
	return JSON(doc)
}

// JSON encodes a value on one line. What a terminal would not show as itself is written as \u escapes. Strings that are not UTF-8 have U+FFFD in place of what
// is not.
func JSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode as JSON: %w", err)
	}
	return asciiControls(bytes.TrimSuffix(buf.Bytes(), []byte{'\n'})), nil
}

func hostJSON(h *engine.HostPlan) hostPlanJSON {
	j := hostPlanJSON{Name: h.Host, Changes: []changeJSON{}, Warnings: []string{}, Notes: append([]string{}, h.Notes...)}
	var errors []string
	if h.Err != nil {
		errors = append(errors, h.Err.Error())
	}
	for _, p := range h.Problems {
		text := p.Shown().String()
		if p.Resource != nil {
			text = p.Resource.String() + ": " + text
		}
		if p.Severity == engine.Warning {
			j.Warnings = append(j.Warnings, text)
		} else {
			errors = append(errors, text)
		}
	}
	if len(errors) > 0 {
		text := strings.Join(errors, "\n")
		j.Error = &text
	}
	for i := range h.Changes {
		c := &h.Changes[i]
		cj := changeJSON{c.Address, c.Type, c.Action, attributesJSON(c.Before), attributesJSON(c.After), []string{}}
		for _, s := range c.Steps {
			cj.Steps = append(cj.Steps, s.Summary)
		}
		j.Changes = append(j.Changes, cj)
	}
	return j
}

func attributesJSON(list []engine.Attribute) map[string]any {
	if list == nil {
		return nil
	}
	m := make(map[string]any, len(list))
	for _, a := range list {
		m[a.Name] = plainValue(a.Value)
		if a.Sensitive {
			m[a.Name] = sensitiveValue
		}
	}
	return m
}

// asciiControls writes what is not visible as \u escapes. In JSON text such characters stand inside of strings only.
func asciiControls(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	for _, r := range string(doc) {
		switch {
		case r < utf8.RuneSelf && r != 0x7f || visible(r) && !combining(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
