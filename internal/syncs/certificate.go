package syncs

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// maxCertificate is the largest certificate file that is parsed, in bytes. A chain has a few KiB.
const maxCertificate = 256 << 10

// Certificate is the certificate of a mirror's site on its host. If there is an error, its times
// are not known.
type Certificate struct {
	NotBefore, NotAfter time.Time
	Err                 error
}

// DaysLeft returns for how many full days the certificate is valid: negative if it has expired.
func (c *Certificate) DaysLeft(now time.Time) int {
	return int(math.Floor(float64(c.NotAfter.Unix()-now.Unix()) / 86400))
}

// certificateQuery follows links: certbot's files in live are links to those in archive.
func (j *Job) certificateQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.Certificate, Option: "follow-content"}
}

// CertificateQuestions returns the question that ReadCertificate needs an answer to, if the mirror
// has a certificate.
func (j *Job) CertificateQuestions() []wire.Query {
	if j.Certificate == "" {
		return nil
	}
	return []wire.Query{j.certificateQuery()}
}

// ReadCertificate returns the mirror's certificate, or nil if it has none.
func (j *Job) ReadCertificate(got engine.Answers) *Certificate {
	if j.Certificate == "" {
		return nil
	}
	f, err := got.File(j.certificateQuery())
	if err != nil {
		return &Certificate{Err: err}
	}
	switch {
	case f.Kind == wire.Absent:
		err = errors.New("file not found")
	case f.Kind != wire.Regular:
		err = errors.New("it is not a file")
	case f.Size > maxCertificate || len(f.Content) > maxCertificate:
		err = fmt.Errorf("the file is larger than %d KiB", maxCertificate>>10)
	case !f.HasContent:
		err = errors.New("the file was not read")
	}
	if err != nil {
		return &Certificate{Err: err}
	}
	leaf, err := firstCertificate(f.Content)
	if err != nil {
		return &Certificate{Err: err}
	}
	return &Certificate{NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC()}
}

// firstCertificate parses the first certificate of a PEM file, which nginx takes for the site's own
// (ngx_http_ssl_module, ssl_certificate). The file may also have the private key.
func firstCertificate(text []byte) (*x509.Certificate, error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("the file has no certificate in PEM format")
		}
		if block.Type == "CERTIFICATE" {
			leaf, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("invalid certificate: %w", err)
			}
			return leaf, nil
		}
		text = rest
	}
}
