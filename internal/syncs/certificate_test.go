package syncs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// generate returns a certificate and its key in PEM format.
func generate(t testing.TB, from, until time.Time) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, DNSNames: []string{"m.example.org"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// read returns the certificate of an answer.
func read(t *testing.T, answer wire.Answer) *Certificate {
	t.Helper()
	j := &Job{Certificate: "/c.pem"}
	got, err := engine.NewAnswers(j.CertificateQuestions(), []wire.Answer{answer})
	if err != nil {
		t.Fatal(err)
	}
	return j.ReadCertificate(got)
}

func TestReadCertificate(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	until := from.AddDate(0, 0, 90)
	leaf, key := generate(t, from, until)
	issuer, _ := generate(t, from.AddDate(-5, 0, 0), until.AddDate(5, 0, 0))
	file := func(content []byte) wire.Answer {
		return wire.Answer{File: &wire.File{Kind: wire.Regular, Size: int64(len(content)), Content: content, HasContent: true}}
	}
	for name, c := range map[string]struct {
		answer wire.Answer
		fails  string
	}{
		"a certificate":      {file(leaf), ""},
		"a chain":            {file(append(bytes.Clone(leaf), issuer...)), ""},
		"a key before it":    {file(append(bytes.Clone(key), leaf...)), ""},
		"text before it":     {file(append([]byte("subject=CN = m.example.org\r\n\x1b[2J\n"), leaf...)), ""},
		"missing":            {wire.Answer{File: &wire.File{}}, "file not found"},
		"a directory":        {wire.Answer{File: &wire.File{Kind: wire.Directory}}, "it is not a file"},
		"empty":              {file(nil), "no certificate"},
		"a key":              {file(key), "no certificate"},
		"text":               {file([]byte("-----BEGIN CERTIFICATE-----\nhello")), "no certificate"},
		"other bytes in PEM": {file(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("hello")})), "invalid certificate: "},
		"a cut certificate":  {file(append(leaf[:len(leaf)/2:len(leaf)/2], "\n-----END CERTIFICATE-----\n"...)), "certificate"},
		"large":              {file(append(bytes.Repeat([]byte("-"), maxCertificate), leaf...)), "larger than 256 KiB"},
		"too large to send":  {wire.Answer{File: &wire.File{Kind: wire.Regular, Size: 5 << 20}}, "larger than 256 KiB"},
		"not sent":           {wire.Answer{File: &wire.File{Kind: wire.Regular, Size: 500}}, "not read"},
		"refused":            {wire.Answer{Error: "open /c.pem: permission denied"}, "permission denied"},
		"another answer":     {wire.Answer{Run: &wire.Run{}}, "a different type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := read(t, c.answer)
			switch {
			case c.fails != "":
				if got.Err == nil || !strings.Contains(got.Err.Error(), c.fails) || !got.NotAfter.IsZero() {
					t.Errorf("%+v, want an error with %q", got, c.fails)
				}
			case got.Err != nil || !got.NotBefore.Equal(from) || !got.NotAfter.Equal(until):
				t.Errorf("%+v, want %s to %s", got, from, until)
			}
		})
	}
	none := &Job{}
	if none.ReadCertificate(engine.Answers{}) != nil || len(none.CertificateQuestions()) > 0 {
		t.Error("a mirror without tls has a certificate")
	}
}

func TestDaysLeft(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]int{
		0: 0, time.Second: 0, -time.Second: -1, 24 * time.Hour: 1, 24*time.Hour - time.Second: 0, -24 * time.Hour: -1, -25 * time.Hour: -2,
		14*24*time.Hour - time.Second: 13,
	} {
		if got := (&Certificate{NotAfter: end}).DaysLeft(end.Add(-left)); got != want {
			t.Errorf("%s: %d days, want %d", left, got, want)
		}
	}
	last := Certificate{NotAfter: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)} // more than a Duration can be
	if got := last.DaysLeft(end); got < 2_900_000 {
		t.Errorf("%d days", got)
	}
}

// FuzzCertificate has any bytes for a certificate's file.
func FuzzCertificate(f *testing.F) {
	leaf, key := generate(f, time.Unix(1772330000, 0), time.Unix(1780106000, 0))
	f.Add(leaf)
	f.Add(append(key, leaf...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		c := read(t, wire.Answer{File: &wire.File{Kind: wire.Regular, Size: int64(len(content)), Content: content, HasContent: true}})
		if (c.Err == nil) == c.NotAfter.IsZero() {
			t.Errorf("%+v", c)
		}
		if _, err := c.NotAfter.MarshalJSON(); err != nil {
			t.Error(err)
		}
	})
}
