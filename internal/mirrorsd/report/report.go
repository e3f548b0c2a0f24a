// Package report writes the findings of mirrorsd's rules for other programs, as JSON, SARIF and
// GitHub annotations.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Format is the version of the JSON format. Additions raise the second number, all other changes
// the first.
const Format = "1.0"

type document struct {
	FormatVersion string    `json:"format_version"`
	Findings      []finding `json:"findings"`
	Summary       summary   `json:"summary"`
}

type finding struct {
	File      string            `json:"file"`
	Line      int               `json:"line"`
	Column    int               `json:"column"`
	EndLine   int               `json:"end_line"`
	EndColumn int               `json:"end_column"` // exclusive
	Key       string            `json:"key"`        // "" is the file
	Rule      string            `json:"rule"`
	Severity  mirrorsd.Severity `json:"severity"`
	Message   string            `json:"message"`
	Fix       *fix              `json:"fix"` // null if the intended value is ambiguous
}

type fix struct {
	Description string `json:"description"`
	Edits       []edit `json:"edits"`
}

type edit struct {
	Start int    `json:"start"` // offset in bytes
	End   int    `json:"end"`   // exclusive
	Text  string `json:"text"`
}

type summary struct {
	Files    int `json:"files"`
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Fixable  int `json:"fixable"`
}

// JSON renders findings and the number of checked files as one JSON object without a final newline.
func JSON(findings []mirrorsd.Finding, files int) ([]byte, error) {
	doc := document{FormatVersion: Format, Findings: []finding{}, Summary: summary{Files: files}}
	for _, f := range findings {
		if f.Severity == mirrorsd.Error {
			doc.Summary.Errors++
		} else {
			doc.Summary.Warnings++
		}
		j := finding{
			f.File, f.Start.Line, f.Start.Column, f.End.Line, f.End.Column, f.Key, f.Rule, f.Severity, f.Message, nil,
		}
		if f.Fix != nil {
			doc.Summary.Fixable++
			j.Fix = &fix{Description: f.Fix.Description}
			for _, e := range f.Fix.Edits {
				j.Fix.Edits = append(j.Fix.Edits, edit{e.Start.Byte, e.End.Byte, e.Text})
			}
		}
		doc.Findings = append(doc.Findings, j)
	}
	return encode(doc)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode findings: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// The escapes of workflow commands
// (https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions). Their
// definition is packages/core/src/command.ts of github.com/actions/toolkit.
var (
	commandData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	commandProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// GitHub renders findings as workflow commands of GitHub Actions, one per line. They annotate the
// lines of a pull request. Findings that span several lines have no columns, because GitHub rejects
// columns there.
func GitHub(findings []mirrorsd.Finding) []byte {
	var b bytes.Buffer
	for _, f := range findings {
		fmt.Fprintf(&b, "::%s file=%s,line=%d,endLine=%d", f.Severity, commandProperty.Replace(f.File), f.Start.Line,
			f.End.Line)
		if f.Start.Line == f.End.Line {
			// GitHub's end column is inclusive.
			fmt.Fprintf(&b, ",col=%d,endColumn=%d", f.Start.Column, max(f.Start.Column, f.End.Column-1))
		}
		fmt.Fprintf(&b, ",title=%s::%s\n", commandProperty.Replace("mirrorform lint: "+f.Rule),
			commandData.Replace(f.Message))
	}
	return b.Bytes()
}
