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
	adviceCRLF  = "Programs on Linux read the carriage return as part of the line: " +
		"a script that begins with #!/bin/sh does not start. Convert the file with `dos2unix FILE`."
)

// carriageReturns warns about the first heredoc of a file whose lines end with CRLF.
func (e *Evaluator) carriageReturns(src []byte, filename string) hcl.Diagnostics {
	if !bytes.Contains(src, []byte(crlf)) {
		return nil
	}
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos)
	for _, t := range tokens {
		if t.Type == hclsyntax.TokenOHeredoc && bytes.HasSuffix(t.Bytes, []byte(crlf)) {
			e.crlfFiles[filename] = true
			at := t.Range
			at.End = at.Start // the token itself ends on the next line
			at.End.Byte, at.End.Column = at.Start.Byte+2, at.Start.Column+2
			return hcl.Diagnostics{WarningAt(at, summaryCRLF,
				"The lines of this file, including its heredocs, end with a carriage return and a newline. %s", adviceCRLF)}
		}
	}
	return nil
}

// crlfArgument warns about a value for a host that has such lines, for example the content of a
// file. An expression that contains \r itself wants them, so it gets no warning.
func (e *Evaluator) crlfArgument(expr hclsyntax.Expression, v cty.Value) hcl.Diagnostics {
	found := false
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) { // the function returns no error
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
	return hcl.Diagnostics{WarningAt(r, summaryCRLF,
		"The value has lines that end with a carriage return and a newline. %s", adviceCRLF)}
}

// CRLFContent warns about such lines in a text file that is copied to a host.
func CRLFContent(content []byte, at hcl.Range) hcl.Diagnostics {
	if !bytes.Contains(content, []byte(crlf)) || !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return nil
	}
	return hcl.Diagnostics{WarningAt(at, summaryCRLF,
		"The file has lines that end with a carriage return and a newline. %s", adviceCRLF)}
}
