package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// warnDays is with how many days left a certificate is warned of. Of short-lived ones a quarter of their life is enough.
const warnDays = 14

// certificates looks at the certificate of each https route, before anything is asked by it: what is wrong with one is told once.
func (p *probe) certificates(ctx context.Context, trees []*tree) {
	var routes []*route
	for _, t := range trees {
		for _, r := range t.routes {
			if r.protocol == "https" {
				routes = append(routes, r)
			}
		}
	}
	p.each(ctx, len(routes), func(ctx context.Context, i int) { routes[i].certificate(ctx) })
}

// certificate makes a TLS connection and judges the certificate. That there is no connection is told by the request that follows.
func (r *route) certificate(ctx context.Context) {
	o, now := r.tree.p.v.o, r.tree.p.v.now()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	port := r.base.Port()
	if port == "" {
		port = "443"
	}
	conn, err := r.dial(ctx, "", net.JoinHostPort(r.base.Hostname(), port))
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	secure := tls.Client(conn, &tls.Config{ServerName: r.host, InsecureSkipVerify: true}) // judged below, so that a bad one can be described
	if err := secure.HandshakeContext(ctx); err != nil {
		return
	}
	chain := secure.ConnectionState().PeerCertificates
	err = verifyChain(chain, r.host, o.Roots, now)
	if len(chain) > 0 {
		leaf := chain[0]
		left := leaf.NotAfter.Sub(now)
		r.tree.p.certificateSeen(Certificate{
			Host: r.host, Issuer: clean(leaf.Issuer.String()), NotAfter: leaf.NotAfter.UTC(), DaysLeft: int(left.Hours()) / 24, Valid: err == nil,
		})
		enough := min(warnDays*24*time.Hour, leaf.NotAfter.Sub(leaf.NotBefore)/4)
		if err == nil && left < enough {
			r.warnCertificate(leaf.NotAfter, left)
		}
	}
	if err == nil {
		return
	}
	r.tolerate.Store(r.host, true)
	severity := Error
	if !r.listed {
		severity = Note
	}
	message, advice := certificateFault(chain, r.host, now, err)
	r.add(severity, CheckCertificate, "", advice, "%s", message)
}

func (r *route) warnCertificate(end time.Time, left time.Duration) {
	severity := Warning
	if !r.listed {
		severity = Note
	}
	r.add(severity, CheckCertificate, "", "see that its renewal works", "the certificate of %s ends on %s, in %d days", r.host, end.UTC().Format(time.DateOnly), int(left.Hours())/24)
}

// certificateSeen notes a certificate, once.
func (p *probe) certificateSeen(c Certificate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range p.report.Certificates {
		if known == c {
			return
		}
	}
	p.report.Certificates = append(p.report.Certificates, c)
}

// certificateFault says what is wrong with a certificate, and what to do.
func certificateFault(chain []*x509.Certificate, host string, now time.Time, err error) (message, advice string) {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case len(chain) > 0 && now.After(chain[0].NotAfter):
		return fmt.Sprintf("the certificate of %s has expired on %s", host, chain[0].NotAfter.UTC().Format(time.DateOnly)), "renew it"
	case len(chain) > 0 && now.Before(chain[0].NotBefore):
		return fmt.Sprintf("the certificate of %s is not valid before %s", host, chain[0].NotBefore.UTC().Format(time.DateOnly)), ""
	case errors.As(err, &name):
		names := name.Certificate.DNSNames
		if len(names) > 5 {
			names = append(names[:5:5], "…")
		}
		return fmt.Sprintf("the certificate is not for %s, but for %s", host, clean(strings.Join(names, ", "))), "have one made for the name"
	case errors.As(err, &authority):
		return fmt.Sprintf("the certificate of %s is not from an authority that is known here", host),
			"serve the intermediate certificates with it; for an authority of your own there is --ca-file"
	}
	return fmt.Sprintf("the certificate of %s is not valid: %s", host, clean(err.Error())), ""
}
