package adopt_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mirrorform/mirrorform/internal/adopt"
)

// kind is a configuration of a web server, or a file with a secret, and what adopt has to say of
// it.
type kind struct {
	Name   string
	Files  map[string]string // by path; "->TARGET" is a link
	Script string            // of a job, instead of files
	Tree   string
	Expect string // a URL path, "TLS", the name of a server, or "?" for a remark
}

// cases is the folder with further set-ups, beside the repository unless the environment names one.
func cases() string {
	if dir := os.Getenv("MIRRORFORM_CASES"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "..", "shared", "cases")
}

// kinds reads a list of testdata, and the list of the same name beside the repository, if there is
// one.
func kinds(t *testing.T, name string) map[string][]kind {
	lists := map[string][]kind{}
	for where, file := range map[string]string{"testdata": filepath.Join("testdata", "kinds", name),
		"beside": filepath.Join(cases(), "adopt", name)} {
		text, err := os.ReadFile(file)
		if err != nil {
			if where == "testdata" {
				t.Fatal(err)
			}
			continue
		}
		var list []kind
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		lists[where] = list
	}
	return lists
}

// host returns a host with the files and a job that syncs the tree.
func (k *kind) host(t *testing.T) *fakeHost {
	tree := k.Tree
	if tree == "" {
		tree = "/srv/mirror/almalinux"
	}
	archive := &txtar.Archive{Files: []txtar.File{
		{Name: "host/etc/cron.d/alma", Data: []byte("17 */3 * * * root /usr/bin/flock -n /run/alma.lock " +
			"/usr/bin/rsync -avSH -f 'R .~tmp~' --delete-delay --delay-updates " +
			"rsync://rsync.repo.almalinux.org/almalinux/ " + tree + "/\n")},
		{Name: "units", Data: []byte("nginx.service enabled active\napache2.service enabled " +
			"active\ncron.service enabled active\n")},
		{Name: "packages", Data: []byte("rsync nginx apache2 caddy lighttpd cron")},
	}}
	if k.Script != "" {
		archive.Files = append(archive.Files, txtar.File{Name: "host/etc/cron.d/script",
			Data: []byte("5 4 * * * root /usr/local/bin/mirror\n")},
			txtar.File{Name: "host/usr/local/bin/mirror", Data: []byte("#!/bin/sh\n" + k.Script + "\n")})
	}
	linked := false
	for p, text := range k.Files {
		if target, link := strings.CutPrefix(text, "->"); link {
			archive.Files = append(archive.Files, txtar.File{Name: "host" + p + " -> " + target})
			linked = linked || p == tree
			continue
		}
		archive.Files = append(archive.Files, txtar.File{Name: "host" + p, Data: []byte(text)})
	}
	if !linked {
		archive.Files = append(archive.Files, txtar.File{Name: "host" + tree + "/TIME", Data: []byte("1\n")})
	}
	return newFakeHost(t, archive)
}

// judge returns whether the configuration of a web server was understood.
func (k *kind) judge(d *adopt.Draft, text string) string {
	serves := ""
	for _, r := range d.Remarks {
		if strings.Contains(r.Text, " serves "+k.Tree+" at ") {
			serves += r.Text + "\n"
		}
	}
	right := strings.Contains(serves, " at "+k.Expect+" ") || strings.Contains(serves, " at "+k.Expect+".")
	switch k.Expect {
	case "TLS":
		right = strings.Contains(serves, "HTTPS (TLS)")
	case "lighttpd":
		right = strings.Contains(serves, "lighttpd")
	case "?":
		right = serves == "" && (strings.Contains(fmt.Sprint(d.Remarks), "is not judged") ||
			strings.Contains(fmt.Sprint(d.Remarks), "no site of a web server serves"))
	}
	switch {
	case right:
		return "right"
	case serves == "" && strings.Contains(text, "not judged"):
		return "remark"
	}
	return "wrong in silence"
}

var noServer = regexp.MustCompile(`server +=\s"none"`)

// TestWebKinds has web servers of many kinds. Of each, adopt says at which URL the tree is served,
// or why it does not know; no site is ever proposed to be replaced.
func TestWebKinds(t *testing.T) {
	t.Parallel()
	for where, list := range kinds(t, "webs.json") {
		counts := map[string]int{}
		for _, k := range list {
			h := k.host(t)
			d := h.draft(t, nil)
			text := string(render(t, d))
			got := k.judge(d, text)
			counts[got]++
			if got != "right" {
				t.Errorf("%s: %s, %s: %s\n%s", where, k.Name, k.Expect, got, text)
			}
			if !noServer.MatchString(text) {
				t.Errorf("%s: %s: the block replaces the site:\n%s", where, k.Name, text)
			}
		}
		t.Logf("%s: %v of %d", where, counts, len(list))
	}
}

// TestSecretKinds has secrets of many kinds, with "canary" in them. Neither what is written nor a
// remark has it, with and without the content of files.
func TestSecretKinds(t *testing.T) {
	t.Parallel()
	for where, list := range kinds(t, "secrets.json") {
		out := 0
		for _, k := range list {
			for _, content := range []bool{false, true} {
				h := k.host(t)
				h.content = content
				d := h.draft(t, nil)
				text := string(render(t, d)) + fmt.Sprint(lines(d))
				if strings.Contains(text, "canary") {
					t.Errorf("%s: %s (content: %v):\n%s", where, k.Name, content, text)
					out++
				}
			}
		}
		t.Logf("%s: %d of %d were copied out", where, out, len(list))
	}
}
