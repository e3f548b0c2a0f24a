package report

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// The elements and attributes that all CI systems support: those of Jenkins's junit-10.xsd, and no
// others.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Time     string       `xml:"time,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr,omitempty"` // UTC, without a zone
		Hostname  string      `xml:"hostname,attr,omitempty"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string       `xml:"classname,attr"`
		Name    string       `xml:"name,attr"`
		Time    string       `xml:"time,attr"`
		Skipped *junitReason `xml:"skipped"`
		Error   *junitReason `xml:"error"`
		Failure *junitReason `xml:"failure"`
		Out     string       `xml:"system-out,omitempty"`
	}
	junitReason struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit renders a result as JUnit XML: a test suite for each host, with a test case "host" and one
// for each resource. "host" is an error if the host is unreachable or has an error. A drifted
// resource is a failure, a resource with a failed step an error, and one that an apply did not
// change as planned is skipped. Problems of the configuration, and each mirror of a verify, have
// their own suites.
func JUnit(r *Result, _ Options) ([]byte, error) {
	doc := junitSuites{Name: "mirrorform " + r.title(), Time: seconds(r.End.Sub(r.Start).Seconds())}
	if s := r.junitConfiguration(); len(s.Cases) > 0 {
		doc.Suites = append(doc.Suites, s)
	}
	for i := range r.Hosts {
		doc.Suites = append(doc.Suites, r.Hosts[i].junit())
	}
	if r.Status != nil {
		for i := range r.Status.Hosts {
			doc.Suites = append(doc.Suites, r.Status.Hosts[i].junit())
		}
	}
	if r.Verify != nil {
		for _, m := range r.Verify.Mirrors {
			doc.Suites = append(doc.Suites, junitMirror(m))
		}
	}
	for i := range doc.Suites {
		s := &doc.Suites[i]
		s.count()
		if !r.Start.IsZero() {
			s.Timestamp = r.Start.UTC().Format("2006-01-02T15:04:05")
		}
		doc.Tests += s.Tests
		doc.Failures += s.Failures
		doc.Errors += s.Errors
	}
	text, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode as JUnit XML: %w", err)
	}
	return append([]byte(xml.Header), append(text, '\n')...), nil
}

func (s *junitSuite) count() {
	s.Tests = len(s.Cases)
	if s.Time == "" {
		s.Time = seconds(0)
	}
	for i := range s.Cases {
		c := &s.Cases[i]
		if c.Time == "" {
			c.Time = seconds(0)
		}
		switch {
		case c.Error != nil:
			s.Errors++
		case c.Failure != nil:
			s.Failures++
		case c.Skipped != nil:
			s.Skipped++
		}
	}
}

func seconds(s float64) string {
	return fmt.Sprintf("%.3f", max(s, 0))
}

// junitConfiguration returns the suite of the configuration's errors and of the run's error.
func (r *Result) junitConfiguration() junitSuite {
	s := junitSuite{Name: "configuration"}
	for _, p := range r.Problems {
		if p.Severity != "error" {
			continue
		}
		text := p.Summary
		if p.File != "" {
			text = fmt.Sprintf("%s\non %s line %d", text, p.File, p.Line)
		}
		s.Cases = append(s.Cases, junitCase{
			Class: "configuration", Name: plain.Escape(p.Summary),
			Error: &junitReason{"configuration", plain.Escape(p.Summary), lines(text + "\n" + p.Detail)},
		})
	}
	if r.Error != "" {
		s.Cases = append(s.Cases, junitCase{
			Class: "configuration", Name: "mirrorform " + r.title(),
			Error: &junitReason{"failed", firstLine(r.Error), lines(r.Error)},
		})
	}
	return s
}

func (h *HostResult) junit() junitSuite {
	name := plain.Escape(h.Name)
	s := junitSuite{Name: name, Hostname: plain.Escape(h.Address), Time: seconds(h.Duration)}
	texts := append(append([]string{}, h.Warnings...), h.Notes...)
	host := junitCase{Class: name, Name: "host", Time: seconds(h.Duration), Out: lines(strings.Join(texts, "\n"))}
	if h.Outcome.Bad() {
		text := "the run ended before it reached this host"
		if h.Error != nil {
			text = *h.Error
		}
		host.Error = &junitReason{string(h.Outcome), firstLine(text), lines(text)}
	}
	s.Cases = append(s.Cases, host)
	changed := map[[2]string]bool{}
	for i := range h.Changes {
		c := &h.Changes[i]
		changed[c.resource()] = true
		s.Cases = append(s.Cases, c.junit(h))
	}
	for _, res := range h.Resources {
		if !changed[res.key()] && !h.Outcome.Bad() {
			s.Cases = append(s.Cases, junitCase{Class: name, Name: plain.Escape(within(h, res.Address))})
		}
	}
	return s
}

// within returns an address without its host.
func within(h *HostResult, address string) string {
	return engine.Local(address)
}

func (c *Change) junit(h *HostResult) junitCase {
	jc := junitCase{Class: plain.Escape(h.Name), Name: plain.Escape(within(h, c.Address))}
	text := c.describe()
	if at := c.Source.place(); at != "" {
		text += "\ndeclared at " + at
	}
	if c.Diff != "" {
		text += "\n" + lines(c.Diff)
	}
	reason := &junitReason{"drift", c.describe(), text}
	switch c.Done {
	case Applied:
		jc.Out = text
	case StepFailed:
		reason.Type, jc.Error = "failed", reason
		if h.Error != nil {
			reason.Message, reason.Text = firstLine(*h.Error), lines(*h.Error)+"\n"+text
		}
	case NotApplied:
		reason.Type, jc.Skipped = "not_applied", reason
	default:
		jc.Failure = reason
	}
	return jc
}

// junit returns a suite with a test case for the host, and for each mirror one for its last sync
// and one for its rsync daemon.
func (h *HostStatus) junit() junitSuite {
	name := "status of " + plain.Escape(h.Name)
	s := junitSuite{Name: name, Cases: []junitCase{{Class: name, Name: "host"}}}
	if o := h.outcome(); o.Bad() {
		s.Cases[0].Error = &junitReason{string(o), firstLine(h.Error), lines(h.Error)}
	}
	for _, m := range h.Mirrors {
		c := junitCase{Class: name, Name: plain.Escape("last sync of " + m.Name)}
		switch {
		case m.Error != "":
			c.Error = &junitReason{"failed", firstLine(m.Error), lines(m.Error)}
		case m.SyncFailed():
			c.Failure = &junitReason{"sync", m.Result(), ""}
		}
		s.Cases = append(s.Cases, c)
		if m.Rsync != "" {
			c := junitCase{Class: name, Name: plain.Escape("rsync daemon of " + m.Name)}
			if m.Rsync == NotServed {
				c.Failure = &junitReason{"rsync", NotServed, ""}
			}
			s.Cases = append(s.Cases, c)
		}
	}
	return s
}

// junitMirror returns the suite of a mirror's verify.
func junitMirror(m *upstream.Report) junitSuite {
	name := "mirror " + plain.Escape(m.Name)
	s := junitSuite{Name: name}
	accepted := junitCase{Class: name, Name: "accepted"}
	if !m.Accepted {
		text := plain.Escape("AlmaLinux's service would set the status " + m.Status)
		accepted.Failure = &junitReason{"status", text, ""}
	}
	s.Cases = append(s.Cases, accepted)
	for _, f := range m.Findings {
		c := junitCase{Class: name, Name: plain.Escape(f.Check + ": " + f.Message)}
		text := lines(strings.Join(append([]string{f.Message, f.Advice}, f.Paths...), "\n"))
		if f.Severity == upstream.Error {
			c.Failure = &junitReason{plain.Escape(f.Check), firstLine(f.Message), text}
		} else {
			c.Out = plain.Escape(string(f.Severity)) + ": " + text
		}
		s.Cases = append(s.Cases, c)
	}
	return s
}
