package lang

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const (
	// MaxSource is the largest size of a configuration, variable or template file, in bytes.
	MaxSource = 1 << 20
	// MaxLocalFile is the largest size of a file for functions and `source` arguments, in bytes.
	MaxLocalFile = 16 << 20
)

// readFile reads a regular file of at most limit bytes. Its errors name the file.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("file %s not found", path)
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // safe: nothing was written
	src, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(src)) > limit {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, limit>>20)
	}
	return src, nil
}

// parseConfig parses a file in HCL's native syntax. The body is never nil; with errors it is the
// part that could be parsed. CheckSource rejects sources that would crash the parser.
func parseConfig(src []byte, filename string) (*hclsyntax.Body, hcl.Diagnostics) {
	empty := &hclsyntax.Body{SrcRange: hcl.Range{Filename: filename, Start: hcl.InitialPos, End: hcl.InitialPos}}
	if diags := CheckSource(src, filename, hclsyntax.LexConfig); diags.HasErrors() {
		return empty, diags
	}
	file, diags := hclsyntax.ParseConfig(src, filename, hcl.InitialPos)
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok || body == nil {
		return empty, diags
	}
	return body, withPlace(diags, empty.SrcRange)
}

// parseExpression parses one expression.
func parseExpression(src []byte, filename string) (hclsyntax.Expression, hcl.Diagnostics) {
	if diags := CheckSource(src, filename, hclsyntax.LexExpression); diags.HasErrors() {
		return nil, diags
	}
	return hclsyntax.ParseExpression(src, filename, hcl.InitialPos)
}

// parseTemplate parses a template file.
func parseTemplate(src []byte, filename string) (hclsyntax.Expression, hcl.Diagnostics) {
	if diags := CheckSource(src, filename, hclsyntax.LexTemplate); diags.HasErrors() {
		return nil, diags
	}
	return hclsyntax.ParseTemplate(src, filename, hcl.InitialPos)
}

type lexer func(src []byte, filename string, start hcl.Pos) (hclsyntax.Tokens, hcl.Diagnostics)

// CheckSource rejects sources that the parser cannot handle: those that are too long, are not UTF-8
// or are nested too deeply.
func CheckSource(src []byte, filename string, lex lexer) hcl.Diagnostics {
	start := hcl.Range{Filename: filename, Start: hcl.InitialPos, End: hcl.InitialPos}
	if len(src) > MaxSource {
		return hcl.Diagnostics{ErrorAt(start, "File too large",
			"The file has %d bytes. The limit is %d MiB.", len(src), MaxSource>>20)}
	}
	if at := invalidUTF8(src); at >= 0 {
		return hcl.Diagnostics{ErrorAt(rangeOfByte(src, filename, at), "Not UTF-8 text",
			"The file must be UTF-8 text, but here it has the byte 0x%02x.", src[at])}
	}
	tokens, _ := lex(src, filename, hcl.InitialPos) // the parser lexes again and reports errors
	if d := checkNesting(tokens); d != nil {
		return hcl.Diagnostics{d}
	}
	return nil
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(src []byte) int {
	if utf8.Valid(src) {
		return -1
	}
	for at := 0; at < len(src); {
		r, size := utf8.DecodeRune(src[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
	return -1
}

// rangeOfByte returns the range of one byte of a file. Columns count runes.
func rangeOfByte(src []byte, filename string, at int) hcl.Range {
	lineStart := bytes.LastIndexByte(src[:at], '\n') + 1
	start := hcl.Pos{
		Line:   bytes.Count(src[:at], []byte{'\n'}) + 1,
		Column: utf8.RuneCount(src[lineStart:at]) + 1,
		Byte:   at,
	}
	end := start
	end.Byte, end.Column = at+1, start.Column+1
	return hcl.Range{Filename: filename, Start: start, End: end}
}

// withPlace sets the position of diagnostics that have none.
func withPlace(diags hcl.Diagnostics, r hcl.Range) hcl.Diagnostics {
	for _, d := range diags {
		if d.Subject == nil {
			d.Subject = &r
		}
	}
	return diags
}
