package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/rogpeppe/go-internal/testscript"
)

// askHTTP3 asks for a URL over HTTP/3, each time over a new connection, and prints the protocol,
// the status and how many bytes came:
//
//	http3 COUNT URL ADDRESS CERTIFICATES
//
// ADDRESS takes the place of the URL's host; the file CERTIFICATES has what is trusted.
func askHTTP3(ts *testscript.TestScript, neg bool, args []string) {
	var count int
	if len(args) != 4 {
		ts.Fatalf("usage: http3 COUNT URL ADDRESS CERTIFICATES")
	}
	if _, err := fmt.Sscan(args[0], &count); err != nil {
		ts.Fatalf("http3: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ts.ReadFile(args[3]))) {
		ts.Fatalf("http3: %s has no certificate", args[3])
	}
	for range count {
		answer, err := getHTTP3(args[1], args[2], roots)
		if neg != (err != nil) {
			ts.Fatalf("http3 %s at %s: %s %v", args[1], args[2], answer, err)
		}
		_, _ = fmt.Fprintln(ts.Stdout(), answer)
	}
}

func getHTTP3(url, address string, roots *x509.CertPool) (string, error) {
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
		Dial: func(ctx context.Context, asked string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
			_, port, err := net.SplitHostPort(asked)
			if err != nil {
				return nil, err
			}
			return quic.DialAddrEarly(ctx, net.JoinHostPort(address, port), t, q)
		},
	}
	defer func() { _ = transport.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	return fmt.Sprintf("%s %d, %d bytes", resp.Proto, resp.StatusCode, n), err
}
