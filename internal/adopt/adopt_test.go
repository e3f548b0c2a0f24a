package adopt_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/adopt"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/resources"
)

var update = flag.Bool("update", false, "write the golden sections of testdata")

// fakeHost answers questions from the sections of a test file.
type fakeHost struct {
	files    map[string]wire.File
	units    map[string]wire.Unit
	packages map[string]bool
	mount    wire.Filesystem
	content  bool // the content of files is copied
	users    []string
}

// newFakeHost reads the sections: "host/PATH" is a file, "host/PATH -> TARGET" a link, "host/PATH/"
// a directory; units has lines of a unit's name and its two states, packages has names, filesystem
// has a mount point, type, source and size. After the files, modes has lines of a mode, an owner and
// a path.
func newFakeHost(t testing.TB, archive *txtar.Archive) *fakeHost {
	h := &fakeHost{map[string]wire.File{}, map[string]wire.Unit{}, map[string]bool{}, wire.Filesystem{MountPoint: "/", Type: "ext4", Source: "/dev/sda1", Size: 4e12, Available: 2e12}, false, nil}
	for _, f := range archive.Files {
		text := string(f.Data)
		switch name, isFile := strings.CutPrefix(f.Name, "host/"); {
		case isFile:
			link, target, isLink := strings.Cut("/"+name, " -> ")
			h.add(link, target, isLink, f.Data)
		case f.Name == "units":
			for line := range strings.Lines(text) {
				words := strings.Fields(line)
				h.units[words[0]] = wire.Unit{LoadState: "loaded", UnitFileState: words[1], ActiveState: words[2]}
			}
		case f.Name == "packages":
			for _, p := range strings.Fields(text) {
				h.packages[p] = true
			}
		case f.Name == "content":
			h.content = true
		case f.Name == "modes":
			for line := range strings.Lines(text) {
				words := strings.Fields(line)
				mode, err := strconv.ParseUint(words[0], 8, 32)
				if err != nil {
					t.Fatal(err)
				}
				file := h.files[words[2]]
				file.Mode, file.Owner = uint32(mode), words[1]
				h.files[words[2]] = file
			}
		case f.Name == "filesystem":
			words := strings.Fields(text)
			size, err := humanize.ParseBytes(words[3])
			if err != nil {
				t.Fatal(err)
			}
			h.mount = wire.Filesystem{MountPoint: words[0], Type: words[1], Source: words[2], Size: size, Available: size / 2}
		}
	}
	return h
}

func (h *fakeHost) add(p, target string, link bool, content []byte) {
	mode := uint32(0o644)
	if strings.HasPrefix(string(content), "#!") {
		mode = 0o755
	}
	f := wire.File{
		Kind: wire.Regular, Mode: mode, Owner: "root", Group: "root", Fingerprint: "x",
		Size: int64(len(content)), Content: content, HasContent: true,
	}
	sum := sha256.Sum256(content)
	f.SHA256 = hex.EncodeToString(sum[:])
	if link {
		f = wire.File{Kind: wire.Symlink, Target: target, Owner: "root", Group: "root", Fingerprint: "x"}
	}
	if strings.HasSuffix(p, "/") {
		h.directory(strings.TrimSuffix(p, "/"))
		return
	}
	h.files[p] = f
	h.enter(p)
}

func (h *fakeHost) directory(p string) {
	if _, known := h.files[p]; !known {
		h.files[p] = wire.File{Kind: wire.Directory, Mode: 0o755, Owner: "root", Group: "root", Fingerprint: "x", Empty: true}
		if p != "/" {
			h.enter(p)
		}
	}
}

func (h *fakeHost) enter(p string) {
	dir := path.Dir(p)
	h.directory(dir)
	d := h.files[dir]
	d.Empty = false
	d.Entries = append(d.Entries, path.Base(p))
	slices.Sort(d.Entries)
	h.files[dir] = d
}

// under returns a path with the links in its directories resolved.
func (h *fakeHost) under(p string) string {
	for range 16 {
		changed := false
		for dir := path.Dir(p); dir != "/" && dir != "."; dir = path.Dir(dir) {
			f := h.files[dir]
			if f.Kind != wire.Symlink {
				continue
			}
			target := f.Target
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(dir), target)
			}
			p, changed = path.Join(target, strings.TrimPrefix(p, dir)), true
			break
		}
		if !changed {
			break
		}
	}
	return p
}

func (h *fakeHost) answer(t testing.TB, queries []wire.Query) engine.Answers {
	var list []wire.Answer
	for _, q := range queries {
		var a wire.Answer
		switch q.Verb {
		case wire.AskFile:
			f, known := h.files[h.under(q.Arg)]
			switch {
			case known:
			case h.packages[path.Base(q.Arg)] && path.Dir(q.Arg) == "/usr/sbin":
				f.Kind = wire.Regular
			default:
				f.Fingerprint = "absent"
			}
			f.Content = slices.Clone(f.Content)
			if q.Option == "" {
				f.Content, f.HasContent = nil, false
			}
			a.File = &f
		case wire.AskUnit:
			u, known := h.units[q.Arg]
			if !known {
				u.LoadState = "not-found"
			}
			a.Unit = &u
		case wire.AskPackage:
			a.Package = &wire.Package{}
			if h.packages[q.Arg] {
				a.Package.Installed = "1"
			}
		case wire.AskFilesystem:
			fs := h.mount
			a.Filesystem = &fs
		case wire.AskRun: // nginx's configuration as it prints it, which these hosts do not
			a.Run = &wire.Run{Exit: -1}
		case wire.AskMount:
			a.Mount = &wire.Mount{Mounted: q.Arg == h.mount.MountPoint, Source: h.mount.Source}
		case wire.AskTree:
			tree := &wire.Tree{Place: wire.Place{Path: q.Arg, Real: q.Arg, At: "8:1:" + q.Arg}, Kind: h.files[q.Arg].Kind}
			if tree.Kind == wire.Directory {
				tree.Identity = "mirrorform-claim 1\nfilesystem UUID=0a1b\nsubvolume 0\ninode 131\n"
			}
			a.Tree = tree
		case wire.AskLoaded: // nothing was loaded by mirrorform
			a.Loaded = &wire.Loaded{}
		case wire.AskUser:
			a.User = &wire.User{UID: -1, GID: -1}
			if i := slices.Index(h.users, q.Arg); i >= 0 {
				a.User = &wire.User{UID: 1000 + i, GID: 1000 + i, Group: q.Arg, Shell: "/bin/bash", Home: "/home/" + q.Arg}
			}
		case wire.AskGroup:
			a.Group = &wire.Group{GID: -1}
			if i := slices.Index(h.users, q.Arg); i >= 0 {
				a.Group = &wire.Group{GID: 1000 + i}
			}
		case wire.AskHTTP:
			a.HTTP = &wire.HTTP{}
		case wire.AskListeners:
			a.Listeners = &wire.Listeners{}
		case wire.AskBus: // these hosts have no firewall
			a.Bus = &wire.Bus{Absent: true}
		default:
			t.Fatalf("adopt asks %s", q.Key())
		}
		list = append(list, a)
	}
	got, err := engine.NewAnswers(queries, list)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// survey asks until nothing is left to ask, as the command does.
func (h *fakeHost) survey(t testing.TB) *adopt.Survey {
	s := adopt.NewSurvey(target)
	rounds := 0
	for queries := s.Next(); len(queries) > 0; queries = s.Next() {
		if rounds++; rounds > 10 {
			t.Fatal("the questions do not end")
		}
		s.Add(queries, h.answer(t, queries))
	}
	return s
}

var target = engine.Target{Name: "fra1", Facts: wire.Facts{
	Hostname: "fra1", MachineID: strings.Repeat("a", 32), Systemd: true, Packages: "apt", OS: wire.OSFacts{ID: "debian", Family: "debian", Version: "12"},
}}

func (h *fakeHost) draft(t testing.TB, entry *mirrorsd.File) *adopt.Draft {
	d := adopt.NewDraft(h.survey(t), adopt.Input{Name: "fra1", Address: "203.0.113.10", Dir: "/config", Types: resources.All(), MirrorsD: entry, Content: h.content})
	if d.Found() {
		d.Settle(h.answer(t, d.Questions()))
	}
	return d
}

// planned loads what was written as a configuration, and returns what its plan would do on the
// host.
func (h *fakeHost) planned(t testing.TB, hcl []byte) []string {
	dir := t.TempDir()
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hosts.hcl", []byte("host \"fra1\" {\n  address = \"203.0.113.10\"\n}\n"))
	write("adopted.hcl", hcl)
	c, diags := config.Load(config.Options{Dir: dir, Registry: mirror.Types()})
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags, hcl)
	}
	list, diags := c.Resources("fra1", map[string]*wire.Facts{"fra1": &target.Facts})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	ordered, problems := engine.Order(target, list)
	if len(problems) > 0 {
		t.Fatal(problems[0])
	}
	plan := engine.Compare(target, ordered, h.answer(t, engine.Questions(target, ordered)))
	var out []string
	for _, c := range plan.Changes {
		for _, s := range c.Steps {
			out = append(out, s.Summary)
		}
	}
	for _, p := range plan.Problems {
		if p.Severity == engine.Error {
			out = append(out, p.Error())
		}
	}
	return out
}

// honest checks that the plan of what was written is that of the draft: empty, or as it says.
func (h *fakeHost) honest(t testing.TB, d *adopt.Draft, hcl []byte) {
	changes := h.planned(t, hcl)
	if !bytes.Contains(hcl, []byte("\nmirror ")) {
		if len(changes) > 0 {
			t.Errorf("the plan is not empty: %q\n%s", changes, hcl)
		}
		return
	}
	slices.Sort(changes)
	said := slices.Clone(d.Changes)
	slices.Sort(said)
	if !slices.Equal(changes, said) {
		t.Errorf("the plan has %q\nbut the draft says %q\n%s", changes, said, hcl)
	}
}

func render(t testing.TB, drafts ...*adopt.Draft) []byte {
	text, err := adopt.Render(drafts, func(string, string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Each file of testdata is a host; want is what adopt writes for it. Its plan on that host is
// empty.
func TestAdopt(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			h := newFakeHost(t, archive)
			var entry *mirrorsd.File
			for _, f := range archive.Files {
				if f.Name == "mirrorsd" {
					parsed, err := mirrorsd.Parse(f.Data)
					if err != nil {
						t.Fatal(err)
					}
					entry = &parsed
				}
			}
			d := h.draft(t, entry)
			got := render(t, d)
			if strings.Contains(string(got), "canary") || strings.Contains(fmt.Sprint(d.Remarks, d.Changes), "canary") {
				t.Errorf("a secret was written:\n%s\n%v", got, d.Remarks)
			}
			h.honest(t, d, got)
			last := &archive.Files[len(archive.Files)-1]
			if last.Name != "want" {
				t.Fatal("the last section is want")
			}
			if *update {
				last.Data = got
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if string(got) != string(last.Data) {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}
