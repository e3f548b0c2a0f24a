package resources

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

func TestDeletion(t *testing.T) {
	t.Parallel()
	const path = "/srv/mirror/almalinux"
	du := wire.Run{Stdout: "812000000000\t" + path + "\n"}
	full := wire.File{Kind: wire.Directory, Fingerprint: "f"}
	for _, test := range []struct {
		name    string
		locks   []string
		file    wire.File
		du      wire.Run
		summary string // "" is no step
		argv    string
	}{
		{
			"with its lock", []string{"/run/a.lock"}, full, du, "delete " + path + " and all its files (812 GB)",
			"/usr/bin/flock --nonblock --verbose /run/a.lock /usr/bin/find " + path + " -xdev -delete",
		},
		{
			"two locks", []string{"/run/a.lock", "/run/b.lock"}, full, du, "delete " + path + " and all its files (812 GB)",
			"/usr/bin/flock --nonblock --verbose /run/a.lock /usr/bin/flock --nonblock --verbose /run/b.lock /usr/bin/find " + path + " -xdev -delete",
		},
		{
			"a mount point stays", nil, wire.File{Kind: wire.Directory, Fingerprint: "f", MountAt: true}, du, "delete all files in " + path + " (812 GB)",
			"/usr/bin/find " + path + " -xdev -mindepth 1 -delete",
		},
		{
			"too much to count in time", nil, full, wire.Run{Exit: -1, Stderr: "killed"}, "delete " + path + " and all its files (at most 3 TB, the used space of /srv)",
			"/usr/bin/find " + path + " -xdev -delete",
		},
		{"empty already", nil, wire.File{Kind: wire.Directory, Fingerprint: "f", Empty: true}, du, "remove " + path, ""},
		{"an empty mount point", nil, wire.File{Kind: wire.Directory, Fingerprint: "f", Empty: true, MountAt: true}, du, "", ""},
		{"a link in its place", nil, wire.File{Kind: wire.Symlink, Fingerprint: "f", Target: "/"}, du, "", ""},
		{"absent", nil, wire.File{}, du, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			plain := &Directory{Path: path}
			want := plain.Deleting(test.locks...)
			if plain.deletion != nil {
				t.Fatal("the directory itself was changed")
			}
			answers := []wire.Answer{{File: &test.file}, {Run: &test.du}, {Filesystem: &wire.Filesystem{MountPoint: "/srv", Size: 4e12, Available: 1e12}}, {Tree: &wire.Tree{}}}
			got, err := engine.NewAnswers(directoryType{}.Ask(engine.Target{}, want), answers)
			if err != nil {
				t.Fatal(err)
			}
			have, err := directoryType{}.Read(engine.Target{}, want, got)
			if err != nil {
				t.Fatal(err)
			}
			if have == nil {
				if test.file.Kind != wire.Absent {
					t.Error("nothing was found")
				}
				return
			}
			steps := directoryType{}.Diff(engine.Target{}, nil, have)
			if test.summary == "" {
				if len(steps) > 0 {
					t.Errorf("steps %+v", steps)
				}
				return
			}
			if len(steps) != 1 || steps[0].Summary != test.summary {
				t.Fatalf("steps %+v", steps)
			}
			if test.argv != "" && !slices.Equal(steps[0].Do.Run.Argv, strings.Fields(test.argv)) {
				t.Errorf("argv %q", steps[0].Do.Run.Argv)
			}
			if !reflect.DeepEqual(directoryType{}.Diff(engine.Target{}, plain, have), directoryType{}.Diff(engine.Target{}, plain, &Directory{Path: path, Kind: have.Kind, found: have.found})) {
				t.Error("deletion changes what is done to a directory that is wanted")
			}
		})
	}
}

// What is mounted in a directory is not deleted with it, and no part of it either.
func TestDeletionMounts(t *testing.T) {
	t.Parallel()
	const path = "/srv/mirror/almalinux"
	for text, tree := range map[string]wire.Tree{
		"/x is mounted below it":                            {Mounts: []string{path + "/x"}},
		path + "/x and " + path + "/y are mounted below it": {Mounts: []string{path + "/x", path + "/y"}},
		"it is a bind mount of /home/keep":                  {Bound: "/home/keep"},
	} {
		want := (&Directory{Path: path}).Deleting()
		answers := []wire.Answer{{File: &wire.File{Kind: wire.Directory}}, {Run: &wire.Run{}}, {Filesystem: &wire.Filesystem{}}, {Tree: &tree}}
		got, err := engine.NewAnswers(directoryType{}.Ask(engine.Target{}, want), answers)
		if err != nil {
			t.Fatal(err)
		}
		if have, err := (directoryType{}).Read(engine.Target{}, want, got); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: read as %v, %v", text, have, err)
		}
	}
}
