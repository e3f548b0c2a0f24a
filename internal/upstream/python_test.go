package upstream

import (
	"fmt"
	"testing"
)

// TestParseFloat has what Python's float() said of each text.
func TestParseFloat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1700000000": "1.7e+09", " 17 \n": "17", "17\u00a0": "17", "1_700": "1700", "+5": "5", "-5": "-5", "1.": "1", ".5": "0.5", "1e9": "1e+09",
		"1e5_0": "1e+50", "１７": "17", "१७": "17", "\U0001d7ff\U0001d7d9": "91", "inf": "+Inf", "-Infinity": "-Inf", "nAn": "NaN", "1e999": "+Inf",
		"": "", ".": "", "1__0": "", "_1": "", "1_": "", "0x10": "", "1 7": "", "17\x00": "", "\x1c17": "", "\ufeff17": "", "1_e5": "", "1e_5": "", "e5": "",
	} {
		got := ""
		if f, ok := parseFloat(text); ok {
			got = fmt.Sprint(f)
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// TestDecode decodes as Python does.
func TestDecode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ contentType, body, want string }{
		{"", "caf\u00e9", "café"}, {"text/plain; charset=UTF8", "caf\u00e9", "café"}, {"text/plain; charset=latin-1", "caf\xe9", "café"},
		{"text/plain; charset=utf-8-sig", "\ufeff17", "17"}, {"text/plain; charset=utf-16", "\xff\xfe1\x007\x00", "17"},
		{"text/plain; charset=utf-16", "\xfe\xff\x001\x007", "17"}, {"text/plain; charset=utf-16be", "\x001\x007", "17"},
		{"text/plain; charset=", "17", "17"}, {"bad type;;", "17", "17"},
	} {
		if got, err := decode(test.contentType, []byte(test.body)); err != nil || got != test.want {
			t.Errorf("%q as %q: %q, %v", test.body, test.contentType, got, err)
		}
	}
	for contentType, body := range map[string]string{
		"text/plain": "caf\xe9", "text/plain; charset=nonsense": "caf\xe9", "text/plain; charset=ascii": "café", "text/plain; charset=utf-16": "123",
	} {
		if got, err := decode(contentType, []byte(body)); err == nil {
			t.Errorf("%q as %q is %q", body, contentType, got)
		}
	}
}
