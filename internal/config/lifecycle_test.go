package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// TestLongChainOfMoves follows more moves than could be followed anew for each.
func TestLongChainOfMoves(t *testing.T) {
	t.Parallel()
	const links = 15_000
	var b strings.Builder
	b.WriteString("host \"a\" { address = \"192.0.2.1\" }\nresource \"thing\" \"end\" {\n  hosts = [host.a]\n  name = \"end\"\n}\n")
	for i := range links {
		to := fmt.Sprintf("n%d", i+1)
		if i == links-1 {
			to = "end"
		}
		fmt.Fprintf(&b, "moved {\n  from = thing.n%d\n  to = thing.%s\n}\n", i, to)
	}
	c, diags := loadText(t, b.String())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	moves := c.Moves()
	if len(moves) != links {
		t.Fatalf("there are %d moves", len(moves))
	}
	for i, m := range moves {
		if want := (engine.Move{From: fmt.Sprintf("thing.n%d", i), To: "thing.end"}); m != want {
			t.Fatalf("the move is %v, not %v", m, want)
		}
	}
}

// TestBoundedConditions has conditions and messages that would make values of any size.
func TestBoundedConditions(t *testing.T) {
	t.Parallel()
	const huge = `[for a in range(1000) : [for b in range(1000) : [for c in range(1000) : a]]]`
	for name, tc := range map[string]struct{ condition, message string }{
		"condition": {"length(" + huge + ") > 0", `"x"`},
		"message":   {"false", `"${jsonencode(` + huge + `)}"`},
		"nesting":   {strings.Repeat("(", 10_000) + "true" + strings.Repeat(")", 10_000), `"x"`},
		"operators": {"true" + strings.Repeat(" && true", 10_000), `"x"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, text := range []string{
				secretResource("precondition", tc.condition, tc.message),
				secretResource("postcondition", tc.condition, tc.message),
				"check \"x\" {\n  assert {\n    condition = " + tc.condition + "\n    error_message = " + tc.message + "\n  }\n}\n",
			} {
				c, diags := loadText(t, "variable \"secret\" { default = \"x\" }\nhost \"a\" { address = \"192.0.2.1\" }\n"+text)
				if !diags.HasErrors() {
					t.Errorf("no error in %.80s", text)
				}
				checkRanges(t, c, diags)
			}
		})
	}
}

func TestLeftOut(t *testing.T) {
	t.Parallel()
	c, diags := loadText(t, strings.ReplaceAll(`
host "a" { address = "192.0.2.1" }
host "b" { address = "192.0.2.2" }
host "c" { address = "192.0.2.3" }
host "d" { address = "192.0.2.4" }
mirror "m" {
  hosts = [host.a, host.b, host.c]
  storage { path = "/srv/m" }
  PUBLISH
  lifecycle {
    precondition {
      condition     = target.facts.systemd
      error_message = "A mirror needs systemd."
    }
  }
}
mirror "n" {
  hosts = [host.d]
  storage { path = "/srv/m" }
  PUBLISH
}
`, "PUBLISH", `publish {
    name        = "${target.name}.example.org"
    http        = "http://${target.name}.example.org/"
    sponsor     = "Example"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
  }`))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	facts := map[string]*wire.Facts{"a": {Systemd: true}, "b": {}}
	is := c.LeftOut(facts)
	list, _ := c.Resources(localHost, facts)
	wanted := map[string]bool{}
	for _, r := range list {
		wanted[r.Address.String()] = true
	}
	for address, want := range map[string]struct{ wanted, leftOut bool }{
		`local/mirror.m.publish["a"]`:  {true, false},
		`local/mirror.m.publish["b"]`:  {false, true},  // its precondition is false
		`local/mirror.m.publish["c"]`:  {false, true},  // its facts are not known
		`local/mirror.n.publish["d"]`:  {true, false},  // needs no facts
		`local/mirror.m.publish["d"]`:  {false, false}, // not its mirror
		`local/mirror.m.publish["x"]`:  {false, false},
		`b/mirror.m.publish["b"]`:      {false, false},
		`local/mirror.mm.publish["b"]`: {false, false},
	} {
		if out := is(at(address)); wanted[address] != want.wanted || out != want.leftOut {
			t.Errorf("%s: wanted %t, left out %t", address, wanted[address], out)
		}
	}
}

// TestStateValue makes the object self of an empty state of every type: each attribute is there, and an expression can name it.
func TestStateValue(t *testing.T) {
	t.Parallel()
	r := testRegistry()
	for _, name := range r.Names() {
		state := r.Kind(name).New()
		typ := reflect.TypeOf(state).Elem()
		v := stateValue(typ, state, nil)
		if v.IsNull() || len(v.Type().AttributeTypes()) == 0 {
			t.Errorf("%s: self is %#v", name, v)
			continue
		}
		for _, attr := range stateNames(typ) {
			if !v.Type().HasAttribute(attr) || !hclsyntax.ValidIdentifier(attr) {
				t.Errorf("%s: self has no attribute %s", name, attr)
			}
		}
		if v := stateValue(typ, nil, nil); !v.IsNull() {
			t.Errorf("%s: of nothing, self is %#v", name, v)
		}
	}
}
