package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// frozen compares a file with testdata/frozen/NAME, which holds what an earlier version wrote:
// bytes on hosts and formats that programs read, which stay as they are. With -update it is
// written.
//
//	frozen NAME FILE
//
// What differs between runs (times, addresses, UUIDs, keyed digests), and texts for people, are
// left out of the comparison.
func frozen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: frozen NAME FILE")
	}
	got := lasting(ts, ts.ReadFile(args[1]))
	path := filepath.Join("../../testdata/frozen", args[0])
	if *update {
		ts.Check(os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	ts.Check(err)
	if got != string(want) {
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+".got"), []byte(got), 0o644))
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+".want"), want, 0o644))
		_ = ts.Exec("diff", "-u", args[0]+".want", args[0]+".got")
		ts.Fatalf("%s is not as it was frozen in %s", args[1], path)
	}
}

// varying are texts that differ between runs, and what stands for them.
var varying = []struct {
	text *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?\b`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{32,64}\b`), "DIGEST"},
	{regexp.MustCompile(`/dev/loop\d+`), "DISK"},
	{regexp.MustCompile(`inode \d+`), "inode N"},
	{regexp.MustCompile(`:x:\d+:(\d+:)?`), ":x:ID:"},
}

// passing are the members of objects that are for people, or that no two runs have alike.
var passing = []string{"message", "summary", "steps", "error", "duration_seconds", "version", "seq"}

// durable replaces what of a JSON value is passing.
func durable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if v[name] = durable(member); slices.Contains(passing, name) {
				v[name] = fmt.Sprintf("%T", member)
			}
		}
	case []any:
		for i := range v {
			v[i] = durable(v[i])
		}
	}
	return v
}

// dump prints the files of a host that mirrorform may write, as they are.
func dump(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: dump HOST")
	}
	on(ts, false, []string{args[0], "sh", "-c", dumpScript})
}

const dumpScript = `
for p in /etc/cron.d/* /etc/logrotate.d/* /etc/nginx/sites-*/* /etc/nginx/conf.d/* /etc/tmpfiles.d/* /etc/note.txt /etc/secret.txt /etc/fstab /etc/systemd/system/idle.service \
	/usr/local/sbin/* /usr/local/libexec/* /srv/* /srv/mirror/* /var/log/report.log /var/lib/mirrorform-sync /var/lib/mirrorform-sync/* /etc/mirrorform* /etc/mirrorform*/*; do
	[ -e "$p" ] || [ -L "$p" ] || continue
	stat -c '%A %U:%G %N' "$p"
	case $p in
	/usr/local/libexec/* | /etc/cron.d/e2scrub_all | /etc/logrotate.d/[!rm]* | /etc/nginx/sites-available/default) continue ;;
	esac
	if [ -f "$p" ] && [ ! -L "$p" ]; then sed 's/^/    /' "$p"; fi
done
getent passwd reporter mirror
getent group reporter mirror
dpkg-query -W -f '${Package}\n' nginx rsync cron logrotate 2>&1
systemctl is-enabled nginx cron idle 2>&1
exit 0`

// lasting is what of a text is the same in each run. JSON, one value or a line each, is indented.
func lasting(ts *testscript.TestScript, text string) string {
	for name, value := range map[string]string{"HOST": ts.Getenv("fra1"), "WORK": ts.Getenv("WORK"), "DISK": ts.Getenv("fra1_DISK0")} {
		text = strings.ReplaceAll(text, value, name)
	}
	if strings.HasPrefix(text, "{") {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		var values []map[string]any
		for d.More() {
			var v map[string]any
			ts.Check(d.Decode(&v))
			values = append(values, v)
		}
		// Hosts run side by side: what is said of each has an order, what is said of several has
		// none.
		slices.SortStableFunc(values, func(a, b map[string]any) int { return strings.Compare(fmt.Sprint(a["host"]), fmt.Sprint(b["host"])) })
		for _, v := range values {
			ts.Check(e.Encode(durable(v)))
		}
		text = b.String()
	}
	for _, v := range varying {
		text = v.text.ReplaceAllLiteralString(text, v.as)
	}
	return text
}
