// Package sarif has the objects of the Static Analysis Results Interchange Format 2.1.0 (OASIS
// Standard, errata 01) that mirrorform uses. Names and section numbers are those of the standard.
package sarif

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// HomePage is the URL of mirrorform; its documentation is below it.
const HomePage = "https://github.com/mirrorform/mirrorform"

const schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// Log is a SARIF file, section 3.13.
type Log struct {
	Schema  string `json:"$schema"`
	Version string `json:"version"`
	Runs    []Run  `json:"runs"`
}

// Run is one run of a tool with its results, section 3.14.
type Run struct {
	Tool        Tool         `json:"tool"`
	ColumnKind  string       `json:"columnKind"`
	Invocations []Invocation `json:"invocations,omitempty"`
	Results     []Result     `json:"results"`
}

// Tool is the tool that ran, section 3.18.
type Tool struct {
	Driver Driver `json:"driver"`
}

// Driver is the tool's main component, section 3.19.
type Driver struct {
	Name           string `json:"name"`
	Version        string `json:"version,omitempty"`
	InformationURI string `json:"informationUri"`
	Rules          []Rule `json:"rules"`
}

// Rule is a reportingDescriptor, the rule that a result is about, section 3.49.
type Rule struct {
	ID                   string        `json:"id"`
	ShortDescription     Message       `json:"shortDescription"`
	FullDescription      Message       `json:"fullDescription"`
	HelpURI              string        `json:"helpUri"`
	DefaultConfiguration Configuration `json:"defaultConfiguration"`
}

// Configuration is a reportingConfiguration, the default level of a rule, section 3.50.
type Configuration struct {
	Enabled bool   `json:"enabled"`
	Level   string `json:"level"` // error, warning or note
}

// Invocation describes how the tool ran, section 3.20.
type Invocation struct {
	ExecutionSuccessful bool   `json:"executionSuccessful"`
	StartTimeUTC        string `json:"startTimeUtc,omitempty"` // RFC 3339, UTC
	EndTimeUTC          string `json:"endTimeUtc,omitempty"`
}

// Message is text for people, section 3.11.
type Message struct {
	Text string `json:"text"` // escaped with Text
}

// Result is one finding, section 3.27.
type Result struct {
	RuleID              string            `json:"ruleId"`
	RuleIndex           int               `json:"ruleIndex"`
	Level               string            `json:"level"`
	Message             Message           `json:"message"`
	Locations           []Location        `json:"locations,omitempty"`
	PartialFingerprints map[string]string `json:"partialFingerprints,omitempty"`
	Fixes               []Fix             `json:"fixes,omitempty"`
}

// Location is the location of a finding, section 3.28.
type Location struct {
	PhysicalLocation PhysicalLocation `json:"physicalLocation"`
}

// PhysicalLocation is a place in a file, section 3.29.
type PhysicalLocation struct {
	ArtifactLocation ArtifactLocation `json:"artifactLocation"`
	Region           Region           `json:"region"`
}

// ArtifactLocation names a file, section 3.4.
type ArtifactLocation struct {
	URI string `json:"uri"` // from the function URI
}

// Region is a part of a file, section 3.30.
type Region struct {
	StartLine   int  `json:"startLine"` // lines and columns count from 1
	StartColumn int  `json:"startColumn,omitempty"`
	EndLine     int  `json:"endLine,omitempty"`
	EndColumn   int  `json:"endColumn,omitempty"` // exclusive
	ByteOffset  *int `json:"byteOffset,omitempty"`
	ByteLength  *int `json:"byteLength,omitempty"`
}

// Fix is a way to fix a finding, section 3.55.
type Fix struct {
	Description     Message          `json:"description"`
	ArtifactChanges []ArtifactChange `json:"artifactChanges"`
}

// ArtifactChange has the changes of a fix in one file, section 3.56.
type ArtifactChange struct {
	ArtifactLocation ArtifactLocation `json:"artifactLocation"`
	Replacements     []Replacement    `json:"replacements"`
}

// Replacement replaces a part of a file, section 3.57.
type Replacement struct {
	DeletedRegion   Region  `json:"deletedRegion"`
	InsertedContent Message `json:"insertedContent"` // not escaped with Text
}

// NewRun returns a run of a tool without results. version is the version of mirrorform.
func NewRun(tool, version string) Run {
	return Run{
		Tool:       Tool{Driver{Name: tool, Version: version, InformationURI: HomePage, Rules: []Rule{}}},
		ColumnKind: "unicodeCodePoints",
		Results:    []Result{},
	}
}

// Encode renders a log with one run as JSON, without a final newline.
func Encode(r Run) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(Log{schema, "2.1.0", []Run{r}}); err != nil {
		return nil, fmt.Errorf("encode as SARIF: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// Text escapes text for a message: it doubles braces, which mark placeholders (section 3.11.5).
func Text(s string) string {
	return strings.NewReplacer("{", "{{", "}", "}}").Replace(s)
}

// URI returns a file name as a URI reference (RFC 3986, RFC 8089). Relative names become relative
// references, which the reader of the file resolves.
func URI(name string) string {
	u := url.URL{Path: filepath.ToSlash(name)}
	if filepath.IsAbs(name) {
		u.Scheme = "file"
	}
	return u.String()
}
