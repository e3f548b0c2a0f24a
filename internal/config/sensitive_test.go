package config

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// canary is a secret. It must not be in any diagnostic.
const canary = "canary-5f3a"

// printed is everything that a diagnostic can show: its text, the snippet, and the values of the variables.
func printed(t *testing.T, diags hcl.Diagnostics, files map[string]*hcl.File) string {
	t.Helper()
	var b bytes.Buffer
	if err := hcl.NewDiagnosticTextWriter(&b, files, 0, false).WriteDiagnostics(diags); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func showsCanary(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, canary) || strings.Contains(text, strings.ToLower(base64.StdEncoding.EncodeToString([]byte(canary))))
}

// leakyExpressions fail, each in a way whose message or variables could show the value.
var leakyExpressions = []string{
	`tonumber(var.secret)`, `parseint(var.secret, 10)`, `var.secret + 1`, `!var.secret`, `-var.secret`, `var.secret ? 1 : 2`,
	`{ a = 1 }[var.secret]`, `{ a = 1 }.b + var.secret`, `[1][var.secret]`, `tomap({ a = 1 })[var.secret]`, `var.secret.x`, `var.secret[0]`, `var.secret[*].x`,
	`local.object.missing`, `local.object[var.secret]`, `local.list[7]`, `local.object.a.b`,
	`[for s in local.list : tonumber(s)]`, `[for s in local.list : s.x]`, `[for s in var.set : tonumber(s)]`, `[for s in var.set : { a = 1 }[s]]`, `[for s in var.set : s + 1]`,
	`{ for s in [var.secret, var.secret] : s => 1 }`, `{ for k, s in { a = var.secret, b = var.secret } : s => k }`, `{ for s in concat(tolist(var.set), tolist(var.set)) : s => 1 }`,
	`[for s in local.list : s if s]`, `"x${local.object}"`, `"x${[var.secret]}"`, `"%{ if var.secret }x%{ endif }"`, `"%{ for s in local.list }${tonumber(s)}%{ endfor }"`,
	`file(var.secret)`, `filebase64(var.secret)`, `fileexists("/dev/${var.secret}/../null")`, `templatefile(var.secret, {})`,
	`templatefile("t.tmpl", { secret = var.secret })`, `templatefile("t.tmpl", { secret = local.object.a })`, `templatefile("${var.secret}", { secret = 1 })`, `templatefile("t.tmpl", { (var.secret) = 1 })`,
	`base64decode(var.secret)`, `jsondecode(var.secret)`, `yamldecode("${var.secret}: [")`, `csvdecode("a,b\n${var.secret}")`, `urldecode("%zz${var.secret}")`,
	`cidrhost(var.secret, 1)`, `cidrsubnet("10.0.0.0/8", var.secret, 1)`, `cidrnetmask("${var.secret}/24")`, `timeadd(var.secret, "1h")`, `timecmp(var.secret, var.secret)`, `formatdate(var.secret, var.secret)`,
	`regex(var.secret, "x")`, `regex("x", var.secret)`, `regex("(${var.secret}", "x")`, `replace("x", "/(${var.secret}/", "")`, `format(var.secret, 1)`, `format("%d", var.secret)`, `format("%${var.secret}", 1)`, `formatlist("%d", local.list)`,
	`lookup({ a = 1 }, var.secret)`, `index(["a"], var.secret)`, `element([], var.secret)`, `try(tonumber(var.secret))`, `try(local.object[var.secret], {}.x)`, `one([var.secret, "b"])`, `sum([var.secret])`,
	`zipmap([var.secret], [])`, `merge(var.secret, {})`, `keys(var.secret)`, `transpose({ a = [null, var.secret] })`, `upper(var.secret).x`, `base64encode(var.secret).x`, `tonumber(base64encode(var.secret))`,
	`max(var.secret...)`, `var.object.secret.x`, `tonumber(var.object.secret)`, `var.object[var.secret]`,
}

func TestSensitiveValuesAreNeverShown(t *testing.T) {
	t.Parallel()
	for _, expr := range leakyExpressions {
		t.Run(expr, func(t *testing.T) {
			t.Parallel()
			for place, text := range map[string]string{
				"local":         "locals { x = " + expr + " }\n",
				"argument":      "resource \"thing\" \"x\" {\n  hosts = [host.a]\n  name = \"x\"\n  text = " + expr + "\n}\n",
				"id":            "resource \"thing\" \"x\" {\n  hosts = [host.a]\n  name = " + expr + "\n}\n",
				"host":          "host \"b\" {\n  address = " + expr + "\n  labels = { x = " + expr + " }\n}\n",
				"for_each":      "resource \"thing\" \"x\" {\n  for_each = " + expr + "\n  hosts = [host.a]\n  name = each.key\n}\n",
				"hosts":         "resource \"thing\" \"x\" {\n  hosts = " + expr + "\n  name = \"x\"\n}\n",
				"output":        "output \"x\" { value = " + expr + " }\n",
				"condition":     secretResource("precondition", expr, `"x"`),
				"message":       secretResource("precondition", "false", expr),
				"postcondition": secretResource("postcondition", expr, `"x"`),
				"assert":        "check \"x\" {\n  assert {\n    condition = " + expr + "\n    error_message = \"x\"\n  }\n}\n",
				"assert, hosts": "check \"x\" {\n  hosts = [host.a]\n  assert {\n    condition = false\n    error_message = " + expr + "\n  }\n}\n",
				"from":          "removed { from = " + expr + " }\n",
				"mirror":        "mirror \"m\" {\n  hosts = [host.a]\n  storage { path = " + expr + " }\n}\n",
			} {
				c, diags := loadSecret(t, text)
				if !diags.HasErrors() {
					t.Errorf("%s: no error", place)
				}
				if shown := printed(t, diags, c.Files()); showsCanary(shown) {
					t.Errorf("%s: the secret is shown:\n%s", place, shown)
				}
			}
		})
	}
}

// secretResource is a resource with a condition of that type of block.
func secretResource(block, condition, message string) string {
	return "resource \"thing\" \"x\" {\n  hosts = [host.a]\n  name = \"x\"\n  text = var.secret\n  lifecycle {\n    " + block + " {\n      condition = " +
		condition + "\n      error_message = " + message + "\n    }\n  }\n}\n"
}

// tellingMessages are error messages that can be evaluated and hold the secret; SECRET stands for an expression that is sensitive.
var tellingMessages = []string{
	`SECRET`, `"${SECRET}"`, `"it is ${SECRET}."`, `"%{ for s in [SECRET] }${s}%{ endfor }"`, `"%{ if SECRET != "" }${SECRET}%{ endif }"`, `[for s in [SECRET] : s][0]`,
	`join(",", [SECRET, "b"])`, `jsonencode({ a = SECRET })`, `keys({ (SECRET) = 1 })[0]`, `base64encode(SECRET)`, `upper(SECRET)`, `format("%s", SECRET)`, `one([SECRET])`,
	`SECRET == "" ? "empty" : SECRET`, `join("", [for c in split("", SECRET) : c])`, `yamlencode([SECRET])`, `trimspace(<<-EOT
        ${SECRET}
        EOT
      )`, `coalesce(null, SECRET)`, `try(tonumber(SECRET), SECRET)`, `templatefile("plain.tmpl", { s = SECRET })`,
}

func TestSensitiveMessagesAreNeverShown(t *testing.T) {
	t.Parallel()
	for _, telling := range tellingMessages {
		t.Run(telling, func(t *testing.T) {
			t.Parallel()
			of := func(expr string) string { return strings.ReplaceAll(telling, "SECRET", expr) }
			for place, text := range map[string]string{
				"precondition":              secretResource("precondition", "false", of("var.secret")),
				"precondition, condition":   secretResource("precondition", `var.secret == "x"`, of("var.secret")),
				"postcondition":             secretResource("postcondition", `self.name == "y"`, of("self.text")),
				"postcondition, derived":    secretResource("postcondition", `self.derived == "y"`, of("self.derived")),
				"postcondition, self":       secretResource("postcondition", `self == null`, of("jsonencode(self)")),
				"check":                     "check \"x\" {\n  assert {\n    condition = false\n    error_message = " + of("var.secret") + "\n  }\n}\n",
				"check, hosts":              "check \"x\" {\n  hosts = [host.a]\n  assert {\n    condition = target.facts.systemd\n    error_message = " + of("var.secret") + "\n  }\n}\n",
				"precondition, with facts":  secretResource("precondition", "target.facts.systemd", of("var.secret")),
				"postcondition, no secret":  secretResource("postcondition", `self.name == var.secret`, of("var.secret")),
				"postcondition, only local": secretResource("postcondition", `self.name == "y"`, of("local.object.a")),
			} {
				c, diags := loadSecret(t, text)
				list, more := c.Resources("a", map[string]*wire.Facts{"a": {}})
				if !diags.HasErrors() {
					diags = append(diags, more...)
				}
				for _, r := range list {
					if r.Postcondition == nil {
						continue
					}
					found := &thing{Name: "x", Text: canary, Derived: canary, TextMap: map[string]string{"a": "b"}}
					for _, p := range r.Postcondition(found) {
						if showsCanary(p.String()) {
							t.Errorf("%s: the secret is in the problem %s", place, p)
						}
						diags = append(diags, c.Problem(r, p))
					}
				}
				shown := printed(t, diags, c.Files())
				if showsCanary(shown) {
					t.Errorf("%s: the secret is shown:\n%s", place, shown)
				}
				if !strings.Contains(shown, "is not shown because") {
					t.Errorf("%s: nothing was hidden:\n%s", place, shown)
				}
			}
		})
	}
}

func loadSecret(t *testing.T, text string) (*Config, hcl.Diagnostics) {
	return loadText(t, `
variable "secret" {
  type      = string
  sensitive = true
}
variable "set" {
  type      = set(string)
  sensitive = true
}
variable "object" {
  type      = object({ secret = string })
  sensitive = true
}
locals {
  list   = [var.secret, "b"]
  object = { a = var.secret }
}
host "a" { address = "192.0.2.1" }
`+text, "mirrorform.hclvars", "secret = \""+canary+"\"\nset = [\""+canary+"\"]\nobject = { secret = \""+canary+"\" }\n",
		"plain.tmpl", "It is ${s}.", "t.tmpl", "${tonumber(secret)} ${secret.x} ${[secret][1]} ${{ a = 1 }[secret]}")
}

// TestSensitiveVariablesAreNeverShown has wrong values of sensitive variables, from every source.
func TestSensitiveVariablesAreNeverShown(t *testing.T) {
	t.Parallel()
	const declare = `
variable "secret" {
  type      = number
  sensitive = true
}
variable "list" {
  type      = list(number)
  sensitive = true
  default   = [1]
}
variable "checked" {
  type      = string
  sensitive = true
  default   = "x"
  validation {
    condition     = var.checked == "x" || tonumber(var.checked) > 0
    error_message = "Not ${var.checked}."
  }
  validation {
    condition     = length(var.checked) < 3
    error_message = "Not ${nonsensitive(length(var.checked))} letters."
  }
}
`
	const good = "secret = 1\n"
	for name, tc := range map[string]struct{ fleet, vars, flag, env string }{
		"file":                    {declare, "secret = \"" + canary + "\"\n", "", ""},
		"file, element":           {declare, good + "list = [1, \"" + canary + "\"]\n", "", ""},
		"file, validation":        {declare, good + "checked = \"" + canary + "\"\n", "", ""},
		"file, reference":         {declare, good + "checked = local." + canary + "\n", "", ""},
		"file, call":              {declare, good + "checked = tonumber(\"" + canary + "\")\n", "", ""},
		"file, operation":         {declare, good + "checked = -\"" + canary + "\"\n", "", ""},
		"file, unclosed string":   {declare, "secret = \"" + canary + "\n", "", ""},
		"file, unclosed list":     {declare, good + "list = [\n\"" + canary + "\"\n", "", ""},
		"file, error before":      {declare, "x = (\nsecret = \"" + canary + "\"\n", "", ""},
		"file, error after":       {declare, "secret = \"" + canary + "\" x = \"" + canary + "\"\n", "", ""},
		"file, heredoc":           {declare, "secret = <<EOT\n" + canary + "\nx = " + canary + "\nEOT\n", "", ""},
		"file, twice":             {declare, good + "secret = \"" + canary + "\"\n", "", ""},
		"file, object":            {declare, good + "list = {\n  a = \"" + canary + "\"\n  b = \"" + canary + "\"\n}\n", "", ""},
		"flag":                    {declare, "", "secret=" + canary, ""},
		"flag, expression":        {declare, good, "list=[\"" + canary + "\"]", ""},
		"flag, unclosed":          {declare, good, "list=[\"" + canary + "\"", ""},
		"flag, reference":         {declare, good, "list=[" + canary + "]", ""},
		"environment":             {declare, "", "", "secret=" + canary},
		"environment, expression": {declare, good, "", "list=[\"" + canary + "\"]"},
		"environment, not UTF-8":  {declare, good, "", "checked=\xff" + canary},
		"default":                 {strings.Replace(declare, "[1]", "[\""+canary+"\"]", 1), good, "", ""},
		"default, call":           {strings.Replace(declare, "[1]", "[tonumber(\""+canary+"\")]", 1), good, "", ""},
		"default, over lines":     {strings.Replace(declare, "[1]", "[\n\""+canary+"\"\n]", 1), good, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range map[string]string{"fleet.hcl": tc.fleet, "mirrorform.hclvars": tc.vars} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			o := Options{Dir: dir}
			if tc.flag != "" {
				o.Sources = []lang.VarSource{{Assign: tc.flag}}
			}
			if tc.env != "" {
				o.Environ = []string{lang.EnvPrefix + tc.env}
			}
			c, diags := Load(o)
			if !diags.HasErrors() {
				t.Error("no error")
			}
			if shown := printed(t, diags, c.Files()); showsCanary(shown) {
				t.Errorf("the secret is shown:\n%s", shown)
			}
			for name, f := range c.Files() {
				if showsCanary(string(f.Bytes)) {
					t.Errorf("the secret is in %s:\n%s", name, f.Bytes)
				}
			}
		})
	}
}

func TestProblemsShowNoSecrets(t *testing.T) {
	t.Parallel()
	c, diags := loadSecret(t, "resource \"thing\" \"x\" {\n  hosts = [host.a]\n  name = \"x\"\n  text = var.secret\n  text_map = { a = var.secret }\n}\n")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	list, diags := c.Resources("a", nil)
	if len(list) != 1 || diags.HasErrors() {
		t.Fatal(list, diags)
	}
	for _, p := range []engine.Problem{
		engine.Errorf("text", "the text %q is bad", canary),
		engine.Errorf("name", "the text %q is bad", canary),
		engine.Errorf("", "%s", canary),
		{Attribute: "name", Summary: "bad", Detail: "for " + canary},
	} {
		d := c.Problem(list[0], p)
		if shown := printed(t, hcl.Diagnostics{d}, c.Files()); showsCanary(shown) {
			t.Errorf("the secret is shown:\n%s", shown)
		}
	}
	if d := c.Problem(list[0], engine.Errorf("text", "the text is bad")); d.Subject.Start.Line == 0 || !strings.Contains(d.Detail, "a/thing.x") {
		t.Errorf("got %s: %s: %s", d.Subject, d.Summary, d.Detail)
	}
}
