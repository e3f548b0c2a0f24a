package adopt_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mirrorform/mirrorform/internal/adopt"
	"github.com/mirrorform/mirrorform/resources"
)

// places are where a host's files are read from.
var places = []string{
	"host/var/spool/cron/crontabs/root", "host/etc/cron.d/alma", "host/etc/crontab", "host/etc/cron.daily/alma", "host/etc/systemd/system/alma.service",
	"host/etc/systemd/system/alma.timer", "host/usr/local/bin/alma", "host/etc/nginx/nginx.conf", "host/etc/nginx/conf.d/alma.conf",
	"host/etc/nginx/sites-enabled/alma", "host/etc/httpd/conf.d/alma.conf", "host/etc/rsyncd.conf",
}

// FuzzHost puts any text into any file of a host that has a mirror. What is written for it is a
// configuration whose plan on that host is what the draft says, and each remark is one line that
// can be printed.
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
		h.honest(t, d, got)
	})
}

func lines(d *adopt.Draft) []string {
	var list []string
	for _, r := range d.Remarks {
		list = append(list, r.String())
	}
	return append(list, d.Changes...)
}

// secretForms are the places where rsync takes a user's name and password: the command's argv, with
// variables before it.
var secretForms = []func(user, password string) []string{
	func(u, p string) []string {
		return []string{"rsync", "-av", "rsync://" + u + ":" + p + "@x/almalinux/", "/srv/alma/"}
	},
	func(u, p string) []string { return []string{"rsync", u + ":" + p + "@x::almalinux", "/srv/alma"} },
	func(u, p string) []string {
		return []string{"RSYNC_PASSWORD=", p, "rsync", "-av", u + "@x::almalinux", "/srv/alma/"}
	},
	func(_, p string) []string {
		return []string{"RSYNC_PASSWORD=", p, "rsync", "rsync://x/almalinux/", "/srv/alma/"}
	},
	func(u, p string) []string {
		return []string{"env", "RSYNC_PASSWORD=" + p, "rsync", u + "@x::almalinux", "/srv/alma/"}
	},
	func(u, p string) []string {
		return []string{"RSYNC_PROXY=", u + ":" + p + "@proxy:3128", "rsync", "rsync://x/almalinux/", "/srv/alma/"}
	},
	func(u, p string) []string {
		return []string{"SRC=", "rsync://" + u + ":" + p + "@x/almalinux/", "flock", "-n", "/run/l", "rsync", "rsync://x/almalinux/", "/srv/alma/"}
	},
	func(u, p string) []string {
		return []string{"rsync", "-e", "sshpass -p " + p + " ssh -l " + u, "x::almalinux", "/srv/alma/"}
	},
}

// FuzzSecret has a user's name and a password, of any characters, in each place where rsync takes
// one, quoted as the shell wants it, in each file that starts a job, and bare or as a command
// within a command. After it the line goes on with anything. Neither what is written nor what is
// told ever has the password.
func FuzzSecret(f *testing.F) {
	for form := range secretForms {
		for _, seed := range [][3]string{
			{"user", "", ""}, {"", "@:/", "|| rsync a::b/almalinux /srv/b # \"'"}, {"a b", " c d'e\"f$g%h\\i", "; echo ("}, {"ü\t", "\xff`id`", ">>/var/log/a.log 2>&1"},
		} {
			f.Add(uint8(form), false, seed[0], seed[1], seed[2])
			f.Add(uint8(form), true, seed[0], seed[1], seed[2])
		}
	}
	f.Fuzz(func(t *testing.T, form uint8, nested bool, user, password, rest string) {
		const canary = "canary7"
		if strings.Contains(user+rest, canary) {
			return
		}
		argv := secretForms[int(form)%len(secretForms)](user, canary+password)
		variable := ""
		if strings.HasSuffix(argv[0], "=") {
			variable, argv = argv[0], argv[1:]
		}
		command, err := resources.ShellJoin(argv)
		if err != nil {
			return // no argument of a program: a NUL, or a line's end, which no crontab holds
		}
		command = variable + command
		if nested {
			if command, err = resources.ShellJoin([]string{"flock", "-n", "/run/l", "-c", command}); err != nil {
				t.Fatal(err)
			}
		}
		command += " " + strings.ReplaceAll(rest, "\n", " ")
		line := strings.ReplaceAll(command, "%", `\%`)
		h := newFakeHost(t, &txtar.Archive{Files: []txtar.File{
			{Name: "host/var/spool/cron/root", Data: []byte("0 * * * * " + line + "\n")},
			{Name: "host/etc/cron.d/alma", Data: []byte("0 * * * * root " + line + "\n0 * * * * root rsync -a rsync://x/almalinux/ /srv/alma/\n")},
			{Name: "host/etc/cron.d/script", Data: []byte("0 * * * * root /usr/local/bin/alma\n")},
			{Name: "host/usr/local/bin/alma", Data: []byte("#!/bin/sh\n" + command + "\nrsync -a rsync://x/almalinux/ /srv/alma/\n")},
			{Name: "host/etc/cron.daily/alma", Data: []byte("#!/bin/sh\nrsync -a rsync://x/almalinux/ /srv/alma/\n" + command + "\n")},
			{Name: "host/etc/systemd/system/alma.service", Data: []byte("[Service]\nExecStartPre=rsync -a rsync://x/almalinux/ /srv/alma/\nExecStart=" + command + "\n")},
			{Name: "host/srv/alma/"},
		}})
		d := h.draft(t, nil)
		if !d.Found() {
			t.Fatal("the mirror was not found")
		}
		if text := string(render(t, d)) + fmt.Sprint(lines(d)); strings.Contains(text, canary) {
			t.Errorf("the secret of %q was written:\n%s", command, text)
		}
	})
}
