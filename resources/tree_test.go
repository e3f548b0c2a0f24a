package resources

import (
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Trees that one run wants together must not lead into one another, by links either.
func TestTreesWanted(t *testing.T) {
	t.Parallel()
	want := &Tree{Path: "/srv/link/b", Name: "b"}
	target := engine.Target{Name: "fra1", Wanted: []engine.Record{
		{Address: "mirror.a.tree", Own: true, State: &Tree{Path: "/srv/a", Name: "a"}},
		{Address: "mirror.b.tree", Own: true, State: want},
		{Address: "mirror.b.directory", Own: true, State: &Directory{Path: "/srv/link/b"}},
	}}
	for real, says := range map[string]string{
		"/srv/link/b": "", "/srv/ab": "", "/srv": "/srv/a, which is a tree of mirror.a.tree, are nested", "/srv/a/b": "are nested",
	} {
		queries := treeType{}.Ask(target, want)
		answer := &wire.Tree{Place: wire.Place{Path: want.Path, Real: real, At: "8:1:" + real}, Kind: wire.Directory, Identity: "x"}
		for _, p := range queries[0].Args {
			answer.Others = append(answer.Others, wire.Place{Path: p, Real: p, At: "8:1:" + p})
		}
		got, err := engine.NewAnswers(queries, []wire.Answer{{Tree: answer}, {File: &wire.File{}}, {File: &wire.File{}}})
		if err != nil {
			t.Fatal(err)
		}
		have, err := treeType{}.Read(target, want, got)
		if err != nil {
			t.Fatal(err)
		}
		problems := treeType{}.Check(target, want, have)
		if text := problemText("check", problems); refused(problems) != (says != "") || !strings.Contains(text, says) {
			t.Errorf("%s: it says %q, want %q", real, text, says)
		}
	}
}

// What the manifest says decides whose a directory is, and what it must be apart from.
func TestTreeRecords(t *testing.T) {
	t.Parallel()
	const (
		one   = "mirrorform-claim 1\nfilesystem UUID=0a1b\nsubvolume 0\ninode 131\n"
		other = "mirrorform-claim 1\nfilesystem UUID=2c3d\nsubvolume 0\ninode 131\n"
		keep  = "it holds the mirror's files"
	)
	tree := func(path, identity string) *Tree { return &Tree{Path: path, Name: "almalinux", Identity: identity} }
	record := func(address string, own bool, state any, keep string) engine.Record {
		configuration := "other"
		if own {
			configuration = "own"
		}
		return engine.Record{Address: address, Configuration: configuration, Own: own, State: state, Keep: keep}
	}
	files := []string{"debian/"}
	for _, test := range []struct {
		name    string
		path    string
		records []engine.Record
		was     string // the identity that is remembered
		entries []string
		says    string // "": it may be claimed
	}{
		{"own by its tree", "/srv/a", []engine.Record{record("mirror.almalinux.tree", true, tree("/srv/a", one), "")}, one, files, ""},
		{"own, but another disk", "/srv/a", []engine.Record{record("mirror.almalinux.tree", true, tree("/srv/a", other), "")}, other, files, "not the directory that was claimed"},
		{"own, but another disk, which is empty", "/srv/a", []engine.Record{record("mirror.almalinux.tree", true, tree("/srv/a", other), "")}, other, nil, ""},
		{"own, but another disk with its tree", "/srv/a", []engine.Record{record("mirror.almalinux.tree", true, tree("/srv/a", other), "")}, other, []string{"9.6/", "TIME"}, ""},
		{"own by the directory of an old manifest", "/srv/a", []engine.Record{record("mirror.almalinux.directory", true, &Directory{Path: "/srv/a"}, keep)}, "", files, ""},
		{"own by the mount of an old manifest", "/srv/a", []engine.Record{record("mirror.almalinux.mount", true, &Mount{Path: "/srv/a"}, "")}, "", files, ""},
		{"a mount above the directory", "/srv/a", []engine.Record{
			record("mirror.almalinux.mount", true, &Mount{Path: "/srv/a"}, ""), record("mirror.almalinux.directory", true, &Directory{Path: "/srv/a/b"}, keep),
		}, "", files, "contains debian/"},
		{"a directory that is no mirror's", "/srv/a", []engine.Record{record("directory.a", true, &Directory{Path: "/srv/a"}, "")}, "", files, "contains debian/"},
		{"another configuration's, under the same address", "/srv/a", []engine.Record{record("mirror.almalinux.directory", false, &Directory{Path: "/srv/a"}, keep)}, "", files, "contains debian/"},
		{"the same with a tree", "/srv/a", []engine.Record{record("mirror.almalinux.directory", false, &Directory{Path: "/srv/a"}, keep)}, "", []string{"9.6/", "TIME"}, ""},
		{"another mirror's", "/srv/a", []engine.Record{record("mirror.epel.directory", false, &Directory{Path: "/srv/a"}, keep)}, "", nil, "are nested"},
		{"around another one", "/srv", []engine.Record{record("mirror.epel.tree", true, tree("/srv/a", one), "")}, "", nil, "are nested"},
		{"in another one", "/srv/a/b", []engine.Record{record("mirror.epel.tree", false, tree("/srv/a", one), "")}, "", nil, "are nested"},
		{"in the whole disk of another one", "/srv/a/b", []engine.Record{record("mirror.epel.mount", false, &Mount{Path: "/srv/a"}, "")}, "", nil, "are nested"},
		{"on a disk that is mounted by a resource", "/srv/a/b", []engine.Record{record("mount.data", false, &Mount{Path: "/srv/a"}, "")}, "", nil, ""},
		{"around such a disk", "/srv/a", []engine.Record{record("mount.data", false, &Mount{Path: "/srv/a/b"}, "")}, "", nil, "are nested"},
		{"beside another one", "/srv/ab", []engine.Record{record("mirror.epel.tree", false, tree("/srv/a", one), "")}, "", nil, ""},
		{"its own path has changed", "/srv/a/b", []engine.Record{record("mirror.almalinux.tree", true, tree("/srv/a", one), "")}, one, nil, ""},
		{"a record that nobody can read", "/srv/a", []engine.Record{record("mirror.epel.tree", false, nil, "")}, "", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			target := engine.Target{Name: "fra1", Records: test.records}
			want := &Tree{Path: test.path, Name: "almalinux", Identity: test.was}
			queries := treeType{}.Ask(target, want)
			place := func(p string) wire.Place { return wire.Place{Path: p, Real: p, At: "8:1:" + p} }
			answer := &wire.Tree{Place: place(test.path), Kind: wire.Directory, Identity: one, Entries: test.entries}
			for _, p := range queries[0].Args {
				answer.Others = append(answer.Others, place(p))
			}
			got, err := engine.NewAnswers(queries, []wire.Answer{{Tree: answer}, {File: &wire.File{}}, {File: &wire.File{}}})
			if err != nil {
				t.Fatal(err)
			}
			have, err := treeType{}.Read(target, want, got)
			if err != nil {
				t.Fatal(err)
			}
			problems := treeType{}.Check(target, want, have)
			text := problemText("check", problems)
			if refused(problems) != (test.says != "") || !strings.Contains(text, test.says) {
				t.Errorf("it says %q, want %q", text, test.says)
			}
		})
	}
}
