package resources

import (
	"reflect"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// plainSite is a site for which another one serves HTTPS.
func plainSite(http string) Site {
	return Site{Name: "www", ServerName: []string{"www.example.org"}, Root: "/srv/www", TLSElsewhere: new(true), HTTP: http}
}

// TestReadTLS reads what nginx's text has of HTTPS.
func TestReadTLS(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, v := range []serverVersion{{Major: 1, Minor: 18}, {Major: 1, Minor: 26}} {
		for _, s := range []Site{
			{Certificate: "/etc/my certs/c.pem", CertificateKey: "/k.pem", TLSListen: []string{"443", "[::]:443"}, HTTP2: &yes},
			{Certificate: "/c.pem", CertificateKey: "/k.pem", TLSListen: []string{"192.0.2.1:8443"}, HTTP2: &no, HTTP3: &yes, HTTP: httpRedirect},
		} {
			s.Name, s.ServerName, s.Root, s.version = "www", []string{"www.example.org"}, "/srv/www", v
			full := siteType{"nginx_site", nginx{}}.Complete(engine.Target{}, &s)
			var got Site
			nginx{}.readTLS(&got, *full.Content)
			want := Site{Certificate: s.Certificate, CertificateKey: s.CertificateKey, TLSListen: s.TLSListen, HTTP2: s.HTTP2}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v: got %+v\nwant %+v", v, got, want)
			}
		}
	}
	for _, text := range []string{"", "server { listen 80; }\n", "ssl_certificate \"/c.pem", "ssl_certificate; listen;\n"} {
		var got Site
		if (nginx{}).readTLS(&got, text); got.Certificate != "" || got.TLSListen != nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// TestSiteInterim: what is served until the certificate is there.
func TestSiteInterim(t *testing.T) {
	t.Parallel()
	st := siteType{"nginx_site", nginx{}}
	own := plainSite(httpRedirect)
	own.TLSElsewhere, own.Certificate, own.CertificateKey = nil, "/c.pem", "/k.pem"
	had := *st.Complete(engine.Target{}, &own).Content
	const file = "/etc/nginx/conf.d/www.conf"
	for _, c := range []struct {
		http    string
		found   string // the file; "": absent
		missing bool
		means   string
		changed bool
		tls     string // the certificate until then
	}{
		{http: "", missing: true, means: "www.example.org is served over HTTP alone"},
		{http: httpRedirect, missing: true, means: "www.example.org is served over HTTP alone", changed: true},
		{http: httpOff, found: "server { listen 80; }", missing: true, means: "www.example.org is served over HTTP alone", changed: true},
		{http: httpServe, found: had, missing: true, means: "www.example.org is served over HTTP, and over HTTPS with its certificate /c.pem", changed: true, tls: "/c.pem"},
		{http: httpOff, found: had, missing: true, means: "www.example.org is served over HTTP, and over HTTPS with its certificate /c.pem", changed: true, tls: "/c.pem"},
		{http: httpRedirect, found: had, means: "www.example.org is served over HTTP, too", changed: true},
		{http: httpServe, found: had},
	} {
		s := plainSite(c.http)
		want := st.Complete(engine.Target{}, &s)
		answer := wire.Answer{File: &wire.File{Kind: wire.Absent}}
		if c.found != "" {
			answer.File = &wire.File{Kind: wire.Regular, HasContent: true, Content: []byte(c.found)}
		}
		q := wire.Query{Verb: wire.AskFile, Arg: file, Option: "content"}
		got, err := engine.NewAnswers([]wire.Query{q}, []wire.Answer{answer})
		if err != nil {
			t.Fatal(err)
		}
		until, means := st.Interim(engine.Target{}, want, got, c.missing)
		if means != c.means || (until != want) != c.changed {
			t.Errorf("%+v: %q, changed %v", c, means, until != want)
			continue
		}
		until = st.Complete(engine.Target{}, until)
		if !until.servesHTTP() || until.Certificate != c.tls || c.changed && *until.Content == *want.Content {
			t.Errorf("%+v: %s", c, *until.Content)
		}
		if again := st.Complete(engine.Target{}, until); *again.Content != *until.Content {
			t.Errorf("%+v: completed again: %s", c, *again.Content)
		}
	}
	secure := own
	if until, _ := st.Interim(engine.Target{}, &secure, engine.Answers{}, true); until != nil {
		t.Errorf("a site without its certificate is %+v", until)
	}
	if until, _ := st.Interim(engine.Target{}, &secure, engine.Answers{}, false); until != &secure {
		t.Errorf("a site with its certificate becomes %+v", until)
	}
	plain := plainSite("")
	if keys := st.Awaits(engine.Target{}, &plain); len(keys) != 1 || keys[0] != siteKeysOn(&own, []string{"443"})[0] {
		t.Errorf("awaits %v", keys)
	}
}
