package engine_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

func hiding(values ...string) *engine.Secrets {
	return &engine.Secrets{Values: func() []string { return values }}
}

// A secret is hidden in whatever spelling a program prints it.
func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	const secret = `Canary-7c1f "95e2"/ü`
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString
	for name, text := range map[string]string{
		"as it is":       secret,
		"JSON":           string(quoted),
		"Go":             strconv.Quote(secret),
		"a URL's query":  url.QueryEscape(secret),
		"a URL's path":   url.PathEscape(secret),
		"HTML":           html.EscapeString(secret),
		"hexadecimal":    strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"base64":         encoded([]byte(secret)),
		"base64, inside": encoded([]byte("user:" + secret + "\n")),
		"base64, by one": encoded([]byte("x" + secret)),
		"base64, by two": encoded([]byte("xy" + secret + "y")),
		"base64url":      base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"lower case":     strings.ToLower(secret),
		"wrapped":        "Canary-7c\n    1f \"95e2\"",
		"apart":          "C a n a r y - 7 c 1 f 9 5 e 2",
		"its beginning":  "Canary-7c…",
		"its end":        "…ry-7c1f \"95",
		"a word of it":   "unexpected Canary here",
	} {
		shown := hiding(secret).Hide("nginx: " + text + " in /etc/x:3")
		if !strings.Contains(shown, engine.SensitiveValue) || !strings.HasPrefix(shown, "nginx: ") || !strings.HasSuffix(shown, "/etc/x:3") {
			t.Errorf("%s is shown as %q", name, shown)
		}
		for _, part := range []string{"7c1f", "95e2", "37633166", "Canary", "canary", "N2MxZ"} {
			if strings.Contains(shown, part) {
				t.Errorf("%s shows %q: %q", name, part, shown)
			}
		}
	}
}

// What is no secret stays readable, and what is too short is none.
func TestSecretsLeaveTextAlone(t *testing.T) {
	t.Parallel()
	const text = `nginx: [emerg] unknown directive "lsten" in /etc/nginx/conf.d/x.conf:3, exit status 1`
	for _, values := range [][]string{nil, {""}, {"1", "x", " \n "}, {"sten"}, {"another-secret-value"}} {
		if shown := hiding(values...).Hide(text); shown != text {
			t.Errorf("with %q it is %q", values, shown)
		}
	}
	if shown := (*engine.Secrets)(nil).Hide(text); shown != text {
		t.Errorf("without secrets it is %q", shown)
	}
	if shown := hiding("4711").Hide("pin 4711, not 147110"); shown != "pin "+engine.SensitiveValue+", not 147110" {
		t.Errorf("a short value is hidden as %q", shown)
	}
}

// A secret that becomes known later is hidden from then on.
func TestSecretsBecomeKnown(t *testing.T) {
	t.Parallel()
	var values []string
	s := &engine.Secrets{Values: func() []string { return values }}
	if shown := s.Hide("canary-7733"); shown != "canary-7733" {
		t.Errorf("it is hidden before it is known: %q", shown)
	}
	values = append(values, "canary-7733")
	if shown := s.Hide("canary-7733"); shown != engine.SensitiveValue {
		t.Errorf("it is shown: %q", shown)
	}
}
