package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// likeHosts are n hosts of a for_each block, whose sites differ in their own name and address, and in
// a digest of both. The keys are numbers, which character references of Markdown have too.
func likeHosts(n int) *Result {
	r := &Result{FormatVersion: "1", Command: "plan"}
	for i := range n {
		key := fmt.Sprint(90 + i)
		name, address := `edge["`+key+`"]`, fmt.Sprintf("2001:db8::%d", i+1)
		digest := strings.Repeat(fmt.Sprintf("%02x", i), 32)
		r.Hosts = append(r.Hosts, HostResult{Name: name, Outcome: Drifted, Changes: []Change{{
			Address: name + "/mirror.almalinux.site", Type: "nginx_site", Action: engine.Create, After: map[string]any{"address": address},
			Steps: []string{"create /etc/nginx/conf.d/" + key + ".conf"},
			Diff:  "+address = \"" + address + "\"\n--- content\n+++ content\n@@ -0,0 +1,2 @@\n+server_name " + key + ".example.org;\n+# " + digest,
		}}})
	}
	return r
}

func TestMarkdownAlike(t *testing.T) {
	t.Parallel()
	text, err := Markdown(likeHosts(18), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	for _, part := range []string{
		" and 10 more: on each, drifted, 1 create</summary>", "+address = \"‹address›\"", "+server_name ‹host›.example.org;", "+# ‹digest›", "conf.d/‹host›.conf",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is missing", part)
		}
	}
	if strings.Count(got, "<details>") != 1 || strings.Contains(got, "&#‹host›;") {
		t.Errorf("%s", got)
	}
}

// Whatever else differs keeps a host out of the group.
func TestAlike(t *testing.T) {
	t.Parallel()
	message := "it failed"
	for _, c := range []struct {
		name   string
		n      int
		change func(h *HostResult) // of the second host
		want   []int
	}{
		{"all", 4, func(*HostResult) {}, []int{0, 0, 0, 0}},
		{"two are read side by side", 2, func(*HostResult) {}, []int{0, 1}},
		{"an error", 4, func(h *HostResult) { h.Error = &message }, []int{0, 1, 0, 0}},
		{"a warning", 4, func(h *HostResult) { h.Warnings = []string{"x"} }, []int{0, 1, 0, 0}},
		{"an outcome", 4, func(h *HostResult) { h.Outcome = Failed }, []int{0, 1, 0, 0}},
		{"a step", 4, func(h *HostResult) { h.Changes[0].Steps[0] += "x" }, []int{0, 1, 0, 0}},
		{"the name of another", 4, func(h *HostResult) { h.Changes[0].Diff = strings.Replace(h.Changes[0].Diff, "91", "92", 1) }, []int{0, 1, 0, 0}},
		{"a digest that is not in the content", 4, func(h *HostResult) {
			h.Changes[0].Diff = "+key = \"" + strings.Repeat("0a", 32) + "\"\n" + h.Changes[0].Diff
		}, []int{0, 1, 0, 0}},
		{"no changes", 4, func(h *HostResult) { h.Changes = nil }, []int{0, 1, 0, 0}},
		{"too few are left", 3, func(h *HostResult) { h.Changes = nil }, []int{0, 1, 2}},
	} {
		r := likeHosts(c.n)
		c.change(&r.Hosts[1])
		var list []*HostResult
		for i := range r.Hosts {
			list = append(list, &r.Hosts[i])
		}
		if got := alike(list); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestHTMLAlike(t *testing.T) {
	t.Parallel()
	text, err := HTML([]*Result{likeHosts(4)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "The same as on <a href="); n != 3 {
		t.Errorf("%d of 4 hosts refer to the first", n)
	}
}

// TestHunk: a blank line of the context has lost its space, and one without a newline at its end has a
// remark; neither shifts the end of a hunk.
func TestHunk(t *testing.T) {
	t.Parallel()
	lines := diffLines("--- content\n+++ content\n@@ -1,2 +1,3 @@\n\n old\n+new\n\\ No newline at end of file\n--- list\n+++ list\n@@ -1 +1 @@\n-a\n+b\n+mode = \"x\"")
	var kinds []string
	for _, l := range lines {
		kinds = append(kinds, l.Kind)
	}
	if got := strings.Join(kinds, " "); got != "head head same same add same head head del add add" {
		t.Error(got)
	}
}
