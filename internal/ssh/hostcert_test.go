package ssh

import (
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// hostCertificate has otherKey certify a host's key.
func hostCertificate(t testing.TB, key gossh.Signer, edit func(*gossh.Certificate)) gossh.Signer {
	t.Helper()
	cert := &gossh.Certificate{
		Key: key.PublicKey(), CertType: gossh.HostCert, KeyId: "web1", ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: gossh.CertTimeInfinity,
	}
	if edit != nil {
		edit(cert)
	}
	if err := cert.SignCert(zeroReader{}, otherKey()); err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func TestHostCertificates(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	authority := "@cert-authority * " + publicLine(otherKey().PublicKey()) + "\n"
	revoked := func(k gossh.PublicKey) string { return "@revoked * " + publicLine(k) + "\n" }
	soon, past := uint64(time.Now().Add(time.Hour).Unix()), uint64(time.Now().Add(-time.Hour).Unix())
	for name, c := range map[string]struct {
		edit  func(*gossh.Certificate)
		known string
		alias string
		kind  error // nil: accepted
		parts []string
	}{
		"valid":               {known: authority},
		"no principals":       {known: authority, edit: func(c *gossh.Certificate) { c.ValidPrincipals = nil }},
		"for the alias":       {known: authority, edit: func(c *gossh.Certificate) { c.ValidPrincipals = []string{"web"} }, alias: "WEB"},
		"not for the alias":   {known: authority, alias: "web", kind: ErrHostKeyChanged, parts: []string{"principal", `certificate "web1" of the authority ssh-ed25519 SHA256:`}},
		"for another host":    {known: authority, edit: func(c *gossh.Certificate) { c.ValidPrincipals = []string{"web2"} }, kind: ErrHostKeyChanged, parts: []string{"principal"}},
		"expired":             {known: authority, edit: func(c *gossh.Certificate) { c.ValidBefore = past }, kind: ErrHostKeyChanged, parts: []string{"expired", "sign the host's key again"}},
		"not yet":             {known: authority, edit: func(c *gossh.Certificate) { c.ValidAfter = soon }, kind: ErrHostKeyChanged, parts: []string{"not yet valid"}},
		"a user's":            {known: authority, edit: func(c *gossh.Certificate) { c.CertType = gossh.UserCert }, kind: ErrHostKeyChanged},
		"critical option":     {known: authority, edit: func(c *gossh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "127.0.0.0/8"} }, kind: ErrHostKeyChanged, parts: []string{"critical option"}},
		"revoked authority":   {known: authority + revoked(otherKey().PublicKey()), kind: ErrHostKeyChanged, parts: []string{"the authority that signed", "@revoked", "/file:2"}},
		"revoked key":         {known: authority + revoked(rsaKey().PublicKey()), kind: ErrHostKeyChanged, parts: []string{"the certified key", "@revoked", "/file:2"}},
		"another authority":   {known: "@cert-authority * " + publicLine(edKey().PublicKey()) + "\n", kind: ErrHostKeyUnknown, parts: []string{"ssh-rsa SHA256:"}},
		"another, key known":  {known: "@cert-authority * " + publicLine(edKey().PublicKey()) + "\n127.0.0.* " + publicLine(rsaKey().PublicKey()) + "\n"},
		"authority elsewhere": {known: "@cert-authority *.example.org " + publicLine(otherKey().PublicKey()) + "\n", kind: ErrHostKeyUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, pub)
			s.hostKeys = []gossh.Signer{hostCertificate(t, rsaKey(), c.edit), rsaKey()}
			s.serve()
			target := s.target(key)
			target.HostKeyAlias = c.alias
			_, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{writeFile(t, c.known)}}), target, standIn(t, ""))
			if c.kind == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, c.kind, c.parts...)
			if n := s.offered.Load(); n != 0 {
				t.Errorf("%d keys were offered to a host that is not trusted", n)
			}
		})
	}
}
