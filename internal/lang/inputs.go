package lang

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Sources of variable values. A later source overrides an earlier one: the environment,
// mirrorform.hclvars, *.auto.hclvars in lexical order, then --var-file and --var in the order of
// the command line.
const (
	EnvPrefix   = "MIRRORFORM_VAR_"
	varsFile    = "mirrorform.hclvars"
	varsSuffix  = ".hclvars"
	autoSuffix  = ".auto.hclvars"
	fromEnviron = "<environment variable %s>"
	fromFlag    = "<value of --var %s>"
)

// Inputs are the sources of variable values.
type Inputs struct {
	// Sources are read after the files that are loaded automatically, in this order. A later one
	// overrides an earlier one.
	Sources []VarSource
	// Environ is the environment as "KEY=value". MIRRORFORM_VAR_name sets the variable name.
	Environ []string
	// AllowMissing makes a variable without a value unknown. Otherwise it is an error.
	AllowMissing bool
}

// VarSource is one source of variable values. Exactly one of its fields is set.
type VarSource struct {
	File   string // path of a *.hclvars file
	Assign string // "name=value"
}

// readInputs reads all sources and returns the values by variable.
func (vs *Variables) readInputs(in Inputs) (map[string]*given, hcl.Diagnostics) {
	values := map[string]*given{}
	var diags hcl.Diagnostics
	for _, entry := range in.Environ {
		key, text, _ := strings.Cut(entry, "=")
		name, ok := strings.CutPrefix(key, EnvPrefix)
		if v := vs.byName[name]; ok && v != nil {
			g, d := vs.fromText(v, text, fmt.Sprintf(fromEnviron, key), "the environment variable "+key)
			values[name] = g
			diags = append(diags, d...)
		}
	}
	files, err := configFiles(vs.eval.Reader.Dir, varsSuffix)
	if err != nil {
		diags = append(diags, ErrorNowhere("Directory cannot be read", "%s", err))
	}
	for _, automatic := range []func(name string) bool{
		func(name string) bool { return name == varsFile },
		func(name string) bool { return strings.HasSuffix(name, autoSuffix) },
	} {
		for _, path := range files {
			if automatic(filepath.Base(path)) {
				diags = append(diags, vs.readVarFile(path, values)...)
			}
		}
	}
	for _, s := range in.Sources {
		if s.File != "" {
			diags = append(diags, vs.readVarFile(s.File, values)...)
		} else {
			diags = append(diags, vs.readAssignment(s.Assign, values)...)
		}
	}
	return values, diags
}

// readVarFile reads a *.hclvars file into values.
func (vs *Variables) readVarFile(path string, values map[string]*given) hcl.Diagnostics {
	src, err := vs.eval.Reader.readGiven(path, MaxSource)
	if err != nil {
		vs.fileFailed = true
		return hcl.Diagnostics{ErrorNowhere("Variable file cannot be read", "%s", err)}
	}
	vs.eval.Sources.Set(path, src)
	for _, r := range vs.sensitiveRanges(src, path) {
		vs.eval.Sources.blank(r)
	}
	body, diags := parseConfig(src, path)
	if diags.HasErrors() {
		vs.fileFailed = true
		return diags
	}
	for _, b := range body.Blocks {
		hint := "A *.hclvars file has only arguments, as in NAME = \"value\"."
		if b.Type == "variable" && len(b.Labels) == 1 {
			hint = fmt.Sprintf("Declare variables in a *.hcl file. To set this one here, write %s = ….", b.Labels[0])
		}
		diags = append(diags, ErrorAt(b.TypeRange, "Unsupported block", "%s", hint))
	}
	for _, a := range SortedAttributes(body) {
		v := vs.byName[a.Name]
		if v == nil {
			diags = append(diags, WarningAt(a.NameRange, "Value for an undeclared variable",
				"There is no variable named %q. The value is ignored.%s",
				a.Name, DidYouMean(a.Name, SortedKeys(vs.byName))))
			continue
		}
		g := &given{rng: a.Expr.Range(), origin: Place(a.SrcRange)}
		var valueDiags hcl.Diagnostics
		g.value, valueDiags = vs.givenValue(v, a.Expr)
		diags = append(diags, valueDiags...)
		values[a.Name] = g
	}
	return diags
}

// givenValue evaluates a value, which must be constant. With errors the result is cty.NilVal.
func (vs *Variables) givenValue(v *variable, expr hclsyntax.Expression) (cty.Value, hcl.Diagnostics) {
	diags := vs.eval.Check(expr, NoNames)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	value, evalDiags := vs.eval.Constant(expr)
	if evalDiags.HasErrors() {
		if v.sensitive {
			evalDiags = hcl.Diagnostics{ErrorAt(v.header, summaryInvalidVariable,
				"The value of the variable %q cannot be evaluated: %s.", v.name, reasonHiddenForVariable)}
		}
		return cty.NilVal, evalDiags
	}
	return value, evalDiags
}

// readAssignment reads one name=value.
func (vs *Variables) readAssignment(assignment string, values map[string]*given) hcl.Diagnostics {
	name, text, found := strings.Cut(assignment, "=")
	v := vs.byName[name]
	switch {
	case !found || name == "":
		return hcl.Diagnostics{ErrorNowhere("Invalid --var option",
			"The option --var takes NAME=VALUE, but a name or an equals sign is missing.")}
	case v == nil && vs.byName[strings.TrimSpace(name)] != nil:
		name = strings.TrimSpace(name)
		return hcl.Diagnostics{ErrorNowhere("Invalid --var option",
			"Remove the space around the name %q: --var '%s=…'.", name, name)}
	case v == nil:
		return hcl.Diagnostics{ErrorNowhere("Value for an undeclared variable",
			"The option --var sets %q, but there is no such variable.%s",
			name, DidYouMean(name, SortedKeys(vs.byName)))}
	}
	g, diags := vs.fromText(v, text, fmt.Sprintf(fromFlag, name), fmt.Sprintf("the option --var %s", name))
	values[name] = g
	return diags
}

// fromText makes a value of text. For a variable of a primitive type or without a type, the text is
// the value; otherwise it is an expression. filename is the name of the text in diagnostics.
func (vs *Variables) fromText(v *variable, text, filename, origin string) (*given, hcl.Diagnostics) {
	vs.eval.Sources.Set(filename, []byte(text))
	whole := hcl.Range{Filename: filename, Start: hcl.InitialPos, End: hcl.Pos{Line: 1, Column: 1, Byte: len(text)}}
	if v.sensitive {
		vs.eval.Sources.blank(whole)
	}
	g := &given{origin: origin}
	if v.failed {
		return g, nil
	}
	if v.asText {
		if at := invalidUTF8([]byte(text)); at >= 0 {
			return g, hcl.Diagnostics{ErrorAt(v.header, summaryInvalidVariable,
				"The value of the variable %q, from %s, is not UTF-8 text.", v.name, origin)}
		}
		g.value = cty.StringVal(text)
		return g, nil
	}
	expr, diags := parseExpression([]byte(text), filename)
	if diags.HasErrors() {
		if v.sensitive {
			diags = hcl.Diagnostics{ErrorAt(v.header, summaryInvalidVariable,
				"The value of the variable %q, from %s, is not a valid expression: %s.", v.name, origin, reasonHiddenForVariable)}
		}
		return g, diags
	}
	g.rng = expr.Range()
	g.value, diags = vs.givenValue(v, expr)
	return g, diags
}

// sensitiveRanges finds the values of sensitive variables in a *.hclvars file by its tokens alone,
// so that they are hidden even if the file has syntax errors. A value reaches from its equals sign
// to the next line, outside of its brackets, that begins with a name and an equals sign.
func (vs *Variables) sensitiveRanges(src []byte, filename string) []hcl.Range {
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos)
	var ranges []hcl.Range
	var open *hcl.Range
	depth, openDepth := 0, 0
	atLineStart := true
	for i, t := range tokens {
		assigns := atLineStart && t.Type == hclsyntax.TokenIdent && i+1 < len(tokens) && tokens[i+1].Type == hclsyntax.TokenEqual
		if open != nil && (assigns && depth <= openDepth || t.Type == hclsyntax.TokenEOF) {
			open.End = t.Range.Start
			ranges, open = append(ranges, *open), nil
		}
		if v := vs.byName[string(t.Bytes)]; open == nil && assigns && v != nil && v.sensitive {
			open, openDepth = &hcl.Range{Filename: filename, Start: tokens[i+1].Range.End}, depth
		}
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			depth--
		}
		atLineStart = t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenComment && strings.HasSuffix(string(t.Bytes), "\n")
	}
	return ranges
}
