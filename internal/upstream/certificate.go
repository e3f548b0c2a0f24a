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

// warnDays is the number of remaining days below which a certificate gets a warning. For
// short-lived ones it is a quarter of their lifetime, if that is less.
const warnDays = 14

// certificates checks the certificate of each https route before any request, so that a fault is
// reported once.
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

// certificate opens a TLS connection and checks the certificate. If it cannot connect, the request
// that follows reports that.
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
	// Verified below, so that a bad certificate can be described.
	secure := tls.Client(conn, &tls.Config{ServerName: r.host, InsecureSkipVerify: true})
	if err := secure.HandshakeContext(ctx); err != nil {
		return
	}
	chain := secure.ConnectionState().PeerCertificates
	err = verifyChain(chain, r.host, o.Roots, now)
	if len(chain) > 0 {
		leaf := chain[0]
		left := leaf.NotAfter.Sub(now)
		r.tree.p.certificateSeen(Certificate{
			Host: r.host, Issuer: clean(leaf.Issuer.String()), NotAfter: leaf.NotAfter.UTC(),
			DaysLeft: int(left.Hours()) / 24, Valid: err == nil,
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
	r.add(severity, CheckCertificate, "", "check that its renewal works", "the certificate of %s expires on %s, in %d "+
		"days",
		r.host, end.UTC().Format(time.DateOnly), int(left.Hours())/24)
}

// certificateSeen records a certificate, once.
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

// certificateFault describes the fault of a certificate, and the next step.
func certificateFault(chain []*x509.Certificate, host string, now time.Time, err error) (message, advice string) {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case len(chain) > 0 && now.After(chain[0].NotAfter):
		end := chain[0].NotAfter.UTC().Format(time.DateOnly)
		return fmt.Sprintf("the certificate of %s expired on %s", host, end), "renew it"
	case len(chain) > 0 && now.Before(chain[0].NotBefore):
		begin := chain[0].NotBefore.UTC().Format(time.DateOnly)
		return fmt.Sprintf("the certificate of %s is not valid before %s", host, begin), ""
	case errors.As(err, &name):
		names := name.Certificate.DNSNames
		if len(names) > 5 {
			names = append(names[:5:5], "…")
		}
		return fmt.Sprintf("the certificate is not for %s, but for %s", host, clean(strings.Join(names, ", "))),
			"get a certificate for the name"
	case errors.As(err, &authority):
		return fmt.Sprintf("the certificate of %s is from an unknown authority", host),
			"serve the intermediate certificates too; for a private authority, use --ca-file"
	}
	return fmt.Sprintf("the certificate of %s is not valid: %s", host, clean(err.Error())), ""
}
