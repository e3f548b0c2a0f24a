package report

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Where the rules are described, and the schema that SARIF conforms to.
const (
	homePage  = "https://github.com/mirrorform/mirrorform"
	rulesPage = homePage + "/blob/main/docs/lint.md"
	schema    = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

// The objects of SARIF 2.1.0 (OASIS Standard, errata 01) that are used, under their names there.
type (
	log struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []run  `json:"runs"`
	}
	run struct {
		Tool       tool     `json:"tool"`
		ColumnKind string   `json:"columnKind"`
		Results    []result `json:"results"`
	}
	tool struct {
		Driver driver `json:"driver"`
	}
	driver struct {
		Name           string `json:"name"`
		Version        string `json:"version,omitempty"`
		InformationURI string `json:"informationUri"`
		Rules          []rule `json:"rules"`
	}
	rule struct {
		ID                   string        `json:"id"`
		ShortDescription     message       `json:"shortDescription"`
		FullDescription      message       `json:"fullDescription"`
		HelpURI              string        `json:"helpUri"`
		DefaultConfiguration configuration `json:"defaultConfiguration"`
	}
	configuration struct {
		Enabled bool   `json:"enabled"`
		Level   string `json:"level"`
	}
	message struct {
		Text string `json:"text"`
	}
	result struct {
		RuleID    string     `json:"ruleId"`
		RuleIndex int        `json:"ruleIndex"`
		Level     string     `json:"level"`
		Message   message    `json:"message"`
		Locations []location `json:"locations"`
		Fixes     []sarifFix `json:"fixes,omitempty"`
	}
	location struct {
		PhysicalLocation physicalLocation `json:"physicalLocation"`
	}
	physicalLocation struct {
		ArtifactLocation artifactLocation `json:"artifactLocation"`
		Region           region           `json:"region"`
	}
	artifactLocation struct {
		URI string `json:"uri"`
	}
	region struct {
		StartLine   int  `json:"startLine"`
		StartColumn int  `json:"startColumn"`
		EndLine     int  `json:"endLine"`
		EndColumn   int  `json:"endColumn"`
		ByteOffset  *int `json:"byteOffset,omitempty"`
		ByteLength  *int `json:"byteLength,omitempty"`
	}
	sarifFix struct {
		Description     message          `json:"description"`
		ArtifactChanges []artifactChange `json:"artifactChanges"`
	}
	artifactChange struct {
		ArtifactLocation artifactLocation `json:"artifactLocation"`
		Replacements     []replacement    `json:"replacements"`
	}
	replacement struct {
		DeletedRegion   region  `json:"deletedRegion"`
		InsertedContent message `json:"insertedContent"`
	}
)

// SARIF renders findings as a log of the Static Analysis Results Interchange Format 2.1.0, without a final newline. version is that of
// mirrorform. Relative file names become relative URIs, which their reader resolves.
func SARIF(findings []mirrorsd.Finding, version string) ([]byte, error) {
	r := run{
		Tool:       tool{driver{Name: "mirrorform lint", Version: version, InformationURI: homePage, Rules: []rule{}}},
		ColumnKind: "unicodeCodePoints",
		Results:    []result{},
	}
	var names []string
	for _, known := range mirrorsd.Rules() {
		names = append(names, known.Name)
		r.Tool.Driver.Rules = append(r.Tool.Driver.Rules, rule{
			ID:                   known.Name,
			ShortDescription:     message{known.Summary + "."},
			FullDescription:      message{known.Summary + ". " + known.Detail},
			HelpURI:              rulesPage + "#" + known.Name,
			DefaultConfiguration: configuration{!known.Optional, string(known.Severity)},
		})
	}
	for _, f := range findings {
		file := artifactLocation{uri(f.File)}
		res := result{
			RuleID: f.Rule, RuleIndex: slices.Index(names, f.Rule), Level: string(f.Severity), Message: message{sarifText(f.Message)},
			Locations: []location{{physicalLocation{file, between(f.Start, f.End)}}},
		}
		if f.Fix != nil {
			change := artifactChange{ArtifactLocation: file}
			for _, e := range f.Fix.Edits {
				deleted := between(e.Start, e.End)
				length := e.End.Byte - e.Start.Byte
				deleted.ByteOffset, deleted.ByteLength = &e.Start.Byte, &length
				change.Replacements = append(change.Replacements, replacement{deleted, message{e.Text}})
			}
			res.Fixes = []sarifFix{{message{sarifText(f.Fix.Description)}, []artifactChange{change}}}
		}
		r.Results = append(r.Results, res)
	}
	return encode(log{schema, "2.1.0", []run{r}})
}

// sarifText doubles braces, which stand for arguments otherwise: SARIF 2.1.0, section 3.11.5.
func sarifText(s string) string {
	return strings.NewReplacer("{", "{{", "}", "}}").Replace(s)
}

func between(start, end mirrorsd.Position) region {
	return region{StartLine: start.Line, StartColumn: start.Column, EndLine: end.Line, EndColumn: end.Column}
}

// uri is a file name as a URI reference (RFC 3986, RFC 8089).
func uri(name string) string {
	u := url.URL{Path: filepath.ToSlash(name)}
	if filepath.IsAbs(name) {
		u.Scheme = "file"
	}
	return u.String()
}
