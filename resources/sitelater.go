package resources

import (
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// A certificate comes later than the site over HTTP, on which the CA asks for a file; so does the
// site over HTTPS, which needs the certificate. Until that one is there, the first one serves, and
// a host that had a certificate of its own keeps it.

// overHTTP reports whether the server answers for the site over HTTP.
func (s *Site) overHTTP() bool {
	return !s.secure() || s.HTTP != httpOff
}

// servesHTTP reports whether the site serves files over HTTP.
func (s *Site) servesHTTP() bool {
	secure := s.secure() || isTrue(s.TLSElsewhere)
	return !secure || s.HTTP != httpRedirect && s.HTTP != httpOff
}

// overTLS returns what the server listens on for HTTPS.
func (s *Site) overTLS() []string {
	if len(s.TLSListen) == 0 {
		return []string{"443"}
	}
	return s.TLSListen
}

// Awaits implements engine.Interim.
func (siteType) Awaits(_ engine.Target, want *Site) []engine.Key {
	switch {
	case want.Certificate != "":
		return []engine.Key{engine.PathKey(want.Certificate)}
	case isTrue(want.TLSElsewhere):
		return siteKeysOn(want, want.overTLS())
	}
	return nil
}

// Interim implements engine.Interim. Without its certificate, a site would fail the check of the
// whole server.
func (st siteType) Interim(t engine.Target, want *Site, got engine.Answers, missing bool) (state *Site, means string) {
	host := probeHost(want)
	switch {
	case want.Certificate != "" && missing:
		return nil, ""
	case want.Certificate != "":
		return want, ""
	}
	until := *want
	until.HTTP, until.Content = "", nil
	if missing {
		means = host + " is served over HTTP alone"
		if f, err := got.File(st.fileQuery(t, want)); err == nil {
			had := Site{}
			st.server.readTLS(&had, string(f.Content))
			if had.Certificate != "" && slices.Equal(had.TLSListen, st.server.written(want.TLSListen)) { // other listens were not asked for
				until.Certificate, until.CertificateKey, until.HTTP2 = had.Certificate, had.CertificateKey, had.HTTP2
				return &until, host + " is served over HTTP, and over HTTPS with its certificate " + had.Certificate
			}
		}
	}
	switch {
	case want.servesHTTP():
		return want, means
	case means == "":
		means = host + " is served over HTTP, too"
	}
	return &until, means
}

// fileQuery asks for the file of a site. Where interim states are possible, it asks for the content
// in any case.
func (st siteType) fileQuery(t engine.Target, s *Site) wire.Query {
	q := st.file(t, s).query()
	if isTrue(s.TLSElsewhere) {
		q.Option = "content"
	}
	return q
}

// interimProbes are the requests of Interim's states.
func interimProbes(t engine.Target, s *Site) []wire.Query {
	if !isTrue(s.TLSElsewhere) {
		return nil
	}
	var list []wire.Query
	until := *s
	until.HTTP, until.Certificate = "", "any"
	for _, p := range siteProbes(t, &until) {
		list = append(list, p.Query())
	}
	return list
}
