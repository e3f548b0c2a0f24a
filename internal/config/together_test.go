package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// TestTogether evaluates a configuration with the facts of many hosts, as plan does.
func TestTogether(t *testing.T) {
	t.Parallel()
	c, diags := loadFiles(t, map[string]string{"a.hcl": `
host "m" {
  for_each = { for i in range(30) : format("m%02d", i) => "192.0.2.${i + 1}" }
  address  = each.value
}
host "a" { address = "192.0.2.100" }
host "b" { address = "192.0.2.101" }
resource "thing" "one" {
  hosts = host
  name  = "one"
  text  = target.facts.hostname == "" ? "ok" : "bad ${target.facts.hostname}"
}
resource "thing" "two" {
  hosts = [host.m]
  name  = "two"
  lifecycle {
    precondition {
      condition     = target.facts.memory > 1000
      error_message = "${target.name} has ${target.facts.memory} bytes."
    }
  }
}
check "memory" {
  hosts = [host.a, host.b]
  assert {
    condition     = target.facts.memory > 1000
    error_message = "${target.key} is small."
  }
}
resource "thing" "alone" {
  hosts = [host.a]
  name  = "alone"
  text  = target.facts.hostname == "" ? "ok" : "bad"
}
`})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var found []HostDiagnostics
	for n, h := range c.Hosts() {
		facts := map[string]*wire.Facts{h.Name: {Hostname: fmt.Sprintf("h%d", n), Memory: uint64(n)}}
		_, diags := c.Resources(h.Name, facts)
		found = append(found, HostDiagnostics{h.Name, diags})
	}
	var got []string
	for _, d := range c.Together(found) {
		got = append(got, fmt.Sprintf("%s: %s", d.Summary, d.Detail))
	}
	want := []string{
		`The text "bad h0" is bad: This applies to m["m00"] and 31 others.`,
		`Precondition failed: m["m00"] has 0 bytes. This is about m["m00"]/thing.two. This applies to m["m00"] and 29 others.`,
		`Check failed: a is small. This applies to a and 1 other.`,
		`The text "bad" is bad: `,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTogetherKeepsApart joins what is not the same problem.
func TestTogetherKeepsApart(t *testing.T) {
	t.Parallel()
	c := &Config{inventory: &inventory{byName: map[string]*DeclaredHost{"fra1": {Name: "fra1"}, "ams1": {Name: "ams1"}}}}
	at := hcl.Range{Filename: "a.hcl"}
	there := hcl.Range{Filename: "a.hcl", Start: hcl.Pos{Byte: 1}}
	diags := c.Together([]HostDiagnostics{
		{"fra1", hcl.Diagnostics{lang.ErrorAt(at, "One", "fra1 has 3."), lang.ErrorAt(at, "Two", ""), lang.ErrorNowhere("Nowhere", "")}},
		{"ams1", hcl.Diagnostics{lang.ErrorAt(at, "One", "ams1 has 12."), lang.WarningAt(at, "Two", ""), lang.ErrorAt(there, "One", "ams1 has 12."), lang.ErrorNowhere("Nowhere", "")}},
	})
	var got []string
	for _, d := range diags {
		got = append(got, d.Summary+": "+d.Detail)
	}
	want := []string{"Nowhere: This applies to fra1 and 1 other.", "One: fra1 has 3. This applies to fra1 and 1 other.", "Two: ", "Two: ", "One: ams1 has 12."}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
