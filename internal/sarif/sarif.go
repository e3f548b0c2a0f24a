// Package sarif has what mirrorform uses of the Static Analysis Results Interchange Format 2.1.0 (OASIS Standard, errata 01): its objects under their
// names there.
package sarif

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// HomePage is where mirrorform is described, and below it its pages.
const HomePage = "https://github.com/mirrorform/mirrorform"

const schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// Log is a whole file, section 3.13.
type Log struct {
	Schema  string `json:"$schema"`
	Version string `json:"version"`
	Runs    []Run  `json:"runs"`
}

// Run is what one run of a tool found, section 3.14.
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

// Rule is a reportingDescriptor: what results may be about, section 3.49.
type Rule struct {
	ID                   string        `json:"id"`
	ShortDescription     Message       `json:"shortDescription"`
	FullDescription      Message       `json:"fullDescription"`
	HelpURI              string        `json:"helpUri"`
	DefaultConfiguration Configuration `json:"defaultConfiguration"`
}

// Configuration is a reportingConfiguration: whether and how a rule applies unless somebody says otherwise, section 3.50.
type Configuration struct {
	Enabled bool   `json:"enabled"`
	Level   string `json:"level"` // error, warning or note
}

// Invocation is how the tool ran, section 3.20.
type Invocation struct {
	ExecutionSuccessful bool   `json:"executionSuccessful"`
	StartTimeUTC        string `json:"startTimeUtc,omitempty"` // RFC 3339, UTC
	EndTimeUTC          string `json:"endTimeUtc,omitempty"`
}

// Message is text for people, section 3.11.
type Message struct {
	Text string `json:"text"` // as Text makes it
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

// Location is where a finding is, section 3.28.
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
	URI string `json:"uri"` // as URI makes it
}

// Region is a part of a file, section 3.30.
type Region struct {
	StartLine   int  `json:"startLine"` // from 1, as the others
	StartColumn int  `json:"startColumn,omitempty"`
	EndLine     int  `json:"endLine,omitempty"`
	EndColumn   int  `json:"endColumn,omitempty"` // exclusive
	ByteOffset  *int `json:"byteOffset,omitempty"`
	ByteLength  *int `json:"byteLength,omitempty"`
}

// Fix is a way to mend a finding, section 3.55.
type Fix struct {
	Description     Message          `json:"description"`
	ArtifactChanges []ArtifactChange `json:"artifactChanges"`
}

// ArtifactChange is what a fix changes in one file, section 3.56.
type ArtifactChange struct {
	ArtifactLocation ArtifactLocation `json:"artifactLocation"`
	Replacements     []Replacement    `json:"replacements"`
}

// Replacement replaces a part of a file, section 3.57.
type Replacement struct {
	DeletedRegion   Region  `json:"deletedRegion"`
	InsertedContent Message `json:"insertedContent"` // its text is content as it is
}

// NewRun is a run of a tool without results; version is that of mirrorform.
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

// Text doubles braces, which stand for arguments otherwise (section 3.11.5).
func Text(s string) string {
	return strings.NewReplacer("{", "{{", "}", "}}").Replace(s)
}

// URI is a file name as a URI reference (RFC 3986, RFC 8089). Relative names become relative references, which their reader resolves.
func URI(name string) string {
	u := url.URL{Path: filepath.ToSlash(name)}
	if filepath.IsAbs(name) {
		u.Scheme = "file"
	}
	return u.String()
}
