package cli

import (
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/mirrorform/mirrorform/internal/geo/geotest"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

func TestMirrorsOfURLs(t *testing.T) {
	t.Parallel()
	mirror := func(name string, a, kitten mirrorsd.Address, guessed ...string) upstream.Mirror {
		return upstream.Mirror{File: mirrorsd.File{Name: name, Address: a, AddressOptional: mirrorsd.AddressOptional{Kitten: kitten}}, Guessed: guessed}
	}
	httpsFirst := func(m upstream.Mirror) upstream.Mirror {
		m.HTTPSFirst = true
		return m
	}
	for name, test := range map[string]struct {
		urls []string
		want []upstream.Mirror
	}{
		"one": {
			[]string{"http://m.example.org/almalinux/"},
			[]upstream.Mirror{mirror("m.example.org", mirrorsd.Address{HTTP: "http://m.example.org/almalinux/", HTTPS: "https://m.example.org/almalinux/"}, mirrorsd.Address{}, "https")},
		},
		"only https": {
			[]string{"https://M.example.org/almalinux"},
			[]upstream.Mirror{mirror("m.example.org", mirrorsd.Address{HTTP: "http://M.example.org/almalinux", HTTPS: "https://M.example.org/almalinux"}, mirrorsd.Address{}, "http")},
		},
		"another port": {
			[]string{"http://m.example.org:8080/"},
			[]upstream.Mirror{mirror("m.example.org", mirrorsd.Address{HTTP: "http://m.example.org:8080/"}, mirrorsd.Address{})},
		},
		"all of one, and another": {
			[]string{"rsync://m.example.org/alma/", "https://m.example.org/a/", "http://m.example.org/a/", "http://[2001:db8::1]:81/a/", "http://m.example.org/a-kitten/"},
			[]upstream.Mirror{
				httpsFirst(mirror("m.example.org", mirrorsd.Address{HTTP: "http://m.example.org/a/", HTTPS: "https://m.example.org/a/", Rsync: "rsync://m.example.org/alma/"},
					mirrorsd.Address{HTTP: "http://m.example.org/a-kitten/"})),
				mirror("2001:db8::1", mirrorsd.Address{HTTP: "http://[2001:db8::1]:81/a/"}, mirrorsd.Address{}),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := mirrorsOfURLs(test.urls)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestParseResolve(t *testing.T) {
	t.Parallel()
	got, err := parseResolve([]string{"M.example.org:192.0.2.1", "m.example.org:[2001:db8::1]", "n.example.org:2001:db8::2"})
	want := map[string][]netip.Addr{
		"m.example.org": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, "n.example.org": {netip.MustParseAddr("2001:db8::2")},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{"", "x", ":192.0.2.1", "m.example.org:80:192.0.2.1", "m.example.org:other.example.org"} {
		if got, err := parseResolve([]string{s}); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

// TestServiceConfigByHTTPS gets a config.yml from a server whose authority --ca-file names.
func TestServiceConfigByHTTPS(t *testing.T) {
	t.Parallel()
	const config = "allowed_outdate: 1h\nversions: ['9']\nduplicated_versions: {}\narches: {'9': [x86_64]}\nrequired_protocols: [http]\nrepos: [{name: baseos, path: BaseOS/$basearch/os/}]\n"
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/config.yml":
			_, _ = w.Write([]byte(config))
		case "/long":
			_, _ = w.Write([]byte(strings.Repeat("#", 2<<20)))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	roots, err := loadRoots([]string{ca})
	if err != nil {
		t.Fatal(err)
	}
	got, err := loadServiceConfig(t.Context(), server.URL+"/config.yml", roots, time.Minute)
	if err != nil || got.AllowedOutdate != time.Hour || len(got.Repodata()) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	for path, want := range map[string]string{"/none": "404 Not Found", "/long": "more than the limit"} {
		if _, err := loadServiceConfig(t.Context(), server.URL+path, roots, time.Minute); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := loadServiceConfig(t.Context(), server.URL+"/config.yml", nil, time.Minute); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the authority: %v", err)
	}
}

// startMirror serves a mirror of one repository over HTTPS, in good order for a service of its own.
// The URL of its tree is on example.com, for which flags give the address; they give the service,
// too. ca is a file with its authority.
func startMirror(t *testing.T) (tree string, flags []string, ca string) {
	t.Helper()
	now, repo := time.Now().Unix(), "/almalinux/9/BaseOS/x86_64/os/repodata/"
	const primary = "<metadata/>"
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/almalinux/":
			_, _ = io.WriteString(w, `<a href="9/">9/</a>`)
		case "/almalinux/TIME":
			_, _ = fmt.Fprintln(w, now)
		case repo + "primary.xml":
			_, _ = io.WriteString(w, primary)
		case repo + "repomd.xml":
			_, _ = fmt.Fprintf(w, `<repomd><revision>%d</revision><data type="primary"><checksum type="sha256">%x</checksum><location href="repodata/primary.xml"/></data></repomd>`,
				now, sha256.Sum256([]byte(primary)))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca = writeFile(t, dir, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	service := writeFile(t, dir, "config.yml", []byte("allowed_outdate: 1h\nversions: ['9']\narches: {'9': [x86_64]}\nrequired_protocols: [https]\nrepos: [{name: baseos, path: BaseOS/$basearch/os/}]\n"))
	flags = []string{"--reference", "", "--service-config", service, "--resolve", "example.com:127.0.0.1"}
	return strings.Replace(server.URL, "127.0.0.1", "example.com", 1) + "/almalinux/", flags, ca
}

func writeFile(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// runApp runs a command line and returns what it printed.
func runApp(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var streams [2]*os.File
	for i := range streams {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		streams[i] = f
	}
	g := &global{in: os.Stdin, out: streams[0], err: streams[1], types: mirror.Types(), today: time.Now}
	g.ui = ui.New(g.out, g.err, ui.Options{})
	status = g.run(t.Context(), args)
	var text [2][]byte
	for i, f := range streams {
		var err error
		if text[i], err = os.ReadFile(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
	return status, string(text[0]), string(text[1])
}

// TestVerifyWhole runs the command against a mirror over HTTPS, with an authority, a service and a
// GeoIP database of its own.
func TestVerifyWhole(t *testing.T) {
	t.Parallel()
	address, flags, ca := startMirror(t)
	db := geotest.Write(t, "GeoLite2-City", map[string]mmdbtype.Map{"127.0.0.0/8": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}}})
	args := append([]string{"verify", "--json", "--geoip-db", db, "--attempts", "1", address}, flags...)
	for _, test := range []struct {
		name   string
		args   []string
		status int
		report string
	}{
		{"trusted", append(slices.Clip(args), "--ca-file", ca), exitDone, "ok"},
		{"not trusted", args, exitError, "the certificate of example.com is not valid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			status, text, _ := runApp(t, test.args...)
			var got struct{ Mirrors []upstream.Report }
			if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Mirrors) != 1 {
				t.Fatalf("status %d, %v in %s", status, err, text)
			}
			r := got.Mirrors[0]
			if status != test.status || r.Status != test.report || r.Verified != 1 || len(r.Addresses) != 1 || len(r.Addresses[0].Locations) != 1 || r.Addresses[0].Locations[0].Country != "DE" {
				t.Errorf("exit status %d: %s", status, text)
			}
		})
	}
}

// TestVerifyText prints a report with all there is, and hostile text from a GeoIP database among
// it.
func TestVerifyText(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 14, 15, 0, 0, 0, time.UTC)
	age, km := now.Add(-time.Hour), 423.6
	r := &upstream.Report{
		Name: "m.example.org", Host: "fra1", Status: "expired", IPv6: true, FullISOSet: true, Modules: []string{"kitten"}, Time: &age,
		Addresses: []upstream.Address{{IP: "192.0.2.1", Locations: []upstream.Location{
			{Database: "city.mmdb", Country: "DE", City: "Ber\x1b[2Jlin", Distance: &km}, {Database: "asn.mmdb", ASN: 64496, Holder: "Example"},
		}}},
		Certificates: []upstream.Certificate{{Host: "m.example.org", Issuer: "CN=R1", NotAfter: now.AddDate(0, 0, 9), DaysLeft: 9, Valid: true}},
		Service: upstream.Verdict{
			UserAgent: upstream.ServiceAgent, Route: "http/ipv6", Kind: upstream.KindStatus, Path: "a", Kept: 3600, Attempts: 3, Blocked: "curl/7.61.1",
		},
		Routes: []string{"http/ipv4"}, Requests: 9, Bytes: 1500, Verified: 2, Sized: 1,
		Findings: []upstream.Finding{
			{Severity: upstream.Error, Check: "time", Upstream: true, Message: "too old", Routes: []string{"http/ipv4"}, Paths: []string{"TIME"}},
			{Severity: upstream.Warning, Check: "iso", Message: "404", Advice: "one\ntwo", Paths: []string{"a", "b", "c", "d", "e"}},
		},
	}
	const want = `m.example.org (host fra1)
  upstream would store   expired
  upstream keeps that    for 1 h, before it checks the mirror again
  it needed              3 attempts
  refused user agent     curl/7.61.1
  upstream comes over    http/ipv6, as curl/7.61.1
  upstream sees:
    error    time: too old
             over http/ipv4
             TIME
  upstream does not see:
    warning  iso: 404
             a
             b
             c
             and 2 more
             one
             two
  upstream notes         IPv6, full set of ISOs, kitten
  TIME                   2026-03-14 14:00 UTC, 1 hour ago
  certificate            m.example.org until 2026-03-23, 9 days left, by CN=R1
  address                192.0.2.1; Ber\x1b[2Jlin, DE (city.mmdb, 424 km from the configured city); AS64496 Example (asn.mmdb)
  checked over           http/ipv4
  requests               9, with 1.5 kB; metadata files: 2 compared by content, 1 by size

Checked 1 mirror: 0 accepted, 1 not.
`
	var got strings.Builder
	ui.New(&got, io.Discard, ui.Options{}).Lines(verifyText([]*upstream.Report{r}, now))
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// TestOldFacts is about the built-in facts, by the clock that is passed in.
func TestOldFacts(t *testing.T) {
	t.Parallel()
	if note := oldFacts(upstream.BuiltInDate.AddDate(0, 3, 0)); note != "" {
		t.Errorf("after three months: %s", note)
	}
	if note := oldFacts(upstream.BuiltInDate.AddDate(0, 7, 0)); !strings.Contains(note, "is of 2026-07-15, more than half a year ago") {
		t.Errorf("after seven months: %q", note)
	}
}
