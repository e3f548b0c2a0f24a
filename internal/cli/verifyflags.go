package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/facts"
	"github.com/mirrorform/mirrorform/internal/geo"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"github.com/spf13/cobra"
)

// The defaults of flags.
const (
	verifyMetadata    = "100MB"
	verifyConnections = 6
	verifyAttempts    = 3
	verifyTimeout     = 15 * time.Second
)

// verifyFlags say how mirrors are checked. The zero value is of no use: see defaultVerifyFlags.
type verifyFlags struct {
	reference, metadata     string
	caFiles, resolve, geoIP []string
	connections, attempts   int
	timeout                 time.Duration
	service                 serviceFlags
}

// defaultVerifyFlags are for checks by commands that have no such flags.
func defaultVerifyFlags() verifyFlags {
	return verifyFlags{
		reference: upstream.DefaultReference, metadata: verifyMetadata,
		connections: verifyConnections, attempts: verifyAttempts, timeout: verifyTimeout,
	}
}

// add adds the flags that say what a mirror is compared with, which publish has too.
func (f *verifyFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.service.add(flags)
	flags.StringVar(&f.reference, "reference", upstream.DefaultReference,
		"compare repomd.xml files with those of the tree at `URL`; if empty, with none")
	flags.StringArrayVar(&f.caFiles, "ca-file", nil,
		"also trust the certificate authorities in `FILE`, as PEM (can be repeated)")
	flags.StringArrayVar(&f.resolve, "resolve", nil,
		"use ADDRESS for a host name instead of what DNS says, as `HOST:ADDRESS` (can be repeated)")
	flags.StringArrayVar(&f.geoIP, "geoip-db", nil,
		"look addresses up in `FILE` instead of the configuration's databases: a location, country or ASN database of "+
			"IPinfo, such as IPinfo Lite, or a City, Country or ASN database of MaxMind (can be repeated)")
	_ = cmd.MarkFlagFilename("geoip-db", "mmdb")
}

// upstream turns flags into options, without what the service requires. The caller closes the GeoIP
// databases.
func (f verifyFlags) upstream() (o upstream.Options, err error) {
	o = upstream.Options{
		PerHost: f.connections, Attempts: f.attempts, Timeout: f.timeout,
		Reference: f.reference, UserAgent: "mirrorform/" + Version(),
	}
	switch {
	case f.connections < 1 || f.connections > 100:
		return o, fmt.Errorf("invalid value \"%d\" for --connections: it takes 1 to 100", f.connections)
	case f.attempts < 1 || f.attempts > 20:
		return o, fmt.Errorf("invalid value \"%d\" for --attempts: it takes 1 to 20", f.attempts)
	case f.timeout < time.Second || f.timeout > time.Hour:
		return o, fmt.Errorf("invalid value \"%v\" for --timeout: it takes 1s to 1h", f.timeout)
	}
	size, err := humanize.ParseBytes(f.metadata)
	if err != nil || size > 1<<50 {
		return o, fmt.Errorf("invalid value %q for --metadata: it takes a size, such as 100MB", f.metadata)
	}
	o.Metadata = int64(size)
	if o.Resolve, err = parseResolve(f.resolve); err != nil {
		return o, err
	}
	if o.Roots, err = loadRoots(f.caFiles); err != nil {
		return o, err
	}
	if f.reference != "" {
		if _, err := treeURL(f.reference, "http", "https"); err != nil {
			return o, fmt.Errorf("--reference: %w", err)
		}
	}
	for _, name := range f.geoIP {
		db, err := geo.Open(name)
		if err != nil {
			closeDatabases(o)
			return o, err
		}
		o.GeoIP = append(o.GeoIP, db)
	}
	return o, nil
}

// require sets what the service requires, which may be fetched: after all that can be wrong.
func (f verifyFlags) require(ctx context.Context, o *upstream.Options) (*facts.Facts, error) {
	current, err := f.service.facts(ctx, o.Roots, f.timeout)
	if err != nil {
		return nil, err
	}
	o.Service, o.FactsDate, o.FactsStale = current.Service, current.Date, current.Stale(time.Now())
	return current, nil
}

// openConfigured opens the GeoIP databases of the configuration, unless flags name some. The caller
// closes them.
func openConfigured(o *upstream.Options, c *config.Config, u *ui.UI) error {
	if c == nil || len(o.GeoIP) > 0 {
		return nil
	}
	var diags hcl.Diagnostics
	for _, d := range c.GeoIP() {
		db, err := geo.Open(d.Path)
		if err != nil {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "GeoIP database cannot be used", Detail: err.Error() + ".", Subject: d.Range.Ptr(),
			})
			continue
		}
		o.GeoIP = append(o.GeoIP, db)
	}
	u.Diagnostics(diags, c.Files())
	if diags.HasErrors() {
		return errReported
	}
	return nil
}

// closeDatabases closes the GeoIP databases. They are only read, so errors do not matter.
func closeDatabases(o upstream.Options) {
	for _, db := range o.GeoIP {
		_ = db.Close()
	}
}

// parseResolve reads HOST:ADDRESS. An IPv6 address can be in brackets, as for curl.
func parseResolve(list []string) (map[string][]netip.Addr, error) {
	names := map[string][]netip.Addr{}
	for _, s := range list {
		host, address, ok := strings.Cut(s, ":")
		addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"))
		if !ok || host == "" || err != nil {
			return nil, fmt.Errorf("invalid value %q for --resolve: it takes HOST:ADDRESS, "+
				"such as mirror.example.org:203.0.113.10", s)
		}
		host = strings.ToLower(host)
		names[host] = append(names[host], addr)
	}
	return names, nil
}

// loadRoots returns the system's certificate authorities and those in the files.
func loadRoots(files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil // the system's
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("cannot read the system's certificate authorities: %w", err)
	}
	for _, name := range files {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file: no PEM certificate found in %s", name)
		}
	}
	return pool, nil
}
