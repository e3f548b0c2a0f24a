package adopt_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mirrorform/mirrorform/internal/adopt"
)

// places are where a host's files are read from.
var places = []string{
	"host/var/spool/cron/crontabs/root", "host/etc/cron.d/alma", "host/etc/crontab", "host/etc/cron.daily/alma", "host/etc/systemd/system/alma.service",
	"host/etc/systemd/system/alma.timer", "host/usr/local/bin/alma", "host/etc/nginx/nginx.conf", "host/etc/nginx/conf.d/alma.conf",
	"host/etc/nginx/sites-enabled/alma", "host/etc/httpd/conf.d/alma.conf", "host/etc/rsyncd.conf",
}

// FuzzHost puts any text into any file of a host that has a mirror. What is written for it is a configuration whose plan on that host is empty, and each remark is one line
// that can be printed.
func FuzzHost(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, section := range archive.Files {
			for which := range places {
				if path := filepath.Dir(places[which]); strings.HasPrefix(section.Name, path) {
					f.Add(uint8(which), string(section.Data))
				}
			}
		}
	}
	for which := range places {
		f.Add(uint8(which), "server { server_name a\x1b[2J; root /srv/alma\xff; }\r\n")
		f.Add(uint8(which), strings.Repeat("(", 2000)+" rsync")
		f.Add(uint8(which), strings.Repeat("a {", 100)+"include *;")
		f.Add(uint8(which), "0 * * * * root rsync -a rsync://x/almalinux/ '/srv/a\u202eb${c}%{d}e\u0301'\n")
		f.Add(uint8(which), "[Service]\nExecStart=/bin/sh -c 'sh -c \"sh -c rsync\"'\n")
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		archive := &txtar.Archive{Files: []txtar.File{
			{Name: "host/var/spool/cron/alma", Data: []byte("0 * * * * rsync -a rsync://rsync.example.org/almalinux/ /srv/alma/; /usr/local/bin/alma\n")},
			{Name: "host/srv/alma/"},
			{Name: places[int(which)%len(places)], Data: []byte(text)},
			{Name: "units", Data: []byte("nginx.service enabled active\nhttpd.service enabled active\nalma.timer disabled active\n")},
			{Name: "packages", Data: []byte("rsync nginx httpd")},
		}}
		h := newFakeHost(t, archive)
		d := h.draft(t, nil)
		if !d.Found() {
			t.Fatal("the mirror was not found")
		}
		for _, line := range append([]string{}, lines(d)...) {
			if strings.ContainsAny(line, "\n\r\x00\x1b\u202e") {
				t.Errorf("a remark that cannot be printed: %q", line)
			}
		}
		got := render(t, d)
		if changes := h.planned(t, got); len(changes) > 0 {
			t.Errorf("the plan is not empty: %q\n%s", changes, got)
		}
	})
}

func lines(d *adopt.Draft) []string {
	var list []string
	for _, r := range d.Remarks {
		list = append(list, r.String())
	}
	return append(list, d.Changes...)
}

// secretForms are where rsync takes a password; the verbs are the user and the rest of the command.
var secretForms = []string{
	"rsync -av rsync://%s:canary7@x/almalinux/ /srv/alma/ %s",
	"RSYNC_PASSWORD=canary7 rsync -av %s@x::almalinux /srv/alma/ %s",
	"sh -c 'export RSYNC_PASSWORD=\"canary7\"; rsync -av %s@x::almalinux /srv/alma/' %s",
	"flock -n /run/l rsync rsync://%s:a/canary7@x/almalinux/ /srv/alma %s",
	"rsync 'rsync://%s:b@canary7@z/almalinux' /srv/alma/ && %s",
}

// FuzzSecret has a password in each place where rsync takes one, in a command that goes on with anything. It never shows.
func FuzzSecret(f *testing.F) {
	for form := range secretForms {
		f.Add(uint8(form), "user", "")
		f.Add(uint8(form), "", "|| rsync a::b/almalinux /srv/b # \"'")
	}
	f.Fuzz(func(t *testing.T, form uint8, user, rest string) {
		if strings.Trim(user, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			return
		}
		command := fmt.Sprintf(secretForms[int(form)%len(secretForms)], user, strings.ReplaceAll(rest, "\n", " "))
		h := newFakeHost(t, &txtar.Archive{Files: []txtar.File{
			{Name: "host/var/spool/cron/root", Data: []byte("0 * * * * " + command + "\n")},
			{Name: "host/etc/cron.d/alma", Data: []byte("0 * * * * root " + command + "\n0 * * * * root rsync -a rsync://x/almalinux/ /srv/alma/\n")},
			{Name: "host/srv/alma/"},
		}})
		d := h.draft(t, nil)
		if text := string(render(t, d)) + fmt.Sprint(lines(d)); strings.Contains(text, "canary7") {
			t.Errorf("the secret of %q was written:\n%s", command, text)
		}
	})
}
