package upstream

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What the service prints, as main.py and data_models.py in AlmaLinux/mirrors make it.
const mirrorList = `{"status": "ok", "result": {
  "other.example.net": {"name": "other.example.net", "status": "ok", "private": false, "urls": {"http": "http://other.example.net/almalinux/"}, "subnets": ["192.0.2.0/24"]},
  "FRA1.example.org": {"name": "FRA1.example.org", "status": "expired", "asn": ["64496"]}
}, "timestamp": 1700000000}`

func TestReadMirrorList(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, body string
		status     int
		want       map[string]Listing
		err        string
	}{
		{"listed and not", mirrorList, 200, map[string]Listing{"fra1.example.org": {true, "expired"}, "ams.example.org": {}}, ""},
		{"no mirrors", `{"status": "ok", "result": {}}`, 200, nil, "the list has no mirrors"},
		{"no result", `{"status": "ok"}`, 200, nil, "the list has no mirrors"},
		{"not an object", `[]`, 200, nil, "expected an object"},
		{"no JSON", `<html>`, 200, nil, "not a mirror list of AlmaLinux's service"},
		{"cut off", mirrorList[:len(mirrorList)-60], 200, nil, "not a mirror list of AlmaLinux's service"},
		{"a mirror is no object", `{"result": {"x": 1}}`, 200, nil, "not a mirror list of AlmaLinux's service"},
		{"server error", mirrorList, 502, nil, "502 Bad Gateway"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("User-Agent") != "mirrorform/test" {
					t.Errorf("user agent %q", r.Header.Get("User-Agent"))
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}))
			t.Cleanup(server.Close)
			got, err := ReadMirrorList(t.Context(), server.URL, "mirrorform/test", []string{"fra1.example.org", "ams.example.org"})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, test.want) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

// TestMirrorListMemory reads lists of many entries, of which none may be large.
func TestMirrorListMemory(t *testing.T) {
	entry := func(name string, size int) string {
		return fmt.Sprintf(`%q: {"status": "ok", "asn": %q}`, name, strings.Repeat("7", size))
	}
	var many []string
	for i := range 40 {
		many = append(many, entry(fmt.Sprint("m", i), 1<<20))
	}
	for _, c := range []struct{ text, want string }{
		{`{"result": {` + strings.Join(many, ",") + `}}`, ""},
		{`{"result": {` + entry("m1", 3*maxMirror) + `}}`, "larger than 8 MiB"},
		{`{"other": ` + "[" + strings.Repeat("1,", maxMirror) + "1]" + `}`, "larger than 8 MiB"},
		{`{"` + strings.Repeat("x", 3*maxMirror) + `": 1}`, "larger than 8 MiB"},
	} {
		_, err := parseMirrorList(strings.NewReader(c.text), []string{"m7"})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s…: %v, want %q", c.text, err, c.want)
		}
	}
}

// FuzzMirrorList reads what comes from elsewhere: a mirror is listed only if some string of the text is its name.
func FuzzMirrorList(f *testing.F) {
	f.Add(mirrorList)
	f.Add(`{"result": {"a": null}}`)
	f.Add(`{"result": {"fra1.example.or\u0067": {"status": 1}}, "result": {"b": {}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		const name = "fra1.example.org"
		got, err := parseMirrorList(strings.NewReader(text), []string{name})
		if err != nil || !got[name].Listed {
			return
		}
		d := json.NewDecoder(strings.NewReader(text))
		for token, err := d.Token(); err == nil; token, err = d.Token() {
			if s, ok := token.(string); ok && strings.EqualFold(s, name) {
				return
			}
		}
		t.Errorf("listed by %q", text)
	})
}
