package report

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// Prometheus renders a result in the Prometheus text exposition format 0.0.4, for the textfile
// collector of the node exporter. All metrics are gauges. Unknown values have no sample.
func Prometheus(r *Result, o Options) ([]byte, error) {
	m := metrics{}
	command := r.Command
	if command == "" {
		command = "plan"
	}
	version := r.Version
	if version == "" {
		version = o.Version
	}
	m.add("mirrorform_build_info", "The version of mirrorform that wrote this. The value is 1.", 1, "version", version)
	if !r.End.IsZero() {
		m.add("mirrorform_last_run_timestamp_seconds",
			"End of the last run of the command, as Unix time.", unix(r.End), "command", command)
		m.add("mirrorform_last_run_duration_seconds",
			"Duration of the last run of the command.", r.End.Sub(r.Start).Seconds(), "command", command)
	}
	m.add("mirrorform_last_run_success",
		"1 if the last run of the command had no error, else 0. Drift does not count as an error.",
		yes(!r.Failed()), "command", command)
	if r.Command != "verify" && r.Command != "status" || len(r.Hosts) > 0 {
		for _, outcome := range Outcomes {
			m.add("mirrorform_hosts", "Number of hosts of the last run, by outcome.",
				float64(r.Summary.Hosts[outcome]), "command", command, "outcome", string(outcome))
		}
	}
	for i := range r.Hosts {
		m.host(&r.Hosts[i], command)
	}
	if r.Verify != nil {
		for _, mirror := range r.Verify.Mirrors {
			m.mirror(mirror)
		}
	}
	if r.Status != nil {
		for i := range r.Status.Hosts {
			m.status(&r.Status.Hosts[i])
		}
	}
	return m.text(), nil
}

func (m metrics) host(h *HostResult, command string) {
	name := h.Name
	for _, outcome := range Outcomes {
		m.add("mirrorform_host_outcome",
			"Outcome of the last run of the command on the host: 1 for its outcome, 0 for the others.",
			yes(h.Outcome == outcome), "command", command, "host", name, "outcome", string(outcome))
	}
	if h.Duration > 0 {
		m.add("mirrorform_host_duration_seconds", "Duration of the last run of the command on the host.",
			h.Duration, "command", command, "host", name)
	}
	differs := h.Outcome == Drifted
	switch h.Outcome {
	case OK, Changed:
	default:
		if len(h.Changes) == 0 {
			return // no plan, so drift is unknown
		}
		differs = true
	}
	m.add("mirrorform_host_drifted",
		"1 if the host differs from the configuration, else 0. A host without a plan has no sample.",
		yes(differs), "command", command, "host", name)
	n := map[engine.Action]int{}
	if h.Outcome != Changed {
		for i := range h.Changes {
			n[h.Changes[i].Action]++
		}
	}
	for _, action := range []engine.Action{engine.Create, engine.Update, engine.Delete, engine.Replace} {
		m.add("mirrorform_changes",
			"Number of resources of the host that differ from the configuration, by the action of apply.",
			float64(n[action]), "command", command, "host", name, "action", string(action))
	}
}

func (m metrics) mirror(r *upstream.Report) {
	m.add("mirrorform_mirror_accepted",
		"1 if AlmaLinux's service would accept the mirror and no finding has severity error, else 0.",
		yes(r.Accepted), "mirror", r.Name)
	n := map[upstream.Severity]int{}
	for _, f := range r.Findings {
		n[f.Severity]++
	}
	for _, severity := range []upstream.Severity{upstream.Error, upstream.Warning, upstream.Note} {
		m.add("mirrorform_mirror_findings", "Number of findings of the last verify of the mirror, by severity.",
			float64(n[severity]), "mirror", r.Name, "severity", string(severity))
	}
	if r.Time != nil {
		m.add("mirrorform_mirror_time_timestamp_seconds", "Time in the mirror's TIME file, as Unix time.",
			unix(*r.Time), "mirror", r.Name)
	}
	for _, c := range r.Certificates {
		m.add("mirrorform_mirror_certificate_expiry_timestamp_seconds", "Expiry of the certificate, as Unix time.",
			unix(c.NotAfter), "mirror", r.Name, "server", c.Host)
	}
}

func (m metrics) status(h *HostStatus) {
	m.add("mirrorform_host_reachable", "1 if the last status reached the host, else 0.", yes(h.Reachable), "host", h.Name)
	for i := range h.Mirrors {
		s := &h.Mirrors[i]
		labels := []string{"host", h.Name, "mirror", s.Name}
		m.sync(s, labels)
		m.storage(s, labels)
		if c := s.Certificate; c != nil && c.NotAfter != nil {
			m.add("mirrorform_certificate_not_after_seconds", "Expiry of the certificate on the host, as Unix time.",
				unix(*c.NotAfter), labels...)
		}
		if s.Rsync != "" {
			m.add("mirrorform_rsync_served",
				"1 if the host's rsync daemon serves the mirror, even to as many clients as it may have, else 0.",
				yes(s.Rsync != NotServed), labels...)
		}
	}
}

func (m metrics) sync(s *MirrorStatus, labels []string) {
	if s.LastSync != nil {
		m.add("mirrorform_sync_end_timestamp_seconds", "End of the last sync, as Unix time by the host's clock.",
			float64(s.LastSync.End), labels...)
		m.add("mirrorform_sync_exit_status", "Exit status of the last sync.", float64(s.LastSync.Exit), labels...)
		if s.LastSync.Bytes != nil {
			m.add("mirrorform_sync_received_bytes", "Bytes that the last sync received.", float64(*s.LastSync.Bytes), labels...)
		}
	}
	if s.SuccessAge != nil && s.Clock != nil {
		m.add("mirrorform_sync_success_timestamp_seconds", "End of the last successful sync, as Unix time by the host's clock.",
			float64(s.Clock.Unix()-*s.SuccessAge), labels...)
	}
	if s.Held != nil {
		m.add("mirrorform_sync_held", "1 if syncs are held because one would delete too much, else 0.", yes(*s.Held), labels...)
	}
	if s.TimeAge != nil {
		m.add("mirrorform_sync_tree_age_seconds", "Age of the mirror's TIME file, by the host's clock.", float64(*s.TimeAge), labels...)
	}
	if s.UpstreamTime != nil {
		m.add("mirrorform_sync_upstream_timestamp_seconds", "Time of the upstream's TIME file when a sync last saw it, as Unix time.",
			float64(*s.UpstreamTime), labels...)
	}
	if s.Hub != nil && s.Hub.Behind != nil {
		m.add("mirrorform_sync_behind_hub_seconds", "By how much the mirror's TIME file is older than that of its hub.",
			float64(*s.Hub.Behind), labels...)
	}
}

func (m metrics) storage(s *MirrorStatus, labels []string) {
	if s.Used != nil {
		m.add("mirrorform_storage_used_bytes", "Used space on the mirror's file system.", float64(*s.Used), labels...)
	}
	if s.Available != nil {
		m.add("mirrorform_storage_available_bytes", "Available space on the mirror's file system.",
			float64(*s.Available), labels...)
	}
	if s.DaysUntilFull != nil {
		m.add("mirrorform_storage_full_seconds",
			"Time until the mirror's file system is full, at the current growth.", *s.DaysUntilFull*86400, labels...)
	}
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// metrics are families of samples by name.
type metrics map[string]*family

type family struct {
	help    string
	samples []string
	seen    map[string]bool
}

// add adds a sample. labels alternates names and values. If the sample exists, because a host is
// listed twice for example, it stays unchanged.
func (m metrics) add(name, help string, value float64, labels ...string) {
	f := m[name]
	if f == nil {
		f = &family{help: help, seen: map[string]bool{}}
		m[name] = f
	}
	var b strings.Builder
	for i := 0; i+1 < len(labels); i += 2 {
		fmt.Fprintf(&b, `,%s="%s"`, labels[i], labelEscapes.Replace(plain.Escape(labels[i+1])))
	}
	sample := name + "{" + strings.TrimPrefix(b.String(), ",") + "} "
	if !f.seen[sample] {
		f.seen[sample] = true
		f.samples = append(f.samples, sample+strconv.FormatFloat(value, 'f', -1, 64))
	}
}

// labelEscapes are the escapes of the text format.
var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (m metrics) text() []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n%s\n", name, m[name].help, name, strings.Join(m[name].samples, "\n"))
	}
	return b.Bytes()
}
