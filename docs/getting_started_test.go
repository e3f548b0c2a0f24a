// Package docs_test runs the pages that promise to be run.
package docs_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/cli"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/mirrorform/mirrorform/internal/picture"
	"github.com/mirrorform/mirrorform/internal/publish/githubtest"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"github.com/rogpeppe/go-internal/testscript"
)

// labMain ends the lab after the tests.
type labMain struct{ *testing.M }

func (m labMain) Run() int { return labtest.Main(m.M) }

func TestMain(m *testing.M) {
	testscript.Main(labMain{m}, map[string]func(){
		"mirrorform": func() { os.Exit(cli.MainOn(func() time.Time { return upstream.BuiltInDate })) },
	})
}

// The page's names for things that have other names in the lab.
const (
	pageAddress = "203.0.113.10"
	pageDisk    = "/dev/vdb"
	mirrorName  = "fra1.mirror.example.org"
	// binaryRepo is the repository that the page has dnf use, and binaryPackage what it downloads from there.
	binaryRepo    = "9.8/BaseOS/x86_64/os"
	binaryPackage = "tree"
)

// steps is what each command of getting-started.md must print, by the command's prefix, in the
// page's order.
var steps = []struct{ command, prints string }{
	{"mkdir mirrors && cd mirrors", ``},
	{"mirrorform init", `Wrote fleet.hcl`},
	{"mirrorform validate", `valid`},
	{"mirrorform fmt --check", ``},
	{"mirrorform plan", `\+ fra1/mirror.almalinux.cron`},
	{"mirrorform apply", `Apply complete`},
	{"mirrorform plan --detailed-exitcode", `No changes`},
	{"mirrorform sync", `(?s)fra1 almalinux +\[.*\] +(measuring|syncing|synced).*fra1 almalinux: synced .*MiB in .*/s, [0-9,]+ files`},
	{"mirrorform sync --follow", `fra1 almalinux: synced`},
	{"mirrorform status", `fra1 +as configured +almalinux +[0-9]+ (s|min) ago +done +[0-9]+ (s|min|h) ago .* free\n`},
	{"mirrorform verify", `upstream would store +ok`},
	{"dnf --repo=my-mirror list", binaryPackage + `\.noarch +2\.1\.0-1 +my-mirror`},
	{"dnf --repo=my-mirror install --downloadonly", `(?i)complete|downloaded`},
	{"cat mirrors.d/" + mirrorName + ".yml", `(?m)^name: ` + mirrorName},
	{"mirrorform lint mirrors.d", ``},
	{"mirrorform publish --dry-run", `would open a pull request from me/mirrors:mirrorform/` + mirrorName},
	{"mirrorform publish", mirrorName + `: opened http://.*/pull/1`},
	{"mirrorform publish --check", ``},
	{"mirrorform drift", `No changes`},
	{"mirrorform status", `as configured`},
	{"mirrorform verify", `upstream would store +ok`},
}

// block is a fenced block of a page: its language, what else its first line says, and its text.
type block struct{ language, mark, text string }

var fence = regexp.MustCompile("(?ms)^```([a-z]+)(?: ([a-z-]+))?\n(.*?)^```$")

func blocks(t *testing.T, page string) []block {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var list []block
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		list = append(list, block{m[1], m[2], m[3]})
	}
	return list
}

// TestGettingStartedCommands holds the table of what commands print against the page, without a lab.
func TestGettingStartedCommands(t *testing.T) {
	t.Parallel()
	n := 0
	for _, b := range blocks(t, "getting-started.md") {
		if b.language != "sh" || b.mark == "by-hand" {
			continue
		}
		for command := range strings.Lines(b.text) {
			if n == len(steps) || !strings.HasPrefix(command, steps[n].command) {
				t.Fatalf("command %d of getting-started.md is %q; the table of this test has another", n, command)
			}
			n++
		}
	}
	if n != len(steps) {
		t.Errorf("getting-started.md has %d commands, the table of this test %d", n, len(steps))
	}
}

// TestGettingStarted follows getting-started.md on a host with an empty disk and a client with dnf.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	const disk = 600_000_000_000 // of a sparse file: more than the guide recommends
	hosts := labtest.Hosts(t, 2, lab.HostSpec{Name: "fra", Disks: []int64{disk}}, lab.HostSpec{Name: "client", OS: lab.EL9})
	server, client := hosts[0], hosts[1]
	tree := makeTree(t, labtest.Lab(t), client)
	p := newPage(t, server, tree)
	must(t, client.Write("/etc/hosts", []byte("127.0.0.1 localhost\n"+server.Address+" "+mirrorName+"\n"), 0o644))

	n := 0
	for _, b := range blocks(t, "getting-started.md") {
		switch {
		case b.language == "hcl":
			must(t, os.WriteFile(filepath.Join(p.dir, "fleet.hcl"), []byte(p.configuration(b.text)), 0o600))
			continue
		case b.language == "ini":
			// The lab's package is not signed.
			must(t, client.Write("/etc/yum.repos.d/my-mirror.repo", []byte(strings.Replace(b.text, "gpgcheck=1", "gpgcheck=0", 1)), 0o644))
			continue
		case b.language != "sh" || b.mark == "by-hand":
			continue
		case b.mark == "merged":
			must(t, p.github.Merge(1))
		}
		for command := range strings.Lines(b.text) {
			command = strings.TrimSpace(command)
			var out string
			var err error
			if b.mark == "client" {
				var text []byte
				text, err = client.Run(t.Context(), "sh", "-c", command+" 2>&1")
				out = string(text)
			} else {
				out, err = p.run(command)
			}
			want := regexp.MustCompile(steps[n].prints)
			if err != nil || !want.MatchString(out) {
				t.Fatalf("$ %s\n%s\n%v; want status 0 and %s", command, out, err, want)
			}
			if strings.HasPrefix(command, "mirrorform verify") && regexp.MustCompile(`(?m)^ *(error|warning) `).MatchString(out) {
				t.Errorf("$ %s\n%s\nwant neither errors nor warnings", command, out)
			}
			t.Logf("$ %s\n%s", command, out)
			p.record(t, command)
			n++
		}
	}
	p.compare(t, "quick-start.svg")
	got, err := client.Run(t.Context(), "sh", "-c", "rpm -qp /tmp/my-mirror/*.rpm")
	if err != nil || !strings.HasPrefix(string(got), binaryPackage+"-2.1.0-1") {
		t.Errorf("dnf downloaded %q: %v", got, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// makeTree makes the lab's upstream the tree that AlmaLinux's service asks for: an index for every repository, by createrepo_c on the client, with one package in one
// of them; installation images, of a few bytes; and a TIME of now. It returns the tree's directory.
func makeTree(t *testing.T, l *lab.Lab, client *lab.Host) string {
	t.Helper()
	up, err := l.Upstream(t.Context())
	must(t, err)
	const spec = "Name: " + binaryPackage + "\nVersion: 2.1.0\nRelease: 1\nSummary: A package for tests\nLicense: Apache-2.0\nBuildArch: noarch\n%description\nA package for tests\n%files\n"
	must(t, client.Write("/root/package.spec", []byte(spec), 0o644))
	const build = `rpmbuild -bb --define "_rpmdir /root/repo" /root/package.spec && mkdir -p /root/trees/full/Packages /root/trees/empty &&
mv /root/repo/noarch/*.rpm /root/trees/full/Packages && createrepo_c /root/trees/full && createrepo_c /root/trees/empty`
	if out, err := client.Run(t.Context(), "sh", "-c", build); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	archive, err := client.Run(t.Context(), "tar", "-C", "/root/trees", "-c", ".")
	must(t, err)
	trees := readTar(t, archive)

	root := up.Path(lab.ModuleAlmaLinux, "")
	put := func(name string, data []byte) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Join(root, path.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, name), data, 0o644)) //nolint:gosec // rsyncd reads it as nobody
	}
	service := upstream.BuiltIn()
	indexes := service.Repodata()
	if len(indexes) != 136 {
		t.Fatalf("the service asks for %d indexes", len(indexes))
	}
	for _, index := range indexes {
		repo := strings.TrimSuffix(index, "/repodata/repomd.xml")
		must(t, os.RemoveAll(filepath.Join(root, repo, "repodata")))
		kind := "empty"
		if repo == binaryRepo {
			kind = "full"
		}
		for name, data := range trees {
			if file, ok := strings.CutPrefix(name, kind+"/"); ok {
				put(repo+"/"+file, data)
			}
		}
	}
	for i, name := range service.ISOs() {
		put(name, bytes.Repeat([]byte{byte(i)}, 10_000))
	}
	put("TIME", fmt.Appendf(nil, "%d\n", time.Now().Unix()))
	return root
}

// readTar returns the regular files of an archive by their names.
func readTar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if h.Typeflag == tar.TypeReg {
			files[path.Clean(h.Name)], err = io.ReadAll(r)
			must(t, err)
		}
	}
	if len(files) == 0 {
		t.Fatal("the archive is empty")
	}
	return files
}

// page is where a page's commands run on the operator's machine.
type page struct {
	dir      string // the working directory; a command may change it
	home     string
	env      []string
	replacer *strings.Replacer
	github   *githubtest.Server
	raw      string // what the last command sent, with escape sequences
	picture  string // the session that the README shows
}

func newPage(t *testing.T, server *lab.Host, tree string) *page {
	t.Helper()
	dir := t.TempDir()
	key, err := server.HostKey()
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(dir, "github"), 0o755))
	github, err := githubtest.Start(filepath.Join(dir, "github"))
	must(t, err)
	t.Cleanup(github.Close)
	reference := httptest.NewServer(http.FileServer(http.Dir(tree)))
	t.Cleanup(reference.Close)

	// There is no DNS and no GitHub in the lab: flags that the page does not have stand for them.
	program, err := exec.LookPath("mirrorform")
	must(t, err)
	outside := fmt.Sprintf("--resolve %s:%s --reference %s/", mirrorName, server.Address, reference.URL)
	shim := fmt.Sprintf("#!/bin/sh\ncase $1 in\nverify) set -- \"$@\" %s ;;\npublish) set -- \"$@\" %s --api-url %s/ ;;\nesac\nexec %s \"$@\"\n", outside, outside, github.URL, program)
	bin := filepath.Join(dir, "bin")
	must(t, os.MkdirAll(bin, 0o755))
	must(t, os.WriteFile(filepath.Join(bin, "mirrorform"), []byte(shim), 0o755)) //nolint:gosec // a program

	caches, err := labtest.Environ(filepath.Join(dir, "cache"))
	must(t, err)
	home := filepath.Join(dir, "home")
	// The key that ssh would use, and the host key that was accepted once.
	must(t, os.MkdirAll(filepath.Join(home, ".ssh"), 0o700))
	identity, err := os.ReadFile(server.SSHKeyPath)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(home, ".ssh/id_ed25519"), identity, 0o600))
	must(t, os.WriteFile(filepath.Join(home, ".ssh/known_hosts"), []byte(server.Address+" "+key+"\n"), 0o600))
	env := append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GH_") || strings.HasPrefix(v, "SSH_") || strings.HasPrefix(v, "NO_COLOR=")
	}),
		"PATH="+bin+":"+os.Getenv("PATH"), "HOME="+home, "TERM=xterm", "SHELL=/bin/bash", "GIT_AUTHOR_NAME=Operator", "GIT_AUTHOR_EMAIL=operator@example.org", "GITHUB_TOKEN=ghp_canary0123456789")
	return &page{
		dir: dir, home: home, env: append(env, caches...), github: github,
		replacer: strings.NewReplacer(pageAddress, server.Address, pageDisk, server.Disks[0].Path),
	}
}

// configuration is the page's, for the lab's host.
func (p *page) configuration(text string) string { return p.replacer.Replace(text) }

// escapes are what programs send to a terminal besides text (ECMA-48).
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]|\r")

// run runs a line in a shell on a terminal, says yes where apply asks, and stays in the directory that it went to. It returns all that the terminal was sent, live
// displays included, without escape sequences.
func (p *page) run(line string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	after := filepath.Join(p.home, "pwd")
	cmd := exec.CommandContext(ctx, "script", "--quiet", "--return", "--command", "stty rows 40 columns 120; set -e; "+line+"\npwd >"+after, "/dev/null")
	cmd.Dir, cmd.Env = p.dir, p.env
	if line == "mirrorform apply" {
		cmd.Stdin = strings.NewReader("yes\n")
	}
	out, err := cmd.CombinedOutput()
	p.raw = string(out)
	if now, readErr := os.ReadFile(after); err == nil && readErr == nil {
		p.dir = strings.TrimSpace(string(now))
	}
	return escapes.ReplaceAllString(string(out), ""), err
}

// record adds to the picture what the README shows of a command: the plan with a line for each
// change, the end of the apply, and the plan after it.
func (p *page) record(t *testing.T, command string) {
	t.Helper()
	show := func(command, text string) {
		p.picture += "\x1b[36m$\x1b[0m \x1b[1m" + command + "\x1b[0m\n" + text + "\n"
	}
	switch command {
	case "mirrorform plan":
		const compact = "mirrorform plan --compact"
		cmd := exec.CommandContext(t.Context(), "sh", "-c", compact+" --color always")
		cmd.Dir, cmd.Env = p.dir, p.env
		out, err := cmd.Output()
		must(t, err)
		show(compact, string(out))
	case "mirrorform apply", "mirrorform plan --detailed-exitcode":
		text := strings.ReplaceAll(p.raw, "\r", "")
		begin := strings.LastIndex(text, "\x1b[32mApply complete:")
		if begin < 0 {
			begin = strings.Index(text, "\x1b[32mNo changes.")
		} else {
			text = text[:begin] + "\x1b[2m…\x1b[0m\n" + text[begin:]
		}
		if begin < 0 {
			t.Fatalf("nothing to show of %s: %q", command, p.raw)
		}
		show(command, text[begin:])
	}
}

var update = flag.Bool("update", false, "write the picture of the README")

// compare compares the session with the picture in a file, or writes it.
func (p *page) compare(t *testing.T, name string) {
	t.Helper()
	got := picture.SVG(strings.TrimSpace(p.picture), "mirrorform plans a mirror on a new host, applies the plan, and finds nothing more to do", 110)
	if *update {
		must(t, os.WriteFile(name, []byte(got), 0o644)) //nolint:gosec // a page of the documentation
		return
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if got != string(want) {
		t.Errorf("docs/%s shows another session than this; to write it: go test ./docs -run TestGettingStarted -update\n%s", name, p.picture)
	}
}
