package mirror

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/syncjob/settings"
	"github.com/mirrorform/mirrorform/resources"
)

// metricsDir has the metrics of syncs. It belongs to the account that syncs, and everyone can read
// it, unlike stateDir.
const metricsDir = "/var/lib/mirrorform-metrics"

// mailAddress is an address that needs no quotes in a header.
var mailAddress = regexp.MustCompile(`^[A-Za-z0-9._+=-]{1,64}(@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)?$`)

// checkNotify checks what a block sets of the notifications and the metrics.
func (x *settling) checkNotify(j *job, s Sync) {
	if s.Metrics != "" && (!safePath.MatchString(s.Metrics) || path.Clean(s.Metrics) != s.Metrics || !strings.HasSuffix(s.Metrics, ".prom")) {
		x.errorf(j.attribute("metrics"), "use a path such as /var/lib/prometheus/node-exporter/"+j.file+".prom",
			"invalid path %q for metrics: it must be absolute and end with .prom", s.Metrics)
	}
	n := s.Notify
	if n == nil {
		return
	}
	invalid := func(word string) bool { return word == "" || checkText(word) != nil }
	if len(n.OnFailure) > 0 && (slices.ContainsFunc(n.OnFailure, invalid) || !path.IsAbs(n.OnFailure[0])) {
		x.errorf(j.attribute("notify.on_failure"), "use the absolute path of a program, and its arguments", "invalid command %q", n.OnFailure)
	}
	if n.Mail != "" && (!mailAddress.MatchString(n.Mail) || n.Mail[0] == '-') {
		x.errorf(j.attribute("notify.mail"), "use one address, such as mirror@example.org", "invalid address %q", n.Mail)
	}
	x.report(j.attribute("notify.url"), checkSecretURL(n.URL))
	x.report(j.attribute("notify.ping"), checkSecretURL(n.Ping))
}

// checkSecretURL checks a URL that may be a secret, without a message that repeats it.
func checkSecretURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(s, " \"\\") || checkSecretLine(s) != nil {
		return errors.New("it must be a URL that begins with https:// or http://, without spaces, quotes and backslashes")
	}
	return nil
}

// settleNotify settles the notifications and the metrics of a job.
func (x *settling) settleNotify(j *job, s Sync) {
	j.metrics = s.Metrics
	if s.Metrics != "" {
		j.settings.Metrics = metricsDir + "/" + j.name() + ".prom"
	}
	if s.Notify == nil {
		return
	}
	j.notify = *s.Notify
	j.settings.OnFailure, j.settings.Mail = j.notify.OnFailure, j.notify.Mail
	if j.notify.URL != "" {
		j.settings.URL = settings.Dir + "/" + j.name() + ".url"
	}
	if j.notify.Ping != "" {
		j.settings.Ping = settings.Dir + "/" + j.name() + ".ping"
	}
}

// notifications adds the files of curl(1) with the URLs, which may be secret, and curl. EL's
// core has it, as one of two packages that exclude each other.
func (x syncing) notifications(j *job) {
	if (j.notify.URL != "" || j.notify.Ping != "") && x.family() != "el" && !x.has("curl") {
		x.add(engine.Part{
			Name: "curl", Type: "package", Keep: "other programs of the host may use it", State: &resources.Package{Name: "curl"},
		}, nil)
	}
	const options = "silent\nfail\nmax-time = 20\noutput = \"/dev/null\"\n"
	if j.notify.URL != "" {
		content := fmt.Sprintf("url = \"%s\"\n%sheader = \"Content-Type: application/json\"\ndata-binary = \"@-\"\n", j.notify.URL, options)
		x.secret(j, "sync_notify_url", j.settings.URL, content, j.attribute("notify.url"))
	}
	if j.notify.Ping != "" {
		x.secret(j, "sync_ping", j.settings.Ping, fmt.Sprintf("url = \"%s\"\n%s", j.notify.Ping, options), j.attribute("notify.ping"))
	}
}

// measurements adds the metrics: a file in a directory in which the job can replace it, and a link
// to that where the node exporter looks for it.
func (x syncing) measurements(j *job) {
	if j.metrics == "" {
		return
	}
	file, from := j.settings.Metrics, map[string]string{"owner": "user", "group": "user"}
	if !x.has("sync_metrics_directory") {
		x.add(engine.Part{
			Name: "sync_metrics_directory", Type: "directory", DependsOn: x.existing("user"),
			State: &resources.Directory{Path: metricsDir, Owner: x.user, Group: x.user, Mode: "0755"},
		}, from)
	}
	x.add(engine.Part{
		Name: j.part("sync_metrics_file"), Type: "file", DependsOn: x.existing("user", "sync_metrics_directory"),
		State: &resources.File{Path: file, Owner: x.user, Mode: "0644"},
	}, from)
	x.add(engine.Part{
		Name: j.part("sync_metrics"), Type: "symlink", DependsOn: []string{j.part("sync_metrics_file")},
		State: &resources.Symlink{Path: j.metrics, Target: file},
	}, map[string]string{"path": j.attribute("metrics")})
}
