package agent

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// arrange makes what a test needs: the arguments of a call that must not fail.
func arrange(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// acl is an access control list by which user 65534 can write to a directory.
var acl = []byte{
	2, 0, 0, 0, // version
	1, 0, 7, 0, 255, 255, 255, 255, // owner
	2, 0, 7, 0, 254, 255, 0, 0, // user 65534
	4, 0, 5, 0, 255, 255, 255, 255, // group
	16, 0, 7, 0, 255, 255, 255, 255, // mask
	32, 0, 5, 0, 255, 255, 255, 255, // others
}

// Whoever can write to a directory can exchange what is in it: no question is led elsewhere by
// that, and each says why.
func TestQuestionsAreNotLedAstray(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of other users")
	}
	tr := plant(t)
	secret := tr.dir + "/secret"
	arrange(t, os.Mkdir(secret, 0o700), os.WriteFile(secret+"/key", []byte("S3CRET"), 0o600))
	for name, c := range map[string]struct {
		arrange func(dir string) []error
		path    string // of a link to secret, below the directory
		says    string // "": it is followed
	}{
		"root's":             {func(string) []error { return nil }, "link", ""},
		"in a sticky one":    {func(d string) []error { return []error{os.Chmod(d, os.ModeSticky|0o777)} }, "link", ""},
		"the group is root":  {func(d string) []error { return []error{os.Chmod(d, 0o775)} }, "link", ""},
		"user's":             {func(d string) []error { return []error{os.Lchown(d+"/link", 65534, 0)} }, "link", "is a link owned by user 65534"},
		"in a user's":        {func(d string) []error { return []error{os.Chown(d, 65534, 0)} }, "link", "user 65534 can write to "},
		"in a user's sticky": {func(d string) []error { return []error{os.Chown(d, 65534, 0), os.Chmod(d, os.ModeSticky|0o755)} }, "link", "user 65534 can write to "},
		"all can write":      {func(d string) []error { return []error{os.Chmod(d, 0o757)} }, "link", "every user can write to "},
		"a group can write":  {func(d string) []error { return []error{os.Chown(d, 0, 65534), os.Chmod(d, 0o775)} }, "link", "group 65534 can write to "},
		"a list permits it": {func(d string) []error {
			return []error{unix.Setxattr(d, "system.posix_acl_access", acl, 0)}
		}, "link", "by an access control list, can write to "},
		"below a user's": {func(d string) []error {
			return []error{os.Chown(d, 65534, 0), os.Mkdir(d+"/sub", 0o755), os.Symlink(secret, d+"/sub/link")}
		}, "sub/link", "user 65534 can write to "},
		"behind root's": {func(d string) []error {
			return []error{os.Mkdir(d+"/u", 0o755), os.Symlink(secret, d+"/u/link"), os.Chown(d+"/u", 65534, 0), os.Symlink("u/link", d+"/to")}
		}, "to", "user 65534 can write to "},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp(tr.dir, "")
			arrange(t, err, os.Chmod(dir, 0o755), os.Symlink(secret, dir+"/link"))
			arrange(t, c.arrange(dir)...)
			link := dir + "/" + c.path
			h := newHost(t.TempDir() + "/state")
			arrange(t, h.units.records.put("x", "y"))
			b := &batch{host: h, mounts: h.storage.mounts}
			for _, q := range []wire.Query{
				{Verb: wire.AskFile, Arg: link + "/key", Option: "content"},
				{Verb: wire.AskFile, Arg: link + "/key", Option: "tail"},
				{Verb: wire.AskFile, Arg: link + "/key", Option: "follow-content"},
				{Verb: wire.AskFile, Arg: link, Option: "follow"},
				{Verb: wire.AskFile, Arg: link + "/none", Option: "follow"},
				{Verb: wire.AskFile, Arg: link + "/key/.."},
				{Verb: wire.AskFile, Arg: link + "/none"},
				{Verb: wire.AskFilesystem, Arg: link},
				{Verb: wire.AskFilesystem, Arg: link + "/none"},
				{Verb: wire.AskTree, Arg: link},
				{Verb: wire.AskTree, Arg: link + "/none"},
				{Verb: wire.AskTree, Arg: "/etc", Args: []string{link}},
				{Verb: wire.AskLoaded, Arg: "x", Args: []string{link + "/key"}},
				{Verb: wire.AskLoaded, Arg: "x", Args: []string{link}},
				{Verb: wire.AskBlock, Arg: link + "/key"},
			} {
				answer := b.askSlowOrQuick(q)
				text, err := json.Marshal(answer)
				arrange(t, err)
				switch refused := strings.Contains(answer.Error, "refused: "); {
				case c.says == "" && refused:
					t.Errorf("%s: %s", q.Key(), answer.Error)
				case c.says != "" && (!refused || !strings.Contains(answer.Error, c.says) || !strings.Contains(answer.Error, "use the path that the link leads to")):
					t.Errorf("%s: %s", q.Key(), text)
				}
			}
			h.storage.fstab.path = link + "/key"
			if _, err := readFile(h.storage.fstab.path); (err == nil) != (c.says == "") {
				t.Errorf("fstab: %v", err)
			}
		})
	}
}

// askSlowOrQuick answers a question of whichever kind.
func (b *batch) askSlowOrQuick(q wire.Query) wire.Answer {
	switch q.Verb {
	case wire.AskTree, wire.AskBlock:
		return b.askSlow(q)
	}
	return b.askQuick(q)
}

// A certificate of certbot is a link into another directory. It is read through the link, and not
// through one that another user can change, wherever on the way that is.
func TestFollow(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	live, archive := tr.dir+"/letsencrypt/live/example.org", tr.dir+"/letsencrypt/archive/example.org"
	link := live + "/fullchain.pem"
	arrange(t, os.MkdirAll(live, 0o700), os.MkdirAll(archive, 0o700), os.Chmod(tr.dir+"/letsencrypt/live", 0o700),
		os.WriteFile(archive+"/fullchain1.pem", []byte("CERT"), 0o644), os.Symlink("../../archive/example.org/fullchain1.pem", link))
	ask := func(path, option string) wire.Answer {
		return tr.ask(wire.Query{Verb: wire.AskFile, Arg: path, Option: option})[0]
	}
	if f := ask(link, "follow-content").File; f == nil || f.Kind != wire.Regular || string(f.Content) != "CERT" || f.Mode != 0o644 || f.SHA256 == "" || f.Owner == "" {
		t.Errorf("%+v", f)
	}
	plain, followed := ask(archive+"/fullchain1.pem", "").File, ask(link, "follow").File
	same(t, "followed", followed, plain)
	if f := ask(link, "content").File; f == nil || f.Kind != wire.Symlink || f.Target != "../../archive/example.org/fullchain1.pem" || f.HasContent {
		t.Errorf("%+v", f)
	}
	arrange(t, os.Symlink("nowhere", live+"/dangling"), os.Symlink("loop", live+"/loop"), os.Symlink(archive, live+"/dir"))
	for _, path := range []string{live + "/dangling", live + "/none", live + "/dangling/x"} {
		if f := ask(path, "follow").File; f == nil || f.Kind != wire.Absent {
			t.Errorf("%s: %+v", path, f)
		}
	}
	if a := ask(live+"/loop", "follow"); !strings.Contains(a.Error, "too many levels of symbolic links") {
		t.Errorf("%+v", a)
	}
	if f := ask(live+"/dir", "follow").File; f == nil || f.Kind != wire.Directory {
		t.Errorf("%+v", f)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of other users")
	}
	theirs := tr.dir + "/theirs"
	arrange(t, os.Mkdir(theirs, 0o755), os.Symlink(archive+"/fullchain1.pem", theirs+"/link"), os.WriteFile(theirs+"/file", []byte("THEIRS"), 0o644),
		os.Chown(theirs, 65534, 65534), os.Symlink(theirs+"/link", live+"/hop"), os.Symlink(theirs+"/file", live+"/theirs"))
	for _, path := range []string{theirs + "/link", live + "/hop"} {
		if a := ask(path, "follow-content"); a.File != nil || !strings.Contains(a.Error, "refused: "+theirs+"/link is a link, and user 65534 can write to "+theirs) {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if f := ask(live+"/theirs", "follow-content").File; f == nil || string(f.Content) != "THEIRS" {
		t.Errorf("what anybody may read through root's link: %+v", f)
	}
	arrange(t, os.Lchown(link, 65534, 65534))
	if a := ask(link, "follow-content"); a.File != nil || !strings.Contains(a.Error, "is a link owned by user 65534") {
		t.Errorf("%+v", a)
	}
}

// A hard link to a file of root's, in a directory of another user, is not read, and its attributes
// are not changed.
func TestHardLinks(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of other users")
	}
	tr := plant(t)
	theirs := tr.dir + "/theirs"
	secret := tr.put("secret", "S3CRET", 0o600)
	arrange(t, os.Mkdir(theirs, 0o755), os.Link(secret, theirs+"/root"),
		os.WriteFile(theirs+"/one", []byte("their own"), 0o600), os.Chown(theirs+"/one", 65534, 65534), os.Link(theirs+"/one", theirs+"/two"),
		os.Chown(theirs, 65534, 65534))
	answer := tr.ask(wire.Query{Verb: wire.AskFile, Arg: theirs + "/root", Option: "content"})[0]
	if answer.File != nil || !strings.Contains(answer.Error, "is one of 2 hard links to a file of user 0, and user 65534 can write to "+theirs) {
		t.Errorf("%+v", answer)
	}
	if answer := tr.ask(wire.Query{Verb: wire.AskFile, Arg: theirs + "/root", Option: "head"})[0]; answer.File != nil {
		t.Errorf("%+v", answer)
	}
	for _, path := range []string{theirs + "/one", secret} {
		if f := tr.file(path); f.Links != 2 || !f.HasContent {
			t.Errorf("%s: %+v", path, f)
		}
	}
	if f := tr.file(tr.put("single", "", 0o600)); f.Links != 0 {
		t.Errorf("%+v", f)
	}
	for _, path := range []string{theirs + "/root", theirs + "/one", secret} {
		tr.refuses(wire.Op{Attr: &wire.AttrOp{Path: path, Attributes: wire.Attributes{Owner: ptr("65534")}}},
			path+" has 2 hard links, which share owner, group and mode")
	}
	var st unix.Stat_t
	if err := unix.Stat(secret, &st); err != nil || st.Uid != 0 {
		t.Errorf("the owner is %d, %v", st.Uid, err)
	}

	// Nor is what was exchanged for such a link given the attributes of before by a rollback.
	path := theirs + "/file"
	arrange(t, os.WriteFile(path, nil, 0o600), os.Chown(path, 65534, 65534))
	tr.do(wire.Order{ID: 1, Op: wire.Op{Attr: &wire.AttrOp{Path: path, Attributes: wire.Attributes{Owner: ptr("0"), Group: ptr("0")}}}, Undo: restore(path)})
	arrange(t, os.Rename(theirs+"/root", path))
	events, _ := tr.rollback()
	if len(events) != 1 || !strings.Contains(events[0].Error, "was replaced or linked to by another program since") {
		t.Errorf("%+v", events)
	}
	if err := unix.Stat(secret, &st); err != nil || st.Uid != 0 {
		t.Errorf("the owner is %d, %v", st.Uid, err)
	}
}

// A lock that others can open is one that they can hold.
func TestLockIsPrivate(t *testing.T) {
	t.Parallel()
	state := t.TempDir() + "/state"
	tr := &tree{dial(t, state), t.TempDir()}
	tr.must(write(tr.dir+"/x", "", wire.Attributes{}))
	lock := state + "/lock"
	arrange(t, os.Chmod(lock, 0o644))
	tr.must(write(tr.dir+"/x", "again", wire.Attributes{}))
	if info, err := os.Stat(lock); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
