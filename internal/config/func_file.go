package config

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// fileFunctions are those that read files or deal with their names.
func (c *Config) fileFunctions() map[string]function.Function {
	of := func(encode func(content []byte) (string, error)) function.Function {
		return textFunction(func(a []string) (string, error) {
			path, err := expandPath(a[0], c.dir)
			if err != nil {
				return "", err
			}
			content, err := c.read(path, maxLocalFile)
			if err != nil {
				return "", err
			}
			return encode(content)
		}, "path")
	}
	plain := func(encode func(content []byte) string) function.Function {
		return of(func(content []byte) (string, error) { return encode(content), nil })
	}
	return map[string]function.Function{
		"abspath":          textFunction(func(a []string) (string, error) { return expandPath(filepath.Clean(a[0]), c.dir) }, "path"),
		"basename":         textFunction(func(a []string) (string, error) { return filepath.Base(a[0]), nil }, "path"),
		"dirname":          textFunction(func(a []string) (string, error) { return filepath.Dir(a[0]), nil }, "path"),
		"pathexpand":       textFunction(expandHome, "path"),
		"fileset":          textTo(cty.Set(cty.String), c.fileSet, "path", "pattern"),
		"fileexists":       textTo(cty.Bool, c.fileExists, "path"),
		"file":             of(asText),
		"filebase64":       plain(base64.StdEncoding.EncodeToString),
		"filebase64sha256": plain(func(b []byte) string { return digest(sha256.New, base64.StdEncoding.EncodeToString, b) }),
		"filebase64sha512": plain(func(b []byte) string { return digest(sha512.New, base64.StdEncoding.EncodeToString, b) }),
		"filemd5":          plain(func(b []byte) string { return digest(md5.New, hex.EncodeToString, b) }),
		"filesha1":         plain(func(b []byte) string { return digest(sha1.New, hex.EncodeToString, b) }),
		"filesha256":       plain(func(b []byte) string { return digest(sha256.New, hex.EncodeToString, b) }),
		"filesha512":       plain(func(b []byte) string { return digest(sha512.New, hex.EncodeToString, b) }),
	}
}

func asText(content []byte) (string, error) {
	if at := invalidUTF8(content); at >= 0 {
		return "", fmt.Errorf("the file is not UTF-8 text; filebase64 reads any file")
	}
	return string(content), nil
}

func expandHome(a []string) (string, error) {
	if a[0] == "~" || len(a[0]) > 1 && a[0][:2] == "~/" {
		return expandPath(a[0], "")
	}
	return a[0], nil
}

func (c *Config) fileExists(a []string) (cty.Value, error) {
	path, err := expandPath(a[0], c.dir)
	if err != nil {
		return cty.NilVal, err
	}
	if err := c.mayRead(path); err != nil {
		return cty.NilVal, err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cty.False, nil
	case err != nil:
		return cty.NilVal, err
	case !info.Mode().IsRegular():
		return cty.NilVal, fmt.Errorf("%s is not a regular file", path)
	}
	return cty.True, nil
}

// template is a template file, read and parsed once.
type template struct {
	once  sync.Once
	expr  hclsyntax.Expression
	diags hcl.Diagnostics
	err   error
}

// templateFunction is templatefile(path, vars). What is wrong in the template is reported with its place in the template.
func (c *Config) templateFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{param("path", cty.String), param("vars", cty.DynamicPseudoType)},
		Type:   function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[1].Type().IsObjectType() && !args[1].Type().IsMapType() {
				return cty.NilVal, function.NewArgErrorf(1, "it must be a map or an object")
			}
			t := c.template(args[0].AsString())
			if t.err != nil {
				return cty.NilVal, function.NewArgError(0, t.err)
			}
			if t.diags.HasErrors() {
				return cty.NilVal, &templateError{t.diags}
			}
			return c.render(t, args[1])
		},
	})
}

// templateName is what diagnostics call a template that is a value.
const templateName = "template"

// templateStringFunction is templatestring(template, vars), where the template is a value, such as
// what a file holds.
func (c *Config) templateStringFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{param("template", cty.String), param("vars", cty.DynamicPseudoType)},
		Type:   function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[1].Type().IsObjectType() && !args[1].Type().IsMapType() {
				return cty.NilVal, function.NewArgErrorf(1, "it must be a map or an object")
			}
			t := &template{}
			t.parse(c, []byte(args[0].AsString()), templateName)
			if t.diags.HasErrors() {
				return cty.NilVal, inTemplate(t.diags[0])
			}
			v, err := c.render(t, args[1])
			if inner := (*templateError)(nil); errors.As(err, &inner) {
				err = inTemplate(inner.diags[0])
			}
			return v, err
		},
	})
}

// inTemplate is an error in a template that stands in no file.
func inTemplate(d *hcl.Diagnostic) error {
	return function.NewArgErrorf(0, "in its line %d: %s: %s", d.Subject.Start.Line, lowerFirst(d.Summary), lowerFirst(d.Detail))
}

func (c *Config) template(name string) *template {
	path, err := expandPath(name, c.dir)
	if err != nil {
		return &template{err: err}
	}
	c.filesMu.Lock()
	t := c.templates[path]
	if t == nil {
		t = &template{}
		c.templates[path] = t
	}
	c.filesMu.Unlock()
	t.once.Do(func() { t.read(c, path) })
	return t
}

func (t *template) read(c *Config, path string) {
	src, err := c.read(path, maxSource)
	if err != nil {
		t.err = err
		return
	}
	shown := path
	if rel, err := filepath.Rel(c.dir, path); err == nil && filepath.IsLocal(rel) {
		shown = filepath.Join(c.dir, rel)
	}
	c.setFile(shown, src)
	t.parse(c, src, shown)
}

// parse parses a template and checks what it calls. A template can use no other templates.
func (t *template) parse(c *Config, src []byte, name string) {
	if t.expr, t.diags = parseTemplate(src, name); t.diags.HasErrors() {
		return
	}
	functions := map[string]function.Function{}
	for name, f := range c.functions {
		if name != "templatefile" && name != "templatestring" {
			functions[name] = f
		}
	}
	t.diags = (&Config{functions: functions}).checkCalls(t.expr)
	instrument(t.expr)
}

// render evaluates a template with the variables given, and no others.
func (c *Config) render(t *template, vars cty.Value) (cty.Value, error) {
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{}, Functions: c.functions}
	for it := vars.ElementIterator(); it.Next(); {
		key, v := it.Element()
		if !hclsyntax.ValidIdentifier(key.AsString()) {
			return cty.NilVal, function.NewArgErrorf(1, "%q cannot be the name of a variable in a template", key.AsString())
		}
		ctx.Variables[key.AsString()] = v
	}
	v, diags := c.eval(t.expr, ctx)
	if diags.HasErrors() {
		return cty.NilVal, &templateError{diags}
	}
	return v, nil
}
