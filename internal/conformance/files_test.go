package conformance

import (
	"maps"
	"slices"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/resources"
)

func directoryCases() []testCase {
	const path = "/srv/case"
	return []testCase{
		{
			kind: "directory", name: "attributes",
			variants: []any{
				&resources.Directory{Path: path, Owner: "plain", Group: "adm", Mode: "2750"},
				&resources.Directory{Path: path, Owner: "root", Group: "plain", Mode: "0755"},
				&resources.Directory{Path: path, Owner: "0", Group: "0", Mode: "1777"},
			},
			effect: []string{"test", "-d", path},
			edits: []edit{
				by("mode", "chmod", "0755", path),
				by("owner", "chown", "root", path),
				by("group", "chgrp", "root", path),
				by("missing", "rmdir", path),
			},
			ignored: []edit{{name: "entry", argvs: [][]string{{"touch", path + "/entry"}, {"rm", path + "/entry"}}}},
		},
		{
			kind: "directory", name: "not empty",
			variants: []any{&resources.Directory{Path: path, Mode: "0700"}, &resources.Directory{Path: path, Mode: "0755"}},
			files:    []file{{path + "/kept", "what is in it", 0o600}},
			stays:    "it is not empty",
			cleanup:  [][]string{{"rm", "-r", path}},
		},
		{
			kind: "directory", name: "missing parents",
			variants: []any{&resources.Directory{Path: path + "/of/parents", Owner: "plain", Mode: "0700"}},
			effect:   []string{"test", "-d", path + "/of/parents"},
			cleanup:  [][]string{{"rmdir", path + "/of", path}},
		},
	}
}

func treeCases() []testCase {
	const path, claim = "/srv/case", "/etc/mirrorform-sync/case.claim"
	leave := [][]string{{"rmdir", path, "/etc/mirrorform-sync"}}
	return []testCase{
		{
			kind: "tree", name: "missing",
			variants: []any{
				&resources.Tree{Path: path, Name: "case", Owner: "root", Group: "root"}, &resources.Tree{Path: path, Name: "case", Owner: "plain", Group: "plain"},
			},
			effect: []string{"test", "-s", claim},
			edits: []edit{
				by("claim missing", "rm", claim),
				by("claim of another directory", "sed", "-i", "s/^inode .*/inode 1/", claim),
				by("claim that others may write", "chmod", "0666", claim),
			},
			cleanup: leave,
		},
		{
			kind: "tree", name: "full, and claimed",
			variants: []any{&resources.Tree{Path: path, Name: "case", Claim: path}},
			files:    []file{{path + "/kept", "what is in it", 0o600}},
			effect:   []string{"test", "-s", claim},
			cleanup:  [][]string{{"rm", path + "/kept"}, {"rmdir", path, "/etc/mirrorform-sync"}},
		},
	}
}

func fileCases() []testCase {
	const path = "/srv/case"
	return []testCase{
		{
			kind: "file", name: "content",
			variants: []any{
				&resources.File{Path: path, Content: new("one\n"), Owner: "root", Group: "root", Mode: "0644"},
				&resources.File{Path: path, Content: new("two\nlines\n"), Owner: "plain", Group: "adm", Mode: "0600"},
				&resources.File{Path: path, Content: new(""), Owner: "root", Group: "root", Mode: "0644"},
			},
			effect: []string{"grep", "-qx", "one", path},
			edits: []edit{
				by("extra text", "sed", "-i", "$ a extra", path),
				by("truncated", "truncate", "--size=0", path),
				by("too large to show", "truncate", "--size=5M", path),
				by("no text", "cp", "/usr/bin/true", path),
				by("mode", "chmod", "0666", path),
				by("owner", "chown", "plain", path),
				by("group", "chgrp", "plain", path),
				by("missing", "rm", path),
				by("link to a file", "ln", "-sf", "/etc/hostname", path),
				by("link to nothing", "ln", "-sf", "/nonexistent", path),
				by("hard link", "ln", "-f", "/etc/motd", path),
			},
		},
		{
			kind: "file", name: "setuid",
			variants: []any{
				&resources.File{Path: path, Content: new("#!/bin/true\n"), Owner: "root", Mode: "4755"},
				&resources.File{Path: path, Content: new("#!/bin/true\n"), Owner: "plain", Mode: "4755"},
				&resources.File{Path: path, Content: new("#!/bin/true\n"), Owner: "plain", Mode: "6755"},
			},
			edits: []edit{by("owner", "chown", "plain", path), by("content", "sed", "-i", "s/true/false/", path)},
		},
		{
			kind: "file", name: "source that is no text",
			variants: []any{
				&resources.File{Path: path, Source: "local", SourceContent: []byte("\x00\xff\x00one")},
				&resources.File{Path: path, Source: "local", SourceContent: []byte("\x00\xff\x00two")},
				&resources.File{Path: path, Source: "local", SourceContent: []byte("text\n")},
			},
			edits: []edit{by("text", "cp", "/etc/hostname", path)},
		},
		{
			kind: "file", name: "content not managed",
			variants: []any{&resources.File{Path: path, Owner: "plain", Mode: "0640"}, &resources.File{Path: path, Owner: "root", Mode: "0644"}},
			edits:    []edit{by("missing", "rm", path), by("mode", "chmod", "0600", path)},
			ignored:  []edit{by("content", "cp", "--no-preserve=all", "/etc/hostname", path), by("group", "chgrp", "adm", path)},
		},
		{
			kind: "file", name: "there before",
			variants: []any{&resources.File{Path: path, Content: new("new\n")}},
			files:    []file{{path, "old\n", 0o600}},
			prepare:  [][]string{{"chown", "plain:adm", path}},
			ignored:  []edit{by("owner", "chown", "root", path)},
		},
		{
			kind: "file", name: "validated",
			variants: []any{
				&resources.File{Path: path, Content: new("good\n"), Validate: []string{"/usr/bin/grep", "-q", "good", "{}"}},
				&resources.File{Path: path, Content: new("as good\n"), Validate: []string{"/usr/bin/grep", "-q", "good", "{}"}},
			},
			edits: []edit{by("invalid by hand", "truncate", "--size=0", path)},
		},
		{
			kind: "file", name: "hostile path with missing parents",
			variants: []any{
				&resources.File{Path: "/srv/case's dir/$(touch pwn)/ü; `id` \\\"*?", Content: new("one"), Mode: "0600"},
				&resources.File{Path: "/srv/case's dir/$(touch pwn)/ü; `id` \\\"*?", Content: new("two"), Mode: "0600"},
			},
			cleanup: [][]string{{"rmdir", "/srv/case's dir/$(touch pwn)", "/srv/case's dir"}},
		},
	}
}

func fileRefusals() []refusal {
	const path = "/srv/case"
	directory := [][]string{{"mkdir", path}}
	return []refusal{
		{
			kind: "file", name: "directory in the way", state: &resources.File{Path: path, Content: new("x")}, prepare: directory,
			problem: path + " is a directory", op: &wire.Op{Write: &wire.WriteOp{Path: path}}, refuses: "directory", cleanup: [][]string{{"rmdir", path}},
		},
		{
			kind: "symlink", name: "directory in the way", state: &resources.Symlink{Path: path, Target: "/etc"}, prepare: directory,
			problem: path + " is a directory", op: &wire.Op{Symlink: &wire.SymlinkOp{Path: path, Target: "/etc"}}, refuses: "directory",
			cleanup: [][]string{{"rmdir", path}},
		},
		{
			kind: "directory", name: "file in the way", state: &resources.Directory{Path: path}, files: []file{{path, "x", 0o600}},
			problem: path + " is a file", op: &wire.Op{Mkdir: &wire.MkdirOp{Path: path}}, refuses: "exists", cleanup: [][]string{{"rm", path}},
		},
		{
			kind: "tree", name: "full", state: &resources.Tree{Path: path, Name: "case"}, files: []file{{path + "/thesis.odt", "x", 0o600}},
			problem: path + " contains thesis.odt", op: &wire.Op{Claim: &wire.ClaimOp{Path: "/etc/case.claim", Tree: path}}, refuses: "no longer empty",
			cleanup: [][]string{{"rm", "-r", path}},
		},
		{
			kind: "tree", name: "link to a home directory", state: &resources.Tree{Path: path + "/plain", Name: "case"}, prepare: [][]string{{"ln", "-s", "/home", path}},
			problem: "is a home directory", cleanup: [][]string{{"rm", path}},
		},
		{
			kind: "directory", name: "link in the way", state: &resources.Directory{Path: path}, prepare: [][]string{{"ln", "-s", "/etc", path}},
			problem: path + " is a symlink", op: &wire.Op{Mkdir: &wire.MkdirOp{Path: path}}, refuses: "exists", cleanup: [][]string{{"rm", path}},
		},
		{
			kind: "file", name: "pipe in the way", state: &resources.File{Path: path}, prepare: [][]string{{"mkfifo", path}},
			problem: path + " is a device, socket or named pipe", op: &wire.Op{Write: &wire.WriteOp{Path: path}}, refuses: "pipe",
			cleanup: [][]string{{"rm", path}},
		},
		{
			kind: "file", name: "invalid content", files: []file{{path, "good", 0o600}},
			op:      &wire.Op{Write: &wire.WriteOp{Path: path, Content: []byte("bad"), Validate: []string{"/usr/bin/grep", "-q", "good", "{}"}}},
			refuses: "not valid", cleanup: [][]string{{"rm", path}},
		},
		{
			kind: "directory", name: "removal of one that is not empty", files: []file{{path + "/kept", "x", 0o600}},
			op: &wire.Op{Remove: &wire.RemoveOp{Path: path}}, refuses: "not empty", cleanup: [][]string{{"rm", "-r", path}},
		},
	}
}

// pathRefusals are all operations on paths, redirected by a link of an ordinary user in its own
// directory.
func pathRefusals() []refusal {
	const home, target = "/srv/home", "/srv/target"
	prepare := [][]string{
		{"install", "-d", "-o", "plain", home}, {"mkdir", target}, {"touch", target + "/there"},
		{"ln", "-s", target, home + "/link"}, {"chown", "-h", "plain", home + "/link"},
	}
	ops := map[string]wire.Op{
		"write":          {Write: &wire.WriteOp{Path: home + "/link/new", Parents: true}},
		"write over":     {Write: &wire.WriteOp{Path: home + "/link/there"}},
		"mkdir":          {Mkdir: &wire.MkdirOp{Path: home + "/link/new"}},
		"mkdir, parents": {Mkdir: &wire.MkdirOp{Path: home + "/link/new/one", Parents: true}},
		"symlink":        {Symlink: &wire.SymlinkOp{Path: home + "/link/new", Target: "/etc"}},
		"attributes":     {Attr: &wire.AttrOp{Path: home + "/link/there", Attributes: wire.Attributes{Mode: new(uint32(0o777))}}},
		"remove":         {Remove: &wire.RemoveOp{Path: home + "/link/there"}},
	}
	var all []refusal
	for _, name := range slices.Sorted(maps.Keys(ops)) {
		all = append(all, refusal{
			kind: "path", name: name + " through an ordinary user's link", prepare: prepare, op: new(ops[name]), refuses: "link owned by",
			cleanup: [][]string{{"rm", "-r", home, target}},
		})
	}
	return all
}

func programCases() []testCase {
	const path = "/usr/local/libexec/case"
	return []testCase{{
		kind: "program", name: "sync",
		variants: []any{&resources.Program{Path: path, Name: wire.SyncProgram}},
		effect:   []string{"test", "-x", path},
		edits: []edit{
			by("more bytes", "sh", "-c", "echo more >>"+path),
			by("another program", "cp", "/bin/true", path),
			by("mode", "chmod", "4755", path),
			by("owner", "chown", "plain", path),
			by("missing", "rm", path),
		},
		cleanup: [][]string{{"rmdir", "/usr/local/libexec"}},
	}}
}

// fileFailures are changes between plan and apply, and content that proves to be invalid.
func fileFailures() []failure {
	const path = "/srv/case"
	old := []file{{path, "old\n", 0o644}}
	want := &resources.File{Path: path, Content: new("new\n"), Mode: "0600"}
	const changed = path + " has changed since it was observed"
	remove := [][]string{{"rm", "-r", path}}
	return []failure{
		{
			kind: "file", name: "invalid when applied", files: old, cleanup: remove, says: "not valid",
			state: &resources.File{Path: path, Content: new("new\n"), Validate: []string{"/usr/bin/grep", "-q", "good", "{}"}},
		},
		{kind: "file", name: "edited after the plan", state: want, files: old, between: [][]string{{"sed", "-i", "$ a more", path}}, says: changed, cleanup: remove},
		{kind: "file", name: "chmod after the plan", state: want, files: old, between: [][]string{{"chmod", "0640", path}}, says: changed, cleanup: remove},
		{kind: "file", name: "link after the plan", state: want, files: old, between: [][]string{{"ln", "-sf", "/etc/shadow", path}}, says: changed, cleanup: remove},
		{kind: "file", name: "directory after the plan", state: want, files: old, between: [][]string{{"rm", path}, {"mkdir", path}}, says: changed, cleanup: remove},
		{kind: "file", name: "gone after the plan", state: want, files: old, between: [][]string{{"rm", path}}, says: changed},
		{kind: "file", name: "made after the plan", state: want, between: [][]string{{"cp", "/etc/hostname", path}}, says: changed, cleanup: remove},
		{
			kind: "symlink", name: "made after the plan", state: &resources.Symlink{Path: path, Target: "/etc"},
			between: [][]string{{"touch", path}}, says: changed, cleanup: remove,
		},
		{
			kind: "directory", name: "link after the plan", state: &resources.Directory{Path: path, Owner: "plain", Mode: "0777"}, prepare: [][]string{{"mkdir", path}},
			between: [][]string{{"rmdir", path}, {"ln", "-s", "/etc", path}}, says: changed, cleanup: remove,
		},
		{
			kind: "file", name: "parent swapped for an ordinary user's link", state: &resources.File{Path: path + "/home/new", Content: new("x")},
			prepare: [][]string{{"install", "-d", "-o", "plain", path, path + "/home"}},
			between: [][]string{{"rmdir", path + "/home"}, {"ln", "-s", "/etc", path + "/home"}, {"chown", "-h", "plain", path + "/home"}},
			says:    "link owned by", cleanup: remove,
		},
		{kind: "file", name: "owner that is not there", state: &resources.File{Path: path, Content: new("x"), Owner: "nobody-such"}, says: "not found on this host"},
	}
}

func symlinkCases() []testCase {
	const path = "/srv/case"
	return []testCase{{
		kind: "symlink", name: "target",
		variants: []any{
			&resources.Symlink{Path: path, Target: "/etc/hostname"},
			&resources.Symlink{Path: path, Target: "relative to/nothing"},
		},
		effect: []string{"cmp", "-s", path, "/etc/hostname"},
		edits: []edit{
			by("other target", "ln", "-sfn", "/etc", path),
			by("missing", "rm", path),
			{name: "file", argvs: [][]string{{"rm", path}, {"cp", "/etc/hostname", path}}},
		},
	}}
}

func cronCases() []testCase {
	const path = "/etc/cron.d/case"
	return []testCase{{
		kind: "cron", name: "entry",
		variants: []any{
			&resources.Cron{
				Name: "case", Schedule: "0 */3 * * *", User: "plain",
				Command:     []string{"/usr/bin/flock", "-n", "/run/case lock", "-c", `/usr/bin/true 100% 'of it' \done`},
				Environment: map[string]string{"MAILTO": "", "CASE": "it's"},
			},
			&resources.Cron{Name: "case", Schedule: "@daily", Command: []string{"/usr/bin/true"}, RequireMount: "/srv/data", Log: "/var/log/case log",
				OnExit: []string{"/usr/bin/true", "100% of it"}},
			&resources.Cron{Name: "case", Schedule: "*/5 8-18 * 1-3 mon", Command: []string{"/usr/bin/true"}},
		},
		effect: []string{"grep", "-q", "^0 \\*/3 \\* \\* \\* plain /usr/bin/flock", path},
		edits: []edit{
			by("schedule", "sed", "-i", "s/^0/1/", path),
			by("no last newline", "truncate", "--size=-1", path),
			by("mode", "chmod", "0666", path),
			by("owner", "chown", "plain", path),
			by("missing", "rm", path),
			by("link", "ln", "-sf", "/etc/crontab", path),
		},
	}}
}
