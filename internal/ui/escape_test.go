package ui

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/internal/plain"
)

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", hostile, "e\u0301\u0301\u0301\u0301\u0301\u0301", "\xff\xfe\u202e", "世界\t\x1b[2J"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := plain.Escape(s)
		checkSafe(t, got)
		if strings.Contains(got, "\n") {
			t.Errorf("plain.Escape(%q) has more than one line", s)
		}
		if again := plain.Escape(got); again != got {
			t.Errorf("plain.Escape(%q) = %q, and of that %q", s, got, again)
		}
		if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0 && got != s {
			t.Errorf("plain.Escape(%q) = %q changes plain text", s, got)
		}
		if w := columns(truncate(got, 7)); w > 7 {
			t.Errorf("truncate(%q, 7) takes %d columns", got, w)
		}
		for _, line := range escapeLines(s) {
			checkSafe(t, line)
		}
	})
}

func TestColumns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want int
	}{{"", 0}, {"abc", 3}, {"ü", 1}, {"e\u0301", 1}, {"世界", 4}, {"ﾊﾝ", 2}, {"🙂", 2}, {"각", 2}, {"→…│", 3}} {
		if got := columns(c.in); got != c.want {
			t.Errorf("columns(%q) = %d, want %d", c.in, got, c.want)
		}
	}
}

func TestTruncate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"世界", 4, "世界"}, {"世界x", 4, "世…"}, {"世界", 2, "…"}, {"abc", 0, ""}, {"abc", 1, "…"}} {
		if got := truncate(c.in, c.limit); got != c.want {
			t.Errorf("truncate(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in    string
		limit int
		want  []string
	}{
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 0, []string{"one two three"}},
		{"unbreakable-word is long", 5, []string{"unbreakable-word", "is", "long"}},
		{"世界 世界 世界", 9, []string{"世界 世界", "世界"}},
		{"  kept as it is", 5, []string{"  kept as it is"}},
		{"", 5, []string{""}},
	} {
		if got := wrap([]string{c.in}, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

func TestEscapeLines(t *testing.T) {
	t.Parallel()
	got := escapeLines("a\tb\r\n\x1b[1m\n\n世\tx\n")
	want := []string{"a   b", `\x1b[1m`, "", "世  x"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCutLine(t *testing.T) {
	t.Parallel()
	for _, in := range []string{strings.Repeat("x", 1<<20), strings.Repeat("世", 1<<18), strings.Repeat("e\u0301", 1<<18), strings.Repeat("\x1b", 2000)} {
		got := cutLine(in)
		if !strings.HasSuffix(got, "…") || columns(got) > maxDiffWidth+1 || !utf8.ValidString(got) {
			t.Errorf("cutLine of %d bytes: %d columns, %q", len(in), columns(got), got)
		}
	}
}
