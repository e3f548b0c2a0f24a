package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/report/worldmap"
)

var (
	//go:embed page/page.tmpl
	pageTemplate string
	//go:embed page/page.css
	pageStyle string
	//go:embed page/page.js
	pageScript string
)

// page is the data of the template.
type page struct {
	Style  template.CSS
	Script template.JS
	Policy string
	Land   string
	Width  int // of the map, as Height
	Height int

	Title     string // whose mirrors
	Version   string
	Newest    stamp // of the documents with a time
	Documents []documentView
	Missing   []string // data that no document has
	Problems  []problemView

	Counts    []outcomeCount
	Hosts     []*hostView
	Cards     []card
	Attention []attention
	More      int // entries omitted from Attention
	Labels    []string
	Map       *mapView
	Changed   int // hosts with changes or messages
	Open      bool
	Mirrors   []mirrorView
	Verified  []verifyView
	History   *historyView

	HasStatus, HasVerify bool
	HasRsync             bool // a mirror has an rsync daemon
}

// HTML renders results as one page that works offline: the newest data about each host and mirror,
// and earlier results as history. It takes results of all commands, in any order if they have
// times; sections without data are omitted.
//
// The page is complete without its script, which only sorts and filters. Its content security
// policy blocks all external content and other scripts.
func HTML(results []*Result, o Options) ([]byte, error) {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return nil, fmt.Errorf("the page's template: %w", err)
	}
	p := newPage(results)
	p.Version = o.Version
	p.Style, p.Script = template.CSS(pageStyle), template.JS(pageScript)
	p.Policy = "default-src 'none'; style-src '" + digest(pageStyle) + "'; script-src '" + digest(pageScript) +
		"'; base-uri 'none'; form-action 'none'"
	p.Land, p.Width, p.Height = strings.TrimSpace(worldmap.Land), worldmap.Width, worldmap.Height
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("render the page: %w", err)
	}
	return visible(b.String()), nil
}

// digest returns the source expression of an inline style or script in a content security policy.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// visible escapes invisible and control characters anywhere in a page. The page's own text has
// none, and the escapes have no meaning in HTML.
func visible(page string) []byte {
	var b bytes.Buffer
	for line := range strings.Lines(page) {
		text, ended := strings.CutSuffix(line, "\n")
		b.WriteString(plain.Escape(text))
		if ended {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// stamp is a time on the page; zero if unknown.
type stamp struct{ time.Time }

const stampFormat = "2006-01-02 15:04 UTC"

func (s stamp) String() string { return s.UTC().Format(stampFormat) }

// Day returns a short form for tables.
func (s stamp) Day() string { return s.UTC().Format("2 Jan 15:04") }

// Machine returns the value of the datetime attribute.
func (s stamp) Machine() string { return s.UTC().Format(time.RFC3339) }

func newPage(results []*Result) *page {
	f := newFleet(results)
	p := &page{
		Hosts: f.hosts, Counts: countOutcomes(f.hosts),
		Mirrors: f.mirrors(), Verified: f.verified(), History: f.history(),
	}
	for _, d := range f.documents {
		p.Documents = append(p.Documents, newDocumentView(d))
		if d.dated() && d.End.After(p.Newest.Time) {
			p.Newest = stamp{d.End}
		}
	}
	p.HasStatus, p.HasVerify = len(p.Mirrors) > 0, len(p.Verified) > 0
	p.HasRsync = slices.ContainsFunc(p.Mirrors, func(m mirrorView) bool { return m.Rsync != "" })
	p.Map = f.worldMap(p.Verified)
	p.Cards = cards(p)
	p.Attention, p.More = f.attention(p.Verified)
	p.Title = f.title()
	p.Labels = labelsOf(f.hosts)
	p.Problems = f.problems()
	shareDiffs(f.hosts)
	changes := 0
	for _, h := range f.hosts {
		if h.Told {
			p.Changed++
			changes += len(h.Diffs)
		}
	}
	p.Open = changes <= 6
	p.Missing = missing(p)
	return p
}

// shareDiffs points hosts that are alike to the first of them.
func shareDiffs(hosts []*hostView) {
	var told []*hostView
	var results []*HostResult
	for _, h := range hosts {
		if h.result != nil {
			told, results = append(told, h), append(results, h.result)
		}
	}
	for i, first := range alike(results) {
		if first != i {
			told[i].Same = told[first]
		}
	}
}

// missing lists the data that no document has, and the commands that provide it.
func missing(p *page) []string {
	var list []string
	seen := false
	for _, h := range p.Hosts {
		seen = seen || h.Outcome != ""
	}
	if !seen {
		list = append(list, "drift of the hosts (plan, drift or apply with --report json=FILE)")
	}
	if !p.HasStatus {
		list = append(list, "syncs and storage (status --report json=FILE)")
	}
	if !p.HasVerify {
		list = append(list, "checks of the mirrors from outside (verify --json)")
	}
	if p.Map == nil {
		list = append(list, "locations of the mirrors (verify --geoip-db FILE --json, or the labels latitude and longitude)")
	}
	if p.History == nil {
		list = append(list, "history (at least two results with a time)")
	}
	return list
}

// documentView is one of the documents behind the page.
type documentView struct {
	Command, Shard, Version, Error string
	At                             stamp
	Hosts, Mirrors                 int
}

func newDocumentView(r *Result) documentView {
	d := documentView{
		Command: r.Command, Shard: r.Shard, Version: r.Version, Error: r.Error,
		At: stamp{r.End}, Hosts: len(r.Hosts),
	}
	if d.Command == "" {
		d.Command = "plan"
	}
	if r.Status != nil {
		d.Hosts = max(d.Hosts, len(r.Status.Hosts))
	}
	if r.Verify != nil {
		d.Mirrors = len(r.Verify.Mirrors)
	}
	return d
}

type problemView struct {
	Severity, Summary, Detail, Place string
}
