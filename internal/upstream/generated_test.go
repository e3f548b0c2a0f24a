//go:build unix

package upstream

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// micro is a service that asks for as little as possible of everything.
func micro() *Service {
	return &Service{
		Service: mirrorsd.DefaultService(), Versions: []string{"9", "9.8"}, DuplicatedVersions: map[string]string{"9": "9.8"},
		Modules: map[string][]string{"kitten": {"10"}}, Arches: map[string][]string{"9": {"x86_64"}, "10-kitten": {"x86_64"}},
		Repos: []Repo{{Name: "baseos", Path: "BaseOS/$basearch/os/"}, {Name: "crb", Path: "CRB/$basearch/os/", Versions: []string{"9.8"}}},
	}
}

// The files of micro that faults are in.
const (
	treeURL   = "/almalinux/"
	timeFile  = "/almalinux/TIME"
	repoFile  = "/almalinux/9.8/CRB/x86_64/os/repodata/repomd.xml"
	isoFile   = "/almalinux/9.8/isos/x86_64/CHECKSUM"
	kittenDir = "/almalinux-kitten/"
)

// fakeWorld returns a mirror of micro that a world serves.
func fakeWorld(t *testing.T) (*world, *fake) {
	f := newFake(t, micro())
	w := &world{f: f}
	w.reset()
	e := expiring(f)
	f.options.Attempts = 6
	f.wrap = func(_, family string, _ http.Handler) http.Handler { return w.serve(e, family) }
	return w, f
}

// pick returns one of a list.
func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// target is a file of any role.
func target(r *rand.Rand) string {
	return pick(r, treeURL, timeFile, repoFile, repoFile, "/almalinux/9.8/BaseOS/x86_64/os/repodata/repomd.xml",
		kittenDir+"TIME", kittenDir+"10-kitten/BaseOS/x86_64/os/repodata/repomd.xml")
}

// kinds are the faults that are generated. Each adds to a world what r decides.
var kinds = []struct {
	name string
	make func(r *rand.Rand, w *world)
}{
	{"refused status", func(r *rand.Rand, w *world) {
		w.add(fault{path: target(r), answer: answer{status: pick(r, 400, 401, 403, 404, 410, 429)}})
	}},
	{"passing status", func(r *rand.Rand, w *world) {
		w.add(fault{path: target(r), times: 1 + r.IntN(2), answer: answer{status: pick(r, 429, 500, 502, 503, 504)}})
	}},
	{"late status", func(r *rand.Rand, w *world) { // the service is gone by then
		w.add(fault{path: target(r), from: 1, times: 1, answer: answer{status: 503}})
	}},
	{"closed", func(r *rand.Rand, w *world) {
		w.add(fault{path: target(r), times: 1 + r.IntN(6), answer: answer{how: "close"}})
	}},
	{"reset", func(r *rand.Rand, w *world) {
		w.add(fault{path: target(r), times: 1 + r.IntN(4), answer: answer{how: "reset"}})
	}},
	{"stalled", func(r *rand.Rand, w *world) {
		w.add(fault{path: target(r), times: 1 + r.IntN(4), answer: answer{how: "stall"}})
	}},
	{"closed, then another", func(r *rand.Rand, w *world) {
		path, n := target(r), 1+r.IntN(3)
		w.add(fault{path: path, times: n, answer: answer{how: "close"}})
		w.add(fault{path: path, from: n, times: 1 + r.IntN(2), answer: pick(r, answer{how: "reset"}, answer{how: "stall"}, answer{status: 502})})
	}},
	{"slow body", func(r *rand.Rand, w *world) {
		w.add(fault{path: target(r), answer: answer{status: 200, body: "<repomd>", how: "drip"}})
	}},
	{"cut body", func(r *rand.Rand, w *world) {
		path := target(r)
		w.add(fault{path: path, times: 1 + r.IntN(3), answer: answer{status: 200, body: w.f.files[path] + "1", how: "cut"}})
	}},
	{"long header", func(r *rand.Rand, w *world) {
		path := target(r)
		n := pick(r, 8000, 8190, 8191, 9000, 20_000)
		w.add(fault{path: path, answer: answer{status: 200, body: w.f.files[path], header: map[string]string{"X-Long": strings.Repeat("x", n)}}})
	}},
	{"not UTF-8", func(r *rand.Rand, w *world) {
		a := answer{status: 200, body: "<a href=caf\xe9>"}
		a.header = map[string]string{"Content-Type": pick(r, "text/html", "text/html; charset=utf-8", "text/html; charset=iso-8859-1",
			"text/html; charset=Latin1", "text/html; charset=nonsense", "text/html; charset=us-ascii")}
		if c := strings.ToLower(a.header["Content-Type"]); !strings.Contains(c, "8859") && !strings.Contains(c, "latin") {
			a.charset = "not its charset"
		}
		w.add(fault{path: pick(r, treeURL, repoFile), answer: a})
	}},
	{"redirects", func(r *rand.Rand, w *world) {
		from, n := target(r), 1+r.IntN(12)
		body := w.f.files[from]
		for i := range n {
			to := fmt.Sprintf("/hop/%d", i)
			w.add(fault{path: from, answer: answer{status: pick(r, 301, 302, 303, 307, 308), header: map[string]string{"Location": to}}})
			from = to
		}
		w.add(fault{path: from, answer: answer{status: 200, body: body}})
	}},
	{"no redirect", func(r *rand.Rand, w *world) {
		w.add(fault{path: pick(r, treeURL, repoFile), answer: answer{status: pick(r, 300, 301, 302, 304, 307)}})
	}},
	{"redirect elsewhere", func(r *rand.Rand, w *world) {
		w.add(fault{path: target(r), answer: answer{status: 302, header: map[string]string{"Location": pick(r, "ftp://mirror.example.org/", "mailto:a@b", "file:///etc/passwd")}}})
	}},
	{"TIME", func(r *rand.Rand, w *world) {
		stamp := fmt.Sprint(now.Add(-time.Hour).Unix())
		w.f.put(pick(r, timeFile, kittenDir+"TIME"), pick(r, stamp+"000", "\ufeff"+stamp, stamp+".5", " "+stamp+"\r\n", stamp[:1]+"_"+stamp[1:], "inf", "nan",
			"1e12", "0x6543210f", "", "2026-03-14", stamp+" "+stamp, "-"+stamp))
	}},
	{"age", func(r *rand.Rand, w *world) {
		age := pick(r, -time.Hour, time.Hour, 12*time.Hour-time.Second, 12*time.Hour, 12*time.Hour+time.Second, 20*time.Hour, 200*24*time.Hour)
		w.f.put(pick(r, timeFile, kittenDir+"TIME"), fmt.Sprint(now.Add(-age).Unix()))
	}},
	{"Kitten", func(r *rand.Rand, w *world) {
		w.f.remove(pick(r, kittenDir+"TIME", "10-kitten/BaseOS/x86_64/os/repodata/repomd.xml"))
	}},
	{"user agent", func(r *rand.Rand, w *world) {
		w.add(fault{path: pick(r, treeURL, "/"), prefix: true, agent: pick(r, "curl", "curl/7.61.1", "mirrorform"),
			answer: pick(r, answer{status: 403}, answer{status: 406}, answer{status: 401})})
	}},
	{"one family", func(r *rand.Rand, w *world) {
		path := target(r)
		w.add(fault{path: path, family: pick(r, "ipv4", "ipv6"), answer: pick(r, answer{status: 404}, answer{status: 200, body: "86400"}, answer{how: "close"})})
	}},
	{"family down", func(r *rand.Rand, w *world) { w.f.hidden = map[string]bool{pick(r, "http/ipv4", "http/ipv6"): true} }},
	{"compressed", func(r *rand.Rand, w *world) {
		encoding := pick(r, "gzip", "deflate", "br")
		w.add(fault{path: target(r), answer: answer{status: 200, body: "plain", header: map[string]string{"Content-Encoding": encoding}}})
	}},
	{"ISO", func(r *rand.Rand, w *world) {
		w.add(fault{path: isoFile, times: r.IntN(3), answer: pick(r, answer{status: 404}, answer{status: 503}, answer{how: "close"})})
	}},
	{"no HTTP", func(r *rand.Rand, w *world) {
		w.add(fault{path: target(r), times: r.IntN(3), answer: answer{how: "garbage"}})
	}},
}

func (w *world) add(f fault) { w.faults = append(w.faults, f) }

// TestModel compares the verdict with that of the service's model, over generated faults: status,
// file, ISOs and Kitten. What the service does not accept is explained.
func TestModel(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	const each = 12
	for _, kind := range kinds {
		for i := range each {
			t.Run(fmt.Sprintf("%s/%d", kind.name, i), func(t *testing.T) {
				t.Parallel()
				w, f := fakeWorld(t)
				kind.make(rand.New(rand.NewPCG(uint64(i), uint64(len(kind.name)))), w)
				m := &model{w: w, family: "ipv6"}
				if f.hidden["http/ipv6"] {
					m.family = "ipv4"
				}
				want := m.run()
				w.reset()
				f.start()
				f.file.Address.HTTPS, f.file.Address.Rsync = "", ""
				report := f.look(Mirror{File: f.file})
				compareModel(t, report, want)
				if t.Failed() {
					t.Logf("faults %+v\nverdict %+v\nfindings %+v", w.faults, report.Service, report.Findings)
				}
			})
		}
	}
}

// compareModel compares a report with what the model foresees.
func compareModel(t *testing.T, r *Report, want stored) {
	t.Helper()
	got := stored{kind: r.Service.Kind, path: r.Service.Path, isos: r.FullISOSet, kitten: slices.Contains(r.Modules, "kitten")}
	if want.kind == KindStatus {
		got.status = want.status
		if !strings.HasPrefix(r.Status, statusText(want.status)) {
			t.Errorf("status %q, want %d", r.Status, want.status)
		}
	}
	want.status = got.status
	if got != want {
		t.Errorf("the service stores %v; verify says %v", want, got)
	}
	seen := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Error && f.Upstream })
	if r.Status != "ok" && !seen {
		t.Errorf("status %q has no finding that the service sees", r.Status)
	}
	if (r.Status == "ok") != (want.kind == "") || (r.Service.Kept > 0) != (want.kind != "" && want.kind != KindExpired) {
		t.Errorf("status %q, kept for %d s", r.Status, r.Service.Kept)
	}
}

// gzipped compresses text.
func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
