package adopt_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var (
	setupLink = regexp.MustCompile(`ln -s (\S+) (/[^\s;]+)`)
	setupDirs = regexp.MustCompile(`mkdir -p ([^;\n]+)`)
	setupTime = regexp.MustCompile(`>(/\S+/TIME)`)
	setupUnit = regexp.MustCompile(`enable --now ([\w. -]+)`)
	setupUser = regexp.MustCompile(`useradd ([^;\n]+)`)
	braces    = regexp.MustCompile(`^(.*)\{([^}]*)\}(.*)$`)
)

// setup reads a set-up beside the repository: the files of root, and of setup.sh the links,
// directories, accounts and units.
func setup(t *testing.T, dir string) *fakeHost {
	archive := &txtar.Archive{}
	add := func(name, text string) {
		archive.Files = append(archive.Files, txtar.File{Name: "host" + name, Data: []byte(text)})
	}
	root := filepath.Join(dir, "root")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		add(strings.TrimPrefix(p, root), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join(dir, "setup.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range setupDirs.FindAllStringSubmatch(string(script), -1) {
		for _, word := range strings.Fields(m[1]) {
			for _, p := range expanded(word) {
				add(p+"/", "")
			}
		}
	}
	for _, m := range setupLink.FindAllStringSubmatch(string(script), -1) {
		add(m[2]+" -> "+m[1], "")
	}
	for _, m := range setupTime.FindAllStringSubmatch(string(script), -1) {
		add(m[1], "1\n")
	}
	units := "nginx.service enabled active\napache2.service enabled active\ncron.service enabled active\n"
	for _, m := range setupUnit.FindAllStringSubmatch(string(script), -1) {
		for _, u := range strings.Fields(m[1]) {
			if !strings.Contains(u, ".") {
				u += ".service"
			}
			units += u + " enabled active\n"
		}
	}
	archive.Files = append(archive.Files, txtar.File{Name: "units", Data: []byte(units)},
		txtar.File{Name: "packages", Data: []byte("rsync nginx apache2 caddy cron logrotate openssl")})
	h := newFakeHost(t, archive)
	for _, m := range setupUser.FindAllStringSubmatch(string(script), -1) {
		for _, word := range strings.Fields(m[1]) {
			if !strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "/") {
				h.users = append(h.users, word)
			}
		}
	}
	return h
}

func expanded(word string) []string {
	m := braces.FindStringSubmatch(word)
	if m == nil {
		return []string{word}
	}
	var list []string
	for part := range strings.SplitSeq(m[2], ",") {
		list = append(list, m[1]+part+m[3])
	}
	return list
}

// TestSetups has whole set-ups beside the repository, if there are any. What is written for each is
// a configuration whose plan is what the draft says, and it replaces no site.
func TestSetups(t *testing.T) {
	t.Parallel()
	dirs, _ := filepath.Glob(filepath.Join(cases(), "adopt", "s[0-9]*"))
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			h := setup(t, dir)
			d := h.draft(t, nil)
			text := render(t, d)
			h.honest(t, d, text)
			if strings.Contains(string(text), "canary") || regexp.MustCompile(`server += "(nginx|apache|`+
				`caddy)"`).Match(text) || regexp.MustCompile(`rm /`).Match(text) {
				t.Errorf("it replaces what is there:\n%s", text)
			}
			t.Logf("%s", text)
		})
	}
}
