package resources

import (
	"strings"
	"testing"
)

// An expression matches its path and what is below it, and nothing else.
func TestTreePattern(t *testing.T) {
	t.Parallel()
	special := ` !#$%&()*+,-.:;<=>?@[]^_{|}~` + "`"
	paths := []string{"/srv/mirror", "/srv/my mirror (1)/[a] {b}|^$*?.d", "/[x]/y", "/a)b/c"}
	for _, c := range special {
		paths = append(paths, "/a"+string(c)+"b/c"+string(c), "/"+string(c))
	}
	for _, p := range paths {
		if !contextPath.MatchString(p) {
			t.Errorf("%s is refused", p)
			continue
		}
		r := contextRule{pattern: treePattern(p)}
		for other, want := range map[string]bool{p: true, p + "/x y": true, p + "x": false, p[:len(p)-1]: false, "/srv": false, strings.ToUpper(p) + "A": false} {
			if r.matches(other) != want {
				t.Errorf("%s: %s is matched: %v", r.pattern, other, !want)
			}
		}
		if strings.ContainsAny(r.pattern, " '\"") {
			t.Errorf("%s has a space or a quote", r.pattern)
		}
		// libselinux compares the part before the second slash with the path, unless it has one of these.
		first, _, _ := strings.Cut(r.pattern[1:], "/")
		if !strings.ContainsAny(first, ".^$?*+|[({") && !strings.HasPrefix(p, "/"+first) {
			t.Errorf("%s: libselinux compares %s with the path", r.pattern, first)
		}
	}
	for _, p := range []string{"/a'b", `/a"b`, `/a\b`, "/a\tb", "/é", "/a\nb"} {
		if contextPath.MatchString(p) {
			t.Errorf("%q is allowed", p)
		}
	}
}

// The spelling without backslashes is the same rule only where it means the path.
func TestTreePatternsOfOperators(t *testing.T) {
	t.Parallel()
	if got := treePatterns("/srv/a.b"); len(got) != 2 || got[1] != "/srv/a.b(/.*)?" {
		t.Errorf("%q", got)
	}
	if got := treePatterns("/srv/a+b"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
