package adopt_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// syncKind is a way to start and write a sync: the files of a host, and what adopt has to find.
type syncKind struct {
	Name     string            `json:"name"`
	Files    map[string]string `json:"files"`
	Tree     *string           `json:"tree"`     // null: nothing runs; "?": only the host knows it
	Trees    []string          `json:"trees"`    // several, with Tree as the first
	Lock     *string           `json:"lock"`     // a path, or its kind in parentheses: (mkdir)
	Upstream string            `json:"upstream"` // "" is not checked
	HCL      string            `json:"hcl"`      // text of the mirror block
}

// hostOf returns a host with the files: "->TARGET" is a link. The tree is a directory.
func hostOf(t testing.TB, k syncKind) *fakeHost {
	h := newFakeHost(t, &txtar.Archive{})
	for name, text := range k.Files {
		target, link := strings.CutPrefix(text, "->")
		h.add(name, target, link, []byte(text))
	}
	if k.Tree != nil {
		h.directory(*k.Tree)
		for _, tree := range k.Trees {
			h.directory(tree)
		}
	}
	return h
}

// outcome compares what adopt finds with what there is: right; remark, if it has found nothing and
// names a file of the host; or wrong.
func outcome(t testing.TB, k syncKind) (got, why string) {
	d := hostOf(t, k).draft(t, nil)
	trees, lock := d.Understood()
	remarks := strings.Join(lines(d), "\n")
	text := string(render(t, d))
	named := false
	for name := range k.Files {
		named = named || strings.Contains(remarks, name)
	}
	why = fmt.Sprintf("trees %q, lock %q, remarks:\n%s", trees, lock, remarks)
	wanted := ""
	if k.Lock != nil {
		wanted = *k.Lock
	}
	switch {
	case (k.Tree == nil || *k.Tree == "?") && len(trees) == 0 && named:
		return "right", why
	case k.Tree != nil && *k.Tree != "?" && (slices.Equal(trees, []string{*k.Tree}) || k.Trees != nil &&
		slices.Equal(trees, k.Trees)) && lock == wanted && strings.Contains(text, k.HCL) && upstreamIs(text, k.Upstream):
		return "right", why
	case len(trees) == 0 && named:
		return "remark", why
	}
	return "wrong", why + "\n" + text
}

// upstreamIs reports whether a mirror block has an upstream. It leaves AlmaLinux's out.
func upstreamIs(text, upstream string) bool {
	const own = "rsync://rsync.repo.almalinux.org/almalinux/"
	if upstream == own {
		return !strings.Contains(text, "upstream ") || strings.Contains(text, `upstream  = ["`+own) ||
			strings.Contains(text, `upstream = ["`+own)
	}
	return strings.Contains(text, upstream)
}

func syncKinds(t testing.TB, file string) []syncKind {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []syncKind
	if err := json.Unmarshal(text, &kinds); err != nil {
		t.Fatal(err)
	}
	return kinds
}

// Every kind of job of testdata is understood, or at least reported with its file. Further kinds
// may be beside the repository: of these, some may be only reported, but none is wrong.
func TestSyncKinds(t *testing.T) {
	t.Parallel()
	beside := cmp.Or(os.Getenv("MIRRORFORM_CASES"), filepath.Join("..", "..", "..", "shared", "cases"))
	for file, least := range map[string]float64{
		filepath.Join("testdata", "kinds", "syncs.json"): 1, filepath.Join("testdata", "kinds", "jobs.json"): 1,
		filepath.Join(beside, "adopt", "syncs.json"): 0.85,
	} {
		if _, err := os.Stat(file); err != nil && !strings.HasPrefix(file, "testdata") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			counts := map[string]int{}
			for _, k := range syncKinds(t, file) {
				got, why := outcome(t, k)
				if counts[got]++; got == "wrong" || got != "right" && least == 1 {
					t.Errorf("%s: %s\n%s", k.Name, got, why)
				}
			}
			all := counts["right"] + counts["remark"] + counts["wrong"]
			if float64(counts["right"]) < least*float64(all) {
				t.Errorf("%s: %v", file, counts)
			}
		})
	}
}
