package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Where values of variables come from. A later source overrides an earlier one: the environment, mirrorform.hclvars, *.auto.hclvars in lexical order,
// then what the command line gives, in its order.
const (
	envPrefix   = "MIRRORFORM_VAR_"
	varsFile    = "mirrorform.hclvars"
	varsSuffix  = ".hclvars"
	autoSuffix  = ".auto.hclvars"
	fromEnviron = "<environment variable %s>"
	fromFlag    = "<value of --var %s>"
)

// readSources reads all values given.
func (c *Config) readSources(o Options) (map[string]*given, hcl.Diagnostics) {
	values := map[string]*given{}
	var diags hcl.Diagnostics
	for _, entry := range o.Environ {
		key, text, _ := strings.Cut(entry, "=")
		name, ok := strings.CutPrefix(key, envPrefix)
		if v := c.variables[name]; ok && v != nil {
			g, d := c.fromText(v, text, fmt.Sprintf(fromEnviron, key), "the environment variable "+key)
			values[name] = g
			diags = append(diags, d...)
		}
	}
	files, err := configFiles(c.dir, varsSuffix)
	if err != nil {
		diags = append(diags, errorNowhere("Directory cannot be read", "%s", err))
	}
	for _, automatic := range []func(name string) bool{
		func(name string) bool { return name == varsFile },
		func(name string) bool { return strings.HasSuffix(name, autoSuffix) },
	} {
		for _, path := range files {
			if automatic(filepath.Base(path)) {
				diags = append(diags, c.readVarFile(path, values)...)
			}
		}
	}
	for _, s := range o.Sources {
		if s.File != "" {
			diags = append(diags, c.readVarFile(s.File, values)...)
		} else {
			diags = append(diags, c.readAssignment(s.Assign, values)...)
		}
	}
	return values, diags
}

// readVarFile reads a file of values into values.
func (c *Config) readVarFile(path string, values map[string]*given) hcl.Diagnostics {
	src, err := c.readGiven(path, maxSource)
	if err != nil {
		c.varFileFailed = true
		return hcl.Diagnostics{errorNowhere("Variable file cannot be read", "%s", err)}
	}
	c.setFile(path, src)
	for _, r := range c.sensitiveRanges(src, path) {
		c.blank(r)
	}
	body, diags := parseConfig(src, path)
	if diags.HasErrors() {
		c.varFileFailed = true
		return diags
	}
	for _, b := range body.Blocks {
		hint := "A file with values of variables has arguments only, as in NAME = \"value\"."
		if b.Type == "variable" && len(b.Labels) == 1 {
			hint = fmt.Sprintf("A variable is declared in a *.hcl file. To set it, write %s = ….", b.Labels[0])
		}
		diags = append(diags, errorAt(b.TypeRange, "Unsupported block", "%s", hint))
	}
	for _, a := range sortedAttributes(body) {
		v := c.variables[a.Name]
		if v == nil {
			diags = append(diags, warningAt(a.NameRange, "Value for an undeclared variable", "There is no variable named %q, so the value is not used.%s",
				a.Name, didYouMean(a.Name, sortedKeys(c.variables))))
			continue
		}
		g := &given{rng: a.Expr.Range(), origin: place(a.SrcRange)}
		var valueDiags hcl.Diagnostics
		g.value, valueDiags = c.givenValue(v, a.Expr)
		diags = append(diags, valueDiags...)
		values[a.Name] = g
	}
	return diags
}

// givenValue evaluates a value, which must be constant. With errors it is cty.NilVal.
func (c *Config) givenValue(v *variable, expr hclsyntax.Expression) (cty.Value, hcl.Diagnostics) {
	diags := c.check(expr, scopeConstant)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	value, evalDiags := c.constant(expr)
	if evalDiags.HasErrors() {
		if v.sensitive {
			evalDiags = hcl.Diagnostics{errorAt(v.header, "Unsuitable value for a variable", "The value of the variable %q cannot be evaluated: %s.", v.name, reasonHiddenForVariable)}
		}
		return cty.NilVal, evalDiags
	}
	return value, evalDiags
}

// readAssignment reads one name=value.
func (c *Config) readAssignment(assignment string, values map[string]*given) hcl.Diagnostics {
	name, text, found := strings.Cut(assignment, "=")
	v := c.variables[name]
	switch {
	case !found || name == "":
		return hcl.Diagnostics{errorNowhere("Invalid --var option", "An option --var takes NAME=VALUE; there is no name or no equals sign in the one given.")}
	case v == nil && c.variables[strings.TrimSpace(name)] != nil:
		return hcl.Diagnostics{errorNowhere("Invalid --var option", "There must be no space between the name %q and the equals sign.", strings.TrimSpace(name))}
	case v == nil:
		return hcl.Diagnostics{errorNowhere("Value for an undeclared variable", "The option --var sets %q, but there is no variable of that name.%s",
			name, didYouMean(name, sortedKeys(c.variables)))}
	}
	g, diags := c.fromText(v, text, fmt.Sprintf(fromFlag, name), fmt.Sprintf("the option --var %s", name))
	values[name] = g
	return diags
}

// fromText makes a value of text: as it is for a variable of a primitive type or of none, as an expression otherwise.
// filename is the name by which diagnostics refer to the text.
func (c *Config) fromText(v *variable, text, filename, origin string) (*given, hcl.Diagnostics) {
	c.setFile(filename, []byte(text))
	whole := hcl.Range{Filename: filename, Start: hcl.InitialPos, End: hcl.Pos{Line: 1, Column: 1, Byte: len(text)}}
	if v.sensitive {
		c.blank(whole)
	}
	g := &given{origin: origin}
	if v.failed {
		return g, nil
	}
	if v.asText {
		if at := invalidUTF8([]byte(text)); at >= 0 {
			return g, hcl.Diagnostics{errorAt(v.header, "Unsuitable value for a variable", "The value of the variable %q, from %s, is not UTF-8 text.", v.name, origin)}
		}
		g.value = cty.StringVal(text)
		return g, nil
	}
	expr, diags := parseExpression([]byte(text), filename)
	if diags.HasErrors() {
		if v.sensitive {
			diags = hcl.Diagnostics{errorAt(v.header, "Unsuitable value for a variable", "The value of the variable %q, from %s, is not a valid expression: %s.", v.name, origin, reasonHiddenForVariable)}
		}
		return g, diags
	}
	g.rng = expr.Range()
	g.value, diags = c.givenValue(v, expr)
	return g, diags
}

// sensitiveRanges finds the values of sensitive variables in a file of values by its tokens alone, so that even a file with syntax errors
// shows none: from the equals sign to the next line that begins with a name and an equals sign, outside of the value's brackets.
func (c *Config) sensitiveRanges(src []byte, filename string) []hcl.Range {
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
		if v := c.variables[string(t.Bytes)]; open == nil && assigns && v != nil && v.sensitive {
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
