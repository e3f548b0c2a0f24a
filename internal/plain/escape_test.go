package plain

import "testing"

func TestEscape(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"plain text, ~!", "plain text, ~!"},
		{"Grüße, 世界, 🙂", "Grüße, 世界, 🙂"},
		{"e\u0301", "e\u0301"},
		{"C:\\x1b", "C:\\x1b"},
		{"a\nb\tc\rd", `a\nb\tc\rd`},
		{"\x1b[31m", `\x1b[31m`},
		{"\x00\x07\x7f", `\x00\x07\x7f`},
		{"\u009b31m\u0085", `\u009b31m\u0085`},
		{"\x9b31m", `\x9b31m`},
		{"\xc3(", `\xc3(`},
		{"a\u202eb\u2066c\u200fd", `a\u202eb\u2066c\u200fd`},
		{"a\u200bb\ufeffc\u2060d", `a\u200bb\ufeffc\u2060d`},
		{"a\u00a0b\u3000c\u2028d", `a\u00a0b\u3000c\u2028d`},
		{"a\U000e0041b\ue000", `a\U000e0041b\ue000`},
		{"a\u3164b\u2800c\u115f", `a\u3164b\u2800c\u115f`},
		{"\u0301a", `\u0301a`},
		{"\x1b\u0301", `\x1b\u0301`},
		{"z\u0301\u0301\u0301\u0301\u0301\u0301", "z\u0301\u0301\u0301\u0301" + `\u0301\u0301`},
		{"\ufffd", "\ufffd"},
	} {
		if got := Escape(c.in); got != c.want {
			t.Errorf("Escape(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
