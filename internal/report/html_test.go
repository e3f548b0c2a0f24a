package report

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"golang.org/x/net/html"
)

func htmlOf(t *testing.T, results ...*Result) []byte {
	t.Helper()
	p, err := HTML(results, Options{Version: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var tag = regexp.MustCompile(`(?s)<(?:style|script|svg|title)\b.*?</(?:style|script|svg|title)>|<[^>]*>`)

// textOf is a page without its tags, drawings and scripts, a line for each piece of text.
func textOf(page []byte) string {
	var lines []string
	for _, l := range strings.Split(tag.ReplaceAllString(string(page), "\n"), "\n") {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, html.UnescapeString(l))
		}
	}
	return strings.Join(lines, "\n")
}

// TestHTML has the whole text of a page from documents of every kind; how it looks and behaves is tested in a browser.
func TestHTML(t *testing.T) {
	t.Parallel()
	status := &Result{FormatVersion: Format, Command: "status", Hosts: []HostResult{}, Status: &Status{FormatVersion: "1.0", Hosts: []HostStatus{
		{Name: "fra1", Reachable: true, Changes: ptr(3), Mirrors: []MirrorStatus{{
			Name: "almalinux", Path: "/srv/mirror", LastSync: &syncs.Record{Exit: 23}, LastSyncAge: ptr(int64(7500)), TimeAge: ptr(int64(50000)),
			Used: ptr(uint64(3 << 40)), Available: ptr(uint64(1 << 40)), DaysUntilFull: ptr(12.7), NextRun: ptr(testStart), Locked: ptr(false),
			Certificate: &Certificate{File: "/etc/ssl/cert.pem", NotBefore: ptr(testStart), NotAfter: ptr(testStart.AddDate(0, 0, 9)), DaysLeft: ptr(8)},
			Clock:       ptr(testStart), SuccessAge: ptr(int64(90000)), UpstreamTime: ptr(testStart.Unix() - 3600), Rsync: "served",
		}, {
			Name: "epel", Path: "/srv/epel", LastSync: &syncs.Record{Exit: 20}, Held: ptr(true), Rsync: NotServed,
		}, {
			Name: "other", Path: "/srv/other", LastSync: &syncs.Record{Exit: 11, RanOutOf: "space"},
		}}},
		{Name: "far", Error: "no answer", Mirrors: []MirrorStatus{}},
	}}}
	later := applyResult()
	later.Start, later.End = later.Start.Add(time.Hour), later.End.Add(time.Hour)
	for name, documents := range map[string][]*Result{
		"all":    {later, planResult(), verifyResult(), status},
		"plan":   {FromPlan(fleetPlan())},
		"status": {status},
		"verify": {verifyResult()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, "html-"+name+".txt", textOf(htmlOf(t, documents...))+"\n")
		})
	}
}

// TestHTMLHostile: whatever documents hold, the page has no element that its template does not have, and shows what would not show.
func TestHTMLHostile(t *testing.T) {
	t.Parallel()
	older := hostileResult()
	older.End = older.End.Add(-time.Hour)
	older.Start = older.End
	older.Verify = nil
	page := htmlOf(t, hostileResult(), older)
	checkPage(t, page)
	if !bytes.Contains(page, []byte(`]52;c;Zm9v`)) || !bytes.Contains(page, []byte(`\u202ee`)) {
		t.Error("hostile text is not shown at all")
	}
}

// checkPage fails if a page has an element or an attribute that the template does not have, or text that would not show.
func checkPage(t *testing.T, page []byte) {
	t.Helper()
	checkSafe(t, string(page))
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for node := range root.Descendants() {
		switch node.Type {
		case html.ElementNode:
			n[node.Data]++
			if !strings.Contains(strings.ToLower(pageTemplate), "<"+node.Data) {
				t.Fatalf("an element %q in\n%s", node.Data, page)
			}
			for _, a := range node.Attr {
				if !strings.Contains(pageTemplate, a.Key) || strings.HasPrefix(a.Key, "on") || a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
					t.Fatalf("an attribute %s=%q of %s in\n%s", a.Key, a.Val, node.Data, page)
				}
			}
		case html.CommentNode:
			t.Fatalf("a comment %q in\n%s", node.Data, page)
		}
	}
	if n["script"] != 1 || n["style"] != 1 || n["h1"] != 1 || n["form"] != 1 || n["footer"] != 1 {
		t.Fatalf("elements %v in\n%s", n, page)
	}
}

// TestHTMLPolicy: the page may run its own script and style and load nothing.
func TestHTMLPolicy(t *testing.T) {
	t.Parallel()
	page := string(htmlOf(t, madeFleet(3)...))
	policy := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy" content="([^"]*)">`).FindStringSubmatch(page)
	if policy == nil || !strings.HasPrefix(strings.ReplaceAll(policy[1], "&#39;", "'"), "default-src 'none'; style-src 'sha256-") || strings.Contains(policy[1], "unsafe") {
		t.Errorf("policy %q", policy)
	}
	if found := regexp.MustCompile(`(?i)(?:src|srcset|action|xlink:href)=|url\(|@import|href="[^#]|\bon[a-z]+=|style=`).FindAllString(page, -1); len(found) > 0 {
		t.Errorf("the page has %q", found)
	}
}

// TestHTMLNewest: documents are taken by their times, whatever their order.
func TestHTMLNewest(t *testing.T) {
	t.Parallel()
	documents := madeFleet(30)
	want := htmlOf(t, documents...)
	slices.Reverse(documents)
	if !bytes.Equal(want, htmlOf(t, documents...)) {
		t.Error("another order of the documents gives another page")
	}
	at := func(h int, o Outcome) *Result {
		r := &Result{Command: "drift", Hosts: []HostResult{{Name: "fra1", Outcome: o}}}
		if h > 0 {
			r.End = testStart.Add(time.Duration(h) * time.Hour)
			r.Start = r.End
		}
		return r
	}
	status := func(h, changes int) *Result {
		r := at(h, OK)
		r.Command, r.Hosts = "status", nil
		r.Status = &Status{Hosts: []HostStatus{{Name: "fra1", Reachable: true, Changes: &changes}}}
		return r
	}
	for name, test := range map[string]struct {
		documents []*Result
		want      Outcome
	}{
		"the later":                          {[]*Result{at(2, Failed), at(1, OK)}, Failed},
		"one without a time":                 {[]*Result{at(0, Failed), at(1, OK)}, Failed},
		"a later status":                     {[]*Result{status(2, 1), at(1, OK)}, Drifted},
		"an earlier status":                  {[]*Result{status(1, 1), at(2, OK)}, OK},
		"a status without a time":            {[]*Result{status(0, 1), at(2, OK)}, OK},
		"a status alone":                     {[]*Result{status(0, 1)}, Drifted},
		"a status whose host has a plan too": {[]*Result{at(0, RolledBack), status(0, 1)}, RolledBack},
	} {
		if got := newFleet(test.documents).byName["fra1"].Outcome; got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestDiffLines(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, l := range diffLines(strings.Join([]string{
		"--- content", "+++ content", "@@ -1,3 +1,2 @@", " a", "---- b", "-@@ -1 +1 @@", "+++ c", `\ No newline at end of file`, `-mode = "1"`, `+mode = "2"`, "--- other", "+++ other", "@@ -1 +0,0 @@", "-x", "+after = 1",
	}, "\n")) {
		fmt.Fprintf(&b, "%s %v %s\n", l.Kind, l.Gap, l.Text)
	}
	want := `head false content
head false @@ -1,3 +1,2 @@
same false  a
del false ---- b
del false -@@ -1 +1 @@
add false +++ c
same false \ No newline at end of file
del true -mode = "1"
add false +mode = "2"
head true other
head false @@ -1 +0,0 @@
del false -x
add true +after = 1
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestAttributeDiff(t *testing.T) {
	t.Parallel()
	got := attributeDiff(map[string]any{"a": 1.0, "b": "x\ny\n", "same": true, "gone": nil}, map[string]any{"a": 2.0, "b": "x\nz\n", "same": true, "list": []any{"<", "\u202e"}})
	want := "-a = 1\n+a = 2\n--- b\n+++ b\n@@ -1,2 +1,2 @@\n x\n-y\n+z\n-gone = null\n+list = [\"\\u003c\",\"\\u202e\"]"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	host := func(labels map[string]string) *Result {
		return &Result{Hosts: []HostResult{{Name: "fra1", Outcome: OK, Labels: labels}, {Name: "local", Local: true, Outcome: OK}}}
	}
	if m := newPage([]*Result{host(map[string]string{"country": "DE", "latitude": "91", "longitude": "8"})}).Map; m != nil {
		t.Errorf("a map with %+v", m.Places)
	}
	m := newPage([]*Result{host(map[string]string{"country": "DE", "city": "Frankfurt", "latitude": "50.11", "longitude": "-8.68"})}).Map
	if m == nil || len(m.Places) != 1 || m.Places[0].Coordinates != "50.11° N 8.68° W" || m.Places[0].Where != "Frankfurt, DE" || m.Places[0].By != "labels" {
		t.Fatalf("map: %+v", m)
	}
	refused := host(map[string]string{"country": "DE", "latitude": "50.11", "longitude": "8.68"})
	refused.Verify = &Verify{FormatVersion: "1.1", Mirrors: []*upstream.Report{{Name: "m.example.org", Host: "fra1", Status: "expired"}}}
	page := newPage([]*Result{refused})
	if page.Map == nil || len(page.Map.Places) != 1 || page.Map.Places[0].State != Failed || page.Map.Places[0].Word != "not accepted" {
		t.Errorf("a rejected mirror is at %+v", page.Map)
	}
	if !slices.Equal(page.Labels, []string{"country=DE"}) {
		t.Errorf("labels %q", page.Labels)
	}
	documents := madeFleet(300)
	m = newPage(documents).Map
	n := 0
	for _, x := range m.Marks {
		n += x.N
	}
	located := 0
	for i := range 300 {
		if i%8 != 5 { // as madeVerify has it
			located++
		}
	}
	if n != located || len(m.Places) != 300 || len(m.Marks) > 25 {
		t.Errorf("%d marks of %d mirrors, %d places", len(m.Marks), n, len(m.Places))
	}
}

// FuzzHTML: a page is made of every document that is read, and has the one script.
func FuzzHTML(f *testing.F) {
	for _, r := range append(madeFleet(1)[20:], hostileResult(), planResult(), applyResult(), verifyResult()) {
		doc, err := r.JSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		r, err := Read(doc)
		if err != nil {
			return
		}
		page, err := HTML([]*Result{r, madeFleet(1)[0]}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkPage(t, page)
	})
}
