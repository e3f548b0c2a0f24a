package lang

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

const (
	crlf        = "\r\n"
	summaryCRLF = "Lines end with CRLF"
	adviceCRLF  = "Programs on Linux take the carriage return for a part of the line; a script that begins with #!/bin/sh is not run. " +
		"Save the file with newlines alone, as `dos2unix` does."
)

// carriageReturns warns of the first heredoc of a file whose lines end as on Windows.
func (e *Evaluator) carriageReturns(src []byte, filename string) hcl.Diagnostics {
	if !bytes.Contains(src, []byte(crlf)) {
		return nil
	}
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos)
	for _, t := range tokens {
		if t.Type == hclsyntax.TokenOHeredoc && bytes.HasSuffix(t.Bytes, []byte(crlf)) {
			e.crlfFiles[filename] = true
			at := t.Range
			at.End = at.Start // the token ends in the next line
			at.End.Byte, at.End.Column = at.Start.Byte+2, at.Start.Column+2
			return hcl.Diagnostics{WarningAt(at, summaryCRLF, "The lines of this file, and so of its heredocs, end with a carriage return and a newline. %s", adviceCRLF)}
		}
	}
	return nil
}

// crlfArgument warns of a value with such lines that reaches a host: what a file holds, for
// instance. It is meant so where the expression itself writes \r.
func (e *Evaluator) crlfArgument(expr hclsyntax.Expression, v cty.Value) hcl.Diagnostics {
	found := false
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) { // no error is made
		found = found || IsString(v) && strings.Contains(v.AsString(), crlf)
		return !found, nil
	})
	r := expr.Range()
	if !found || e.crlfFiles[r.Filename] {
		return nil
	}
	if f := e.Sources.file(r.Filename); f != nil && r.CanSliceBytes(f.Bytes) && bytes.Contains(r.SliceBytes(f.Bytes), []byte(`\r`)) {
		return nil
	}
	return hcl.Diagnostics{WarningAt(r, summaryCRLF, "The value has lines that end with a carriage return and a newline. %s", adviceCRLF)}
}

// CRLFContent warns of such lines in a text file that becomes a file on a host.
func CRLFContent(content []byte, at hcl.Range) hcl.Diagnostics {
	if !bytes.Contains(content, []byte(crlf)) || !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return nil
	}
	return hcl.Diagnostics{WarningAt(at, summaryCRLF, "The file has lines that end with a carriage return and a newline. %s", adviceCRLF)}
}
