package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/claim"
)

func TestAskTree(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"empty/lost+found", "tree/9.6/BaseOS", "many"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range [][2]string{{"9.6", "tree/9"}, {dir + "/tree", "link"}, {"nowhere", "dangling"}} {
		if err := os.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	files := []string{"tree/TIME"}
	for i := range wire.MaxTreeEntries + 1 {
		files = append(files, "many/"+strconv.Itoa(i))
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := newHost(t.TempDir())
	ask := func(name string, others ...string) wire.Answer {
		return h.answer(t.Context(), []wire.Query{{Verb: wire.AskTree, Arg: filepath.Join(dir, name), Args: others}})[0]
	}
	tree := func(name string, others ...string) *wire.Tree {
		t.Helper()
		a := ask(name, others...)
		if a.Tree == nil {
			t.Fatalf("%s: %+v", name, a)
		}
		return a.Tree
	}
	if e := tree("empty"); e.Kind != wire.Directory || len(e.Entries) != 0 || e.More {
		t.Errorf("empty: %+v", e)
	}
	plain := tree("tree")
	if want := []string{"9", "9.6/", "TIME"}; !slices.Equal(plain.Entries, want) || plain.More || plain.Real != filepath.Join(dir, "tree") {
		t.Errorf("tree: %+v", plain)
	}
	if id, err := claim.Of(filepath.Join(dir, "tree")); err != nil || id.String() != plain.Identity {
		t.Errorf("identity %q, %v", plain.Identity, err)
	}
	link := tree("link", filepath.Join(dir, "tree", "9"), filepath.Join(dir, "link", "new", "x"))
	if link.Identity != plain.Identity || link.Real != plain.Real || link.At != plain.At || link.Path == plain.Path {
		t.Errorf("through a link: %+v", link)
	}
	if o := link.Others; len(o) != 2 || o[0].Real != filepath.Join(dir, "tree", "9.6") || o[1].Real != filepath.Join(dir, "tree", "new", "x") || !strings.HasSuffix(o[1].At, "/tree/new/x") {
		t.Errorf("others: %+v", o)
	}
	if m := tree("many"); len(m.Entries) != wire.MaxTreeEntries || !m.More {
		t.Errorf("many: %d entries, more %v", len(m.Entries), m.More)
	}
	if m := tree("link/missing/x"); m.Kind != wire.Absent || m.Real != filepath.Join(dir, "tree", "missing", "x") || m.Identity != "" {
		t.Errorf("missing: %+v", m)
	}
	if f := tree("tree/TIME"); f.Kind != wire.Regular || f.Identity != "" {
		t.Errorf("a file: %+v", f)
	}
	if a := ask("dangling/x"); !strings.Contains(a.Error, "does not exist") {
		t.Errorf("a dangling link: %+v", a)
	}
}

func TestClaimed(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	id, err := claim.Of(dir)
	if err != nil {
		t.Fatal(err)
	}
	w, err := claimed(&wire.ClaimOp{Path: "/etc/x.claim", Tree: dir})
	if err != nil || string(w.Content) != id.String() || *w.Mode != 0o644 || !w.Parents {
		t.Fatalf("%+v, %v", w, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "thesis.odt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := claimed(&wire.ClaimOp{Path: "/etc/x.claim", Tree: dir}); err == nil || !strings.Contains(err.Error(), "thesis.odt") {
		t.Errorf("what is not empty: %v", err)
	}
	if _, err := claimed(&wire.ClaimOp{Path: "/etc/x.claim", Tree: dir, Identity: id.String()}); err != nil {
		t.Error(err)
	}
	other := id
	other.Inode++
	if _, err := claimed(&wire.ClaimOp{Path: "/etc/x.claim", Tree: dir, Identity: other.String()}); err == nil || !strings.Contains(err.Error(), "plan again") {
		t.Errorf("another directory: %v", err)
	}
}
