package main

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestSetups has whole mirrors that were set up by hand, each on a host of its own: adopt changes
// nothing there, and while the configuration that it writes is applied and destroyed, all other
// trees are served. Besides those of testdata/setups, it takes those of a directory of cases, if
// MIRRORFORM_CASES names one.
func TestSetups(t *testing.T) {
	t.Parallel()
	l := labtest.Lab(t)
	script, err := filepath.Abs("../../testdata/setups/setup.txtar")
	if err != nil {
		t.Fatal(err)
	}
	patterns := []string{"../../testdata/setups/*/setup.sh"}
	if cases := os.Getenv("MIRRORFORM_CASES"); cases != "" {
		patterns = append(patterns, filepath.Join(cases, "adopt", "s[0-9]*", "setup.sh"))
	}
	var dirs []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d set-ups, %v", pattern, len(found), err)
		}
		for _, script := range found {
			dirs = append(dirs, filepath.Dir(script))
		}
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			params := labParams(l)
			params.Files = []string{script}
			set := params.Setup
			params.Setup = func(env *testscript.Env) error {
				abs, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				env.Setenv("SETUP", abs)
				system, _ := os.ReadFile(filepath.Join(abs, "os")) // this machine's, if there is none
				env.Setenv("SYSTEM", strings.TrimSpace(string(system)))
				return set(env)
			}
			testscript.Run(t, params)
		})
	}
}

// webServers are the packages of web servers, by what a set-up calls them.
var webServers = map[string]string{
	"": "nginx", "fancyindex": "nginx libnginx-mod-http-fancyindex", "apache": "apache2", "httpd": "httpd", "caddy": "caddy",
}

// loaded makes a host's web servers and cron read what was laid.
const loaded = `
systemctl daemon-reload
for s in nginx apache2 httpd caddy; do systemctl is-enabled -q $s 2>/dev/null && systemctl reload-or-restart $s; done
for s in cron crond; do systemctl is-enabled -q $s 2>/dev/null && systemctl restart $s; done
true
`

// lay makes a host the one of a set-up, a directory: it installs the web server that the file
// packages names (nginx), lays the files below root over the host, and runs setup.sh. The host has
// the operating system that the file os names:
//
//	lay HOST DIR
func lay(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lay HOST DIR")
	}
	h, dir := hostOf(ts, args[0]), args[1]
	server, _ := os.ReadFile(filepath.Join(dir, "packages")) // nginx, if there is none
	packages, ok := webServers[strings.TrimSpace(string(server))]
	if !ok {
		ts.Fatalf("lay: unknown web server %q", server)
	}
	cron := "cron"
	if h.OS.Family() == lab.EL {
		cron = "cronie"
	}
	install(ts, false, append([]string{args[0], "rsync", cron, "logrotate", "openssl"}, strings.Fields(packages)...))
	root := filepath.Join(dir, "root")
	ts.Check(filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(file, root)
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if out, err := h.Run(context.Background(), "mkdir", "-p", path.Dir(name)); err != nil {
			return fmt.Errorf("%s: %w", out, err)
		}
		return h.Write(name, data, 0o644)
	}))
	script, err := os.ReadFile(filepath.Join(dir, "setup.sh"))
	ts.Check(err)
	if out, err := h.RunInput(context.Background(), append(script, loaded...), "bash"); err != nil {
		ts.Fatalf("lay: setup.sh: %s: %v", out, err)
	}
}

// serverNames are names that a web server's configuration mentions.
var serverNames = regexp.MustCompile(`(?m)(?:server_name|ServerName|ServerAlias)\s+([\w.-]+\.[\w-]+)|^(?:https?://)?([\w-]+(?:\.[\w-]+)+)(?::[0-9]+)?\b.*\{`)

// around writes a file into each tree beside those of AlmaLinux, and polls it by each URL over which
// a site serves it:
//
//	around HOST   starts the polls, and logs their URLs
//	around        stops them, and fails if one missed an answer
func around(ts *testscript.TestScript, neg bool, args []string) {
	polls := ts.Value(pollsKey{}).(map[string]*poller)
	if len(args) == 0 && !neg {
		for name := range polls {
			poll(ts, false, []string{"stop", name})
		}
		return
	}
	if neg || len(args) != 1 {
		ts.Fatalf("usage: around [HOST]")
	}
	h, trees, served := hostOf(ts, args[0]), otherTrees(ts, hostOf(ts, args[0])), false
	for _, tree := range trees {
		mark := "tree " + tree
		ts.Check(h.Write(path.Join(tree, "mark"), []byte(mark), 0o644))
		for _, url := range urlsOf(ts, h, path.Join(tree, "mark"), mark) {
			ts.Logf("%s is served as %s", tree, url)
			poll(ts, false, []string{"start", url, url, h.Address, mark})
			served = true
		}
	}
	if len(trees) > 0 && !served {
		ts.Fatalf("around: none of the trees %s is served by a name or address of the host", strings.Join(trees, ", "))
	}
}

// otherTrees are the directories beside trees of AlmaLinux.
func otherTrees(ts *testscript.TestScript, h *lab.Host) []string {
	out, err := h.Run(context.Background(), "sh", "-c",
		`find / -xdev -maxdepth 6 \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /usr/share \) -prune \
-o -type d \( -name almalinux -o -name alma \) -print | while read -r d; do
for o in "${d%/*}"/*/; do case $o in */alma*) ;; *) echo "${o%/}" ;; esac; done; done | sort -u`)
	if err != nil {
		ts.Fatalf("around: %s: %v", out, err)
	}
	var trees []string
	for _, dir := range strings.Fields(string(out)) {
		switch path.Dir(dir) {
		case "/", "/etc", "/opt", "/var", "/usr", "/home": // not the place of trees
		default:
			trees = append(trees, dir)
		}
	}
	return trees
}

// urlsOf are the URLs over which a file is served, by name and by address.
func urlsOf(ts *testscript.TestScript, h *lab.Host, file, content string) []string {
	text, err := h.Run(context.Background(), "sh", "-c",
		"cat /etc/nginx/nginx.conf /etc/nginx/*/* /etc/apache2/*/* /etc/httpd/*/* /etc/caddy/* 2>/dev/null; true")
	ts.Check(err)
	names := map[string]bool{h.Address: true}
	for _, m := range serverNames.FindAllStringSubmatch(string(text), -1) {
		names[cmp.Or(m[1], m[2])] = true
	}
	var urls []string
	for name := range names {
		for _, scheme := range []string{"http", "https"} {
			for at := range file {
				if file[at] != '/' {
					continue
				}
				url := scheme + "://" + name + file[at:]
				p := newPoller(url, h.Address, content)
				p.stop()
				if len(p.missed) == 0 {
					urls = append(urls, url)
				}
			}
		}
	}
	return urls
}
