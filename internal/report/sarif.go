package report

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/sarif"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// sarifRules are the rules of a run's results.
var sarifRules = []struct{ id, level, short, full string }{
	{"drift", "warning", "A resource differs from the configuration.",
		"The resource on the host differs from the configuration. To change the host, run mirrorform apply."},
	{"not-applied", "error", "A change was not applied.",
		"An apply planned to change this resource, but the host does not have the change."},
	{"host", "error", "A host failed.", "The host had an error, was rolled back or was not started."},
	{"unreachable", "error", "A host is unreachable.", "The connection failed, so the state of the host is unknown."},
	{"configuration", "error", "The configuration has an error or a warning.",
		"The configuration could not be evaluated for all hosts, or it has a warning."},
	{"run", "error", "The command failed as a whole.", "The command ended before it was complete."},
	{"mirror", "error", "A mirror does not meet the requirements of AlmaLinux's service.",
		"mirrorform verify checked the mirror from outside."},
}

// SARIF renders a result as a log of the Static Analysis Results Interchange Format 2.1.0. A result
// about a resource is located where the configuration declares it, one about a host at the host's
// block.
func SARIF(r *Result, o Options) ([]byte, error) {
	version := r.Version
	if version == "" {
		version = o.Version
	}
	s := &sarifRun{Run: sarif.NewRun("mirrorform", plain.Escape(version))}
	for _, rule := range sarifRules {
		s.Tool.Driver.Rules = append(s.Tool.Driver.Rules, sarif.Rule{
			ID: rule.id, ShortDescription: sarif.Message{Text: rule.short}, FullDescription: sarif.Message{Text: rule.full},
			HelpURI: sarif.HomePage + "/blob/main/docs/ci.md#sarif", DefaultConfiguration: sarif.Configuration{Enabled: true, Level: rule.level},
		})
	}
	if !r.Start.IsZero() {
		s.Invocations = []sarif.Invocation{{
			ExecutionSuccessful: !r.Failed(), StartTimeUTC: r.Start.UTC().Format(time.RFC3339), EndTimeUTC: r.End.UTC().Format(time.RFC3339),
		}}
	}
	if r.Error != "" {
		s.add("run", "error", r.title(), r.Error, nil)
	}
	for _, p := range r.Problems {
		s.add("configuration", p.Severity, p.File+p.Summary+p.Detail, strings.TrimSpace(p.Summary+"\n"+p.Detail), p.location())
	}
	for i := range r.Hosts {
		s.host(&r.Hosts[i])
	}
	if r.Status != nil {
		for _, h := range r.Status.Hosts {
			if h.Error != "" {
				s.add(map[bool]string{true: "host", false: "unreachable"}[h.Reachable], "error", "status "+h.Name, h.Name+": "+h.Error, nil)
			}
		}
	}
	if r.Verify != nil {
		for _, m := range r.Verify.Mirrors {
			s.mirror(m)
		}
	}
	return withNewline(sarif.Encode(s.Run))
}

type sarifRun struct{ sarif.Run }

// add adds a result. about identifies the result across runs.
func (s *sarifRun) add(rule, level, about, text string, at []sarif.Location) {
	index := slices.IndexFunc(s.Tool.Driver.Rules, func(r sarif.Rule) bool { return r.ID == rule })
	s.Results = append(s.Results, sarif.Result{
		RuleID: rule, RuleIndex: index, Level: level, Message: sarif.Message{Text: sarif.Text(lines(text))}, Locations: at,
		PartialFingerprints: map[string]string{"primaryLocationLineHash": fmt.Sprintf("%.8x:1", sha256.Sum256([]byte(rule+"\x00"+about)))},
	})
}

func (s *sarifRun) host(h *HostResult) {
	switch {
	case h.Outcome == Unreachable && h.Error != nil:
		s.add("unreachable", "error", h.Name, h.Name+" is unreachable: "+*h.Error, h.Source.location())
	case h.Outcome.Bad() && h.Error != nil:
		s.add("host", "error", h.Name, h.Name+": "+h.Outcome.words()+": "+*h.Error, h.Source.location())
	case h.Outcome.Bad():
		s.add("host", "error", h.Name, h.Name+": "+h.Outcome.words(), h.Source.location())
	}
	for i := range h.Changes {
		c := &h.Changes[i]
		at := c.Source.location()
		if at == nil {
			at = h.Source.location()
		}
		text := c.Address + ": " + c.describe()
		switch c.Done {
		case Applied:
		case "":
			s.add("drift", "warning", c.Address, text, at)
		default:
			s.add("not-applied", "error", c.Address, text, at)
		}
	}
}

func (s *sarifRun) mirror(m *upstream.Report) {
	if !m.Accepted {
		s.add("mirror", "error", m.Name, fmt.Sprintf("%s: AlmaLinux's service would set the status "+
			"%q", m.Name, m.Status), nil)
	}
	for _, f := range m.Findings {
		text := strings.TrimSpace(fmt.Sprintf("%s: %s: %s\n%s", m.Name, f.Check, f.Message, f.Advice))
		s.add("mirror", string(f.Severity), m.Name+"\x00"+f.Check, text, nil)
	}
}

func (s *Source) location() []sarif.Location {
	if s == nil {
		return nil
	}
	return locationOf(s.File, sarif.Region{StartLine: s.Line})
}

func (p *Problem) location() []sarif.Location {
	if p.File == "" {
		return nil
	}
	return locationOf(p.File, sarif.Region{
		StartLine: p.Line, StartColumn: p.Column, EndLine: p.EndLine, EndColumn: p.EndColumn,
	})
}

func locationOf(file string, region sarif.Region) []sarif.Location {
	return []sarif.Location{{PhysicalLocation: sarif.PhysicalLocation{ArtifactLocation: sarif.ArtifactLocation{URI: sarif.URI(file)}, Region: region}}}
}
