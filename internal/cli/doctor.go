package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/doctor"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// doctorOptions are the options of doctor.
type doctorOptions struct {
	hostFlags
	asJSON bool
}

func newDoctorCommand(g *global) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor [HOST...]",
		Short: "Check whether hosts can become their mirrors",
		Long: `Look at all hosts, or at the named ones, before their first plan: names,
for_each blocks or globs. Like plan, doctor changes nothing on a host but for
its helper.

On the host: the login and root, the system and its package manager, the space
where the trees go, who listens on the ports that the mirrors serve, firewalls,
SELinux, and the clock. From here: what the names of the mirrors resolve to,
over IPv4 and IPv6, and whether the ports answer. Where this machine is behind a
firewall of its own, or the names are not public yet, it says so as well.

A fault keeps a mirror from being made, or clients from using it; a warning may.
Both have a line that says what to do.

Exit status: 0 if there is no fault, 1 if a host could not be looked at, 2 if
there are faults.`,
		Example: `mirrorform doctor
mirrorform doctor fra1

# For a script: a line for each finding
mirrorform doctor --json | jq '.hosts[].findings[].text'`,
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runDoctor(cmd.Context(), g, w, o, args) })
		},
	}
	o.add(g, cmd)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the findings as JSON")
	_ = cmd.Flags().MarkHidden("target")
	return cmd
}

func runDoctor(ctx context.Context, g *global, w *observer, o doctorOptions, names []string) error {
	if len(o.target) > 0 {
		return errors.New("doctor takes no --target: name the hosts instead")
	}
	r, err := run.New(o.options(g, w, "", names...), w)
	if err != nil {
		return err
	}
	defer r.Close()
	hosts := slices.DeleteFunc(slices.Clone(r.Hosts), func(h engine.Host) bool { return h.Last })
	if len(hosts) == 0 {
		return errors.New("no hosts are selected: declare one with a host block, or write one with: mirrorform init --host ADDRESS")
	}
	list := r.Diagnose(ctx, hosts)
	if ctx.Err() != nil {
		return errors.New("interrupted before all hosts were looked at")
	}
	if err := printDiagnoses(g, list, o.asJSON); err != nil {
		return err
	}
	switch {
	case slices.ContainsFunc(list, func(d run.Diagnosis) bool { return !d.Reached }):
		return errReported
	case slices.ContainsFunc(list, func(d run.Diagnosis) bool { return countLevel(d.Findings, doctor.Fault) > 0 }):
		return errDifferences
	}
	return nil
}

func countLevel(list []doctor.Finding, level doctor.Level) (n int) {
	for _, f := range list {
		if f.Level == level {
			n++
		}
	}
	return n
}

// diagnosisFormat is the format version of doctor --json.
const diagnosisFormat = 1

type diagnosesJSON struct {
	FormatVersion int             `json:"format_version"`
	Hosts         []diagnosisJSON `json:"hosts"`
}

type diagnosisJSON struct {
	Name      string           `json:"name"`
	Reachable bool             `json:"reachable"`
	Findings  []doctor.Finding `json:"findings"`
}

func printDiagnoses(g *global, list []run.Diagnosis, asJSON bool) error {
	if asJSON {
		out := diagnosesJSON{FormatVersion: diagnosisFormat}
		for _, d := range list {
			out.Hosts = append(out.Hosts, diagnosisJSON{d.Host, d.Reached, d.Findings})
		}
		text, err := json.MarshalIndent(out, "", "  ")
		if err == nil {
			g.print("%s\n", text)
		}
		return err
	}
	for i, d := range list {
		if i > 0 {
			g.print("\n")
		}
		g.ui.Lines(diagnosisLines(&d))
	}
	return nil
}

// diagnosisLines has a line for each finding, with what to do about it below.
func diagnosisLines(d *run.Diagnosis) []ui.Line {
	marks := map[doctor.Level]ui.Mark{doctor.OK: ui.Good, doctor.Note: ui.Faint, doctor.Warning: ui.Caution, doctor.Fault: ui.Bad}
	title := d.Host
	if d.Address != "" && d.Address != d.Host {
		title += " (" + d.Address + ")"
	}
	lines := []ui.Line{{Text: title + ": " + verdict(d.Findings), Mark: ui.Title}}
	for _, f := range d.Findings {
		lines = append(lines, ui.Line{Label: fmt.Sprintf("  %-9s%-9s", f.Level, f.Check), LabelMark: marks[f.Level], Text: f.Text})
		if f.Fix != "" {
			lines = append(lines, ui.Line{Label: strings.Repeat(" ", 20) + "→ ", Text: f.Fix})
		}
	}
	return lines
}

func verdict(list []doctor.Finding) string {
	var parts []string
	for _, l := range []doctor.Level{doctor.Fault, doctor.Warning} {
		switch n := countLevel(list, l); n {
		case 0:
		case 1:
			parts = append(parts, "1 "+string(l))
		default:
			parts = append(parts, fmt.Sprintf("%d %ss", n, l))
		}
	}
	if len(parts) == 0 {
		return "well"
	}
	return strings.Join(parts, ", ")
}
