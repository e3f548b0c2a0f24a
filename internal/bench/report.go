package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/template"
	"time"
)

//go:embed report.md.tmpl
var reportTemplate string

// report has the content of the page.
type report struct {
	Date     string
	Machine  [][2]string // what, value
	Hosts    int
	Goals    []goal
	Sections []*section
	Helpers  []helperSize
	Scale    *scaleSection // nil if not measured
}

//go:embed scale.md.tmpl
var scaleTemplate string

// scaleSection is the table of simulated hosts.
type scaleSection struct {
	Date, Version, Load string
	AnsibleLoad         string // load averages when Ansible started; "" if it was skipped
	Rounds              int
	Rows                []*scaleRow
	Goals               []goal
}

// goal is a target value.
type goal struct {
	What, Target, Measured string
	Reached                bool
}

// Verdict reports whether the target was reached.
func (g goal) Verdict() string {
	if g.Reached {
		return "reached"
	}
	return "**not reached**"
}

// section is a table of contenders.
type section struct {
	Title, Reference string
	Load             string // load averages before it began
	Trips            bool   // the table has columns of round trips
	Rows             []*row
	Note             string
}

// row is one contender.
type row struct {
	Series      *series
	Ratio       float64 // to the reference; 0 without a reference
	Trips, More string
}

type helperSize struct{ Arch, Raw, Packed string }

// newReport returns a report with a description of the machine.
func newReport(ctx context.Context, b *bench) (*report, error) {
	r := &report{Date: time.Now().UTC().Format("2006-01-02"), Hosts: b.hosts}
	if _, err := os.Stat(b.program); err != nil {
		return nil, fmt.Errorf("%w; run make build", err)
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return nil, err
	}
	r.Machine = [][2]string{
		{"Processor", fmt.Sprintf("%s, %d cores", field("/proc/cpuinfo", "model name"), runtime.NumCPU())},
		{"Memory", field("/proc/meminfo", "MemTotal")},
		{"Kernel", strings.TrimSpace(string(kernel))},
		{"System", strings.Trim(field("/etc/os-release", "PRETTY_NAME"), `"`)},
	}
	for _, v := range [][]string{{"mirrorform", b.program, "version"}, {"OpenSSH", "ssh", "-V"},
		{"Ansible", "ansible", "--version"}} {
		out, err := exec.CommandContext(ctx, v[1], v[2:]...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", strings.Join(v[1:], " "), err, out)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		r.Machine = append(r.Machine, [2]string{v[0], line})
	}
	return r, nil
}

// field returns the value of the first line "NAME: value" or "NAME=value" with this name, or
// "unknown".
func field(file, name string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			key, value, _ = strings.Cut(line, "=")
		}
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// begin begins a section.
func (r *report) begin(title, short, reference string) *section {
	s := &section{Title: title, Reference: reference, Load: loadAverages()}
	r.Sections = append(r.Sections, s)
	progress("%s; load averages %s", short, s.Load)
	return s
}

// loadAverages returns the current load averages of the machine.
func loadAverages() string {
	load, err := os.ReadFile("/proc/loadavg")
	if words := strings.Fields(string(load)); err == nil && len(words) > 2 {
		return strings.Join(words[:3], " ")
	}
	return "unknown"
}

func (r *report) beginScale(rounds int) {
	r.Scale = &scaleSection{Date: r.Date, Load: loadAverages(), Rounds: rounds}
	for _, m := range r.Machine {
		if m[0] == "mirrorform" {
			r.Scale.Version = strings.TrimPrefix(m[1], "mirrorform ")
		}
	}
	progress("Simulated hosts; load averages %s", r.Scale.Load)
}

// add adds a contender.
func (s *section) add(one *series, ratio float64) *row {
	r := &row{Series: one, Ratio: ratio}
	s.Rows = append(s.Rows, r)
	return r
}

func (r *report) goal(what, target, measured string, reached bool) {
	r.Goals = append(r.Goals, goal{what, target, measured, reached})
}

// render returns the page.
func (r *report) render() ([]byte, error) { return r.execute("report", r) }

// renderScale returns the part of the page about simulated hosts.
func (r *report) renderScale() ([]byte, error) { return r.execute("scale", r.Scale) }

func (r *report) execute(name string, data any) ([]byte, error) {
	t := template.New("").Funcs(template.FuncMap{"time": seconds, "times": times})
	for name, text := range map[string]string{"report": reportTemplate, "scale": strings.TrimSpace(scaleTemplate)} {
		if _, err := t.New(name).Parse(text); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	err := t.ExecuteTemplate(&b, name, data)
	return b.Bytes(), err
}

// replaceScale replaces the part of a page about simulated hosts.
func replaceScale(page, part []byte) ([]byte, error) {
	const end = "<!-- /scale -->"
	from := bytes.Index(page, []byte("<!-- scale:"))
	to := bytes.Index(page, []byte(end))
	if from < 0 || to < from {
		return nil, errors.New("the page has no part about simulated hosts between <!-- scale: and <!-- /scale -->; " +
			"run make bench first")
	}
	return slices.Concat(page[:from], part, page[to+len(end):]), nil
}

// seconds formats a duration with about three significant digits.
func seconds(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return milliseconds(d)
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func times(ratio float64) string { return fmt.Sprintf("%.2f ×", ratio) }

func megabytes(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }

func kilobytes(n int64) string { return fmt.Sprintf("%d KB", n/1000) }
