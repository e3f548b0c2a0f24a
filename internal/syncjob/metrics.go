package syncjob

import (
	"os"
	"strconv"
	"strings"
)

// writeMetrics writes a file for the textfile collector of the node exporter. A value that is not
// known has no sample. The names differ from those of `mirrorform status --report prometheus`,
// which describes all hosts.
func (j *job) writeMetrics(e entry) {
	if j.Metrics == "" {
		return
	}
	var out strings.Builder
	add := func(name, help string, value int64, known bool) {
		if name = "mirrorform_job_" + name; known {
			out.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " gauge\n" +
				name + `{mirror="` + j.name + `"} ` + strconv.FormatInt(value, 10) + "\n")
		}
	}
	add("end_timestamp_seconds", "End of the last sync, as Unix time.", e.end, true)
	add("exit_status", "Exit status of the last sync.", int64(e.exit), true)
	add("success_timestamp_seconds", "End of the last successful sync, as Unix time.", e.success, e.success != 0)
	add("received_bytes", "Bytes that the last sync received.", e.bytes, e.bytes != 0)
	held := int64(0)
	if j.files().held() {
		held = 1
	}
	add("held", "1 if syncs are held because one would delete too much, else 0.", held, true)
	if info, err := os.Stat(j.Directory + j.Require); err == nil && j.Require != "" {
		add("tree_timestamp_seconds", "Time of the mirror's TIME file, as Unix time.", info.ModTime().Unix(), true)
	}
	add("upstream_timestamp_seconds", "Time of the upstream's TIME file at the last sync, as Unix time.", e.upstreamTime, e.upstreamTime != 0)
	if err := replace(j.Metrics, []byte(out.String())); err != nil {
		j.complain("cannot write the metrics: " + err.Error())
	}
}
