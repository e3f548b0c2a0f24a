package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/mirrorform/mirrorform/resources"
	"github.com/zclconf/go-cty/cty"
)

// hostileTexts are values that some reader after HCL could take for more than text.
var hostileTexts = []string{
	"", "$(touch /pwn-1)", "`touch /pwn-2`", "; touch /pwn-3", "a && b | c", `'"'"'`, `\'"`, "a\r\nb", "a\x00b", "-oProxyCommand=touch /pwn-4", "a\u202eb\u200bc\ufeff", "../../etc/shadow",
	"x; } server {", "NO", "22:22", "=", "<<", "!!python/object", "${x}", "$${x}", "$$${x}", "%{ if x }", "%%{x}", "%", "\\%", `"${"`, "EOT\n", "\x1b]52;c;Zm9v\x07", "\u009b31m", "e\u0301", "\u212b",
	"\xff\xfe", strings.Repeat("(", 2000), "each.value", "null", "\u2028", "\U000e0041", "#", "//", "/*", "~", "${target.facts.os.name}",
}

// FuzzValues writes any text as a literal, and gives it as a variable, a label and a fact: every resource gets exactly that text, as cty has it
// (NFC), and nothing in it is evaluated.
func FuzzValues(f *testing.F) {
	for i, text := range hostileTexts {
		f.Add(text, hostileTexts[(i+5)%len(hostileTexts)])
	}
	f.Fuzz(func(t *testing.T, value, fact string) {
		literal := string(hclwrite.TokensForValue(cty.StringVal(value)).Bytes())
		if !utf8.ValidString(value) {
			literal = `"` + value + `"`
		}
		source := fmt.Sprintf(`
variable "v" { type = string }
variable "e" { type = string }
host "a" {
  address = "192.0.2.1"
  labels  = { l = %[1]s }
}
locals { l = %[1]s }
resource "thing" "x" {
  hosts    = [host.a]
  name     = "x"
  texts    = [%[1]s, local.l, "${local.l}", var.v, var.e, target.labels.l, target.facts.os.name, "${target.facts.hostname}"]
  text_map = { (local.l) = var.v }
}
resource "file" "f" {
  hosts   = [host.a]
  path    = "/f"
  content = "<${local.l}|${var.v}|${target.facts.os.name}>"
}
`, literal)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "fleet.hcl"), []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		c, diags := Load(Options{Dir: dir, Registry: testRegistry(), Sources: []lang.VarSource{{Assign: "v=" + value}}, Environ: []string{"MIRRORFORM_VAR_e=" + value}})
		checkRanges(t, c, diags)
		if !utf8.ValidString(value) {
			if !diags.HasErrors() {
				t.Errorf("%q is taken, and is not UTF-8", value)
			}
			return
		}
		if diags.HasErrors() {
			t.Fatalf("%q: %v", value, diags)
		}
		got, diags := c.Resources("a", map[string]*wire.Facts{"a": {Hostname: fact, OS: wire.OSFacts{Name: fact}}})
		if diags.HasErrors() {
			t.Fatalf("%q, %q: %v", value, fact, diags)
		}
		v, n := cty.StringVal(value).AsString(), cty.StringVal(fact).AsString()
		found := 0
		for _, r := range got {
			switch s := r.State.(type) {
			case *thing:
				found++
				if want := []string{v, v, v, v, v, v, n, n}; !reflect.DeepEqual(s.Texts, want) {
					t.Errorf("%q came of %q", s.Texts, want)
				}
				if want := map[string]string{v: v}; !reflect.DeepEqual(s.TextMap, want) {
					t.Errorf("%q came of %q", s.TextMap, want)
				}
			case *resources.File:
				found++
				if want := cty.StringVal("<" + v + "|" + v + "|" + n + ">").AsString(); *s.Content != want {
					t.Errorf("%q came of %q", *s.Content, want)
				}
			}
		}
		if found != 2 {
			t.Errorf("%d resources: %v", found, got)
		}
	})
}

// FuzzFacts has a host give any facts: a mirror and what depends on every fact is planned from them, or refused with a place.
func FuzzFacts(f *testing.F) {
	for _, facts := range []string{
		`{}`, `{"hostname":"$(touch /pwn-1)","os":{"id":"${x}","id_like":["%{ if x }","` + "`x`" + `"],"name":"\u001b]52;c;Zm9v\u0007","version":"-1","family":"el"},"arch":"../x","packages":"; x"}`,
		`{"cpus":-9223372036854775808,"memory":18446744073709551615,"uid":-1,"username":"-oProxyCommand=x","systemd":true,"machine_id":"\u0000"}`,
		`{"os":{"name":"\ud800","family":"x; } server {"},"kernel":"a\r\nb\u202e"}`,
	} {
		f.Add([]byte(facts))
	}
	const everyFact = `
resource "thing" "facts" {
  hosts = [host.fra1]
  name  = "facts"
  text  = "t${jsonencode(target.facts)}"
  texts = concat(target.facts.os.id_like, [target.facts.hostname, tostring(target.facts.memory), tostring(target.facts.cpus)])
}
`
	f.Fuzz(func(t *testing.T, text []byte) {
		facts := new(wire.Facts)
		if json.Unmarshal(text, facts) != nil {
			return
		}
		c, diags := loadText(t, strings.ReplaceAll(mirrorFleet, "SPLIT", "target.facts.hostname")+everyFact)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		all := map[string]*wire.Facts{}
		for _, h := range c.Hosts() {
			all[h.Name] = facts
		}
		for _, h := range c.Hosts() {
			got, diags := c.Resources(h.Name, all)
			checkRanges(t, c, diags)
			if len(got) == 0 && !diags.HasErrors() {
				t.Errorf("%s has no resources, and nothing is said of that", h.Name)
			}
			for _, r := range got {
				if s, ok := r.State.(*thing); ok {
					if got := s.Texts[len(s.Texts)-3]; got != cty.StringVal(facts.Hostname).AsString() {
						t.Errorf("%q came of the host name %q", got, facts.Hostname)
					}
				}
			}
		}
	})
}
