package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/template"
	"time"
)

//go:embed report.md.tmpl
var reportTemplate string

// report is what the page says.
type report struct {
	Date     string
	Machine  [][2]string // what, value
	Hosts    int
	Goals    []goal
	Sections []*section
	Helpers  []helperSize
}

// goal is a figure to reach.
type goal struct {
	What, Target, Measured string
	Reached                bool
}

// Verdict says whether the figure was reached.
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
	Ratio       float64 // to the reference; 0 for none
	Trips, More string
}

type helperSize struct{ Arch, Raw, Packed string }

// newReport describes the machine.
func newReport(ctx context.Context, b *bench) (*report, error) {
	r := &report{Date: time.Now().UTC().Format("2006-01-02"), Hosts: b.hosts}
	if _, err := os.Stat(b.program); err != nil {
		return nil, fmt.Errorf("%w: run make build", err)
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
	for _, v := range [][]string{{"mirrorform", b.program, "version"}, {"OpenSSH", "ssh", "-V"}, {"Ansible", "ansible", "--version"}} {
		out, err := exec.CommandContext(ctx, v[1], v[2:]...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", strings.Join(v[1:], " "), err, out)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		r.Machine = append(r.Machine, [2]string{v[0], line})
	}
	return r, nil
}

// field is the value of a line "NAME: value" or "NAME=value", the first of that name; "unknown" where there is none.
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
	load, err := os.ReadFile("/proc/loadavg")
	s := &section{Title: title, Reference: reference, Load: "unknown"}
	if words := strings.Fields(string(load)); err == nil && len(words) > 2 {
		s.Load = strings.Join(words[:3], " ")
	}
	r.Sections = append(r.Sections, s)
	progress("%s; load averages %s", short, s.Load)
	return s
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

// render makes the page.
func (r *report) render() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{"time": seconds, "times": times}).Parse(reportTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, r)
	return b.Bytes(), err
}

// seconds prints a duration with three digits that mean something.
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
