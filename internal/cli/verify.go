package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/geo"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

const (
	// verifyFormat is the version of the format of verify --json.
	verifyFormat = "1.0"
	// verifyAtOnce is how many mirrors are looked at at once.
	verifyAtOnce = 8

	// How much is asked of a mirror, and how patiently, unless flags say otherwise.
	verifyMetadata    = "100MB"
	verifyConnections = 6
	verifyAttempts    = 3
	verifyTimeout     = 15 * time.Second
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	serviceConfig, reference, metadata string
	caFiles, resolve, geoIP            []string
	connections, attempts              int
	timeout                            time.Duration
	asJSON                             bool
}

// defaultVerifyFlags are those of a look at mirrors that has no flags of its own.
func defaultVerifyFlags() verifyFlags {
	return verifyFlags{
		reference: upstream.DefaultReference, metadata: verifyMetadata,
		connections: verifyConnections, attempts: verifyAttempts, timeout: verifyTimeout,
	}
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [HOST…|URL…]",
		Short: "Look at mirrors from outside, as AlmaLinux's service does and further",
		Long: `Look at mirrors from outside: make every check that AlmaLinux's mirror service makes, over http and https, IPv4 and IPv6; say what the service
would store; then say what it does not see, such as certificates, metadata that does not match, or a CDN.

HOST is a host of the configuration, a for_each block or a glob; what its mirror publishes is looked at. Without arguments all mirrors that the
configuration publishes are. URL is the URL of a tree, of any mirror; no configuration is needed then. URLs with one host name are one mirror: give
its http, https and rsync URLs, and that of its Kitten tree, if the last part of its path has kitten in it.

Exit status: 0 when the service would accept every mirror and no finding is an error, else 1.`,
		Example: `mirrorform verify
mirrorform verify fra1
mirrorform verify https://mirror.example.org/almalinux/ rsync://mirror.example.org/almalinux/
mirrorform verify --resolve mirror.example.org:203.0.113.10 fra1`,
		ValidArgsFunction: a.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.verify(cmd.Context(), args, f)
		},
	}
	flags := cmd.Flags()
	a.addVarFlags(flags)
	f.add(cmd)
	flags.StringVar(&f.metadata, "metadata", verifyMetadata, "compare metadata files up to this `SIZE` in all by content for each mirror, and the rest by size")
	flags.IntVar(&f.connections, "connections", verifyConnections, "`NUMBER` of requests to one host at once")
	flags.IntVar(&f.attempts, "attempts", verifyAttempts, "`NUMBER` of times that a request is made that fails in a way that may pass")
	flags.DurationVar(&f.timeout, "timeout", verifyTimeout, "`DURATION` to wait for a connection or an answer")
	flags.BoolVar(&f.asJSON, "json", false, "print as JSON")
	a.addReportFlag(cmd)
	return cmd
}

// add adds the flags that say what a mirror is compared with; publish has them, too.
func (f *verifyFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.serviceConfig, "service-config", "", "take what the service asks mirrors for from `FILE|URL`, its config.yml, in place of what is built in")
	flags.StringVar(&f.reference, "reference", upstream.DefaultReference, "compare repomd.xml files with those of the tree at `URL`; none if empty")
	flags.StringArrayVar(&f.caFiles, "ca-file", nil, "trust the certificate authorities in `FILE`, too, as PEM (may be given again)")
	flags.StringArrayVar(&f.resolve, "resolve", nil, "take ADDRESS for a host name in place of what DNS says: `HOST:ADDRESS` (may be given again)")
	flags.StringArrayVar(&f.geoIP, "geoip-db", nil, "look addresses up in `FILE`, a City or ASN database of MaxMind or a location or ASN database of IPinfo, in place of those of the configuration (may be given again)")
	_ = cmd.MarkFlagFilename("geoip-db", "mmdb")
}

func (a *app) verify(ctx context.Context, args []string, f verifyFlags) error {
	options, err := f.options(ctx)
	if err != nil {
		return err
	}
	defer func() { closeDatabases(options) }()
	mirrors, c, err := a.mirrorsToVerify(args)
	if err != nil {
		return err
	}
	if err := a.openConfigured(&options, c); err != nil {
		return err
	}
	meter := a.ui.Meter()
	options.Progress = meter.Set
	reports, err := verifyAll(ctx, upstream.New(options), mirrors)
	meter.Close()
	if err != nil {
		return err
	}
	a.collected.verified(reports)
	if f.asJSON {
		err = a.printVerifyJSON(reports)
	} else {
		a.ui.Print(verifyText(reports, time.Now()))
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(reports, func(r *upstream.Report) bool { return !r.Accepted }) {
		return errReported
	}
	return nil
}

func verifyAll(ctx context.Context, v *upstream.Verifier, mirrors []upstream.Mirror) ([]*upstream.Report, error) {
	reports := make([]*upstream.Report, len(mirrors))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(verifyAtOnce)
	for i, m := range mirrors {
		g.Go(func() (err error) {
			reports[i], err = v.Verify(ctx, m)
			return err
		})
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil, errors.New("interrupted before all mirrors were looked at")
	}
	return reports, err
}

func (a *app) printVerifyJSON(reports []*upstream.Report) error {
	text, err := json.MarshalIndent(report.Verify{FormatVersion: verifyFormat, Mirrors: reports}, "", "  ")
	if err != nil {
		return err
	}
	a.print("%s\n", text)
	return nil
}

// options turns flags into options. The caller closes the GeoIP databases.
func (f verifyFlags) options(ctx context.Context) (o upstream.Options, err error) {
	o = upstream.Options{PerHost: f.connections, Attempts: f.attempts, Timeout: f.timeout, Reference: f.reference, UserAgent: "mirrorform/" + Version()}
	switch {
	case f.connections < 1 || f.connections > 100:
		return o, fmt.Errorf("--connections is %d: it takes 1 to 100", f.connections)
	case f.attempts < 1 || f.attempts > 20:
		return o, fmt.Errorf("--attempts is %d: it takes 1 to 20", f.attempts)
	case f.timeout < time.Second || f.timeout > time.Hour:
		return o, fmt.Errorf("--timeout is %v: it takes 1s to 1h", f.timeout)
	}
	size, err := humanize.ParseBytes(f.metadata)
	if err != nil || size > 1<<50 {
		return o, fmt.Errorf("--metadata %q is no size such as 100MB", f.metadata)
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
	if f.serviceConfig != "" {
		if o.Service, err = loadServiceConfig(ctx, f.serviceConfig, o.Roots, f.timeout); err != nil {
			return o, err
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

// openConfigured opens the GeoIP databases of the configuration, if there is one and flags name none. The caller closes them.
func (a *app) openConfigured(o *upstream.Options, c *config.Config) error {
	if c == nil || len(o.GeoIP) > 0 {
		return nil
	}
	var diags hcl.Diagnostics
	for _, d := range c.GeoIP() {
		db, err := geo.Open(d.Path)
		if err != nil {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "GeoIP database cannot be used", Detail: err.Error() + ".", Subject: d.Range.Ptr()})
			continue
		}
		o.GeoIP = append(o.GeoIP, db)
	}
	a.ui.Diagnostics(diags, c.Files())
	if diags.HasErrors() {
		return errReported
	}
	return nil
}

// closeDatabases closes the GeoIP databases. They are only read, so nothing is lost where that fails.
func closeDatabases(o upstream.Options) {
	for _, db := range o.GeoIP {
		_ = db.Close()
	}
}

// parseResolve reads HOST:ADDRESS. The address of IPv6 may stand in brackets, as for curl.
func parseResolve(list []string) (map[string][]netip.Addr, error) {
	names := map[string][]netip.Addr{}
	for _, s := range list {
		host, address, ok := strings.Cut(s, ":")
		addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"))
		if !ok || host == "" || err != nil {
			return nil, fmt.Errorf("--resolve %q is not HOST:ADDRESS, such as mirror.example.org:203.0.113.10", s)
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
		return nil, fmt.Errorf("the system's certificate authorities: %w", err)
	}
	for _, name := range files {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file: %s has no certificate as PEM", name)
		}
	}
	return pool, nil
}

// loadServiceConfig reads a config.yml from a file, or by HTTP.
func loadServiceConfig(ctx context.Context, name string, roots *x509.CertPool, timeout time.Duration) (*upstream.Service, error) {
	var in io.ReadCloser
	if strings.Contains(name, "://") {
		if _, err := treeURL(name, "http", "https"); err != nil {
			return nil, fmt.Errorf("--service-config: %w", err)
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
		if err != nil {
			return nil, fmt.Errorf("--service-config: %w", err)
		}
		req.Header.Set("User-Agent", "mirrorform/"+Version())
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		defer transport.CloseIdleConnections()
		answer, err := upstream.Client(transport).Do(req)
		if err != nil {
			return nil, fmt.Errorf("--service-config: %w", err)
		}
		if answer.StatusCode != http.StatusOK {
			return nil, errors.Join(fmt.Errorf("--service-config: %s answers %d %s", name, answer.StatusCode, http.StatusText(answer.StatusCode)), answer.Body.Close())
		}
		in = answer.Body
	} else {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--service-config: %w", err)
		}
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, upstream.MaxServiceSize+1))
	if err := errors.Join(err, in.Close()); err != nil {
		return nil, fmt.Errorf("--service-config: %s: %w", name, err)
	}
	service, err := upstream.ParseService(data)
	if err != nil {
		return nil, fmt.Errorf("--service-config: %s: %w", name, err)
	}
	return service, nil
}

// treeURL reads the URL of a tree.
func treeURL(raw string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is not a URL", raw)
	case u.User != nil:
		return nil, errors.New("a URL must not have a user name or password here")
	case !slices.Contains(schemes, u.Scheme):
		return nil, fmt.Errorf("%q is no URL that begins with %s", raw, strings.Join(schemes, ":// or ")+"://")
	case u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q is not the URL of a tree: it has no host name, or a query or fragment", raw)
	}
	return u, nil
}

// mirrorsToVerify are the mirrors that the arguments mean, with the configuration, if any of them comes from there.
func (a *app) mirrorsToVerify(args []string) ([]upstream.Mirror, *config.Config, error) {
	var urls, hosts []string
	for _, arg := range args {
		if strings.Contains(arg, "://") {
			urls = append(urls, arg)
		} else {
			hosts = append(hosts, arg)
		}
	}
	mirrors, err := mirrorsOfURLs(urls)
	if err != nil {
		return nil, nil, err
	}
	if len(hosts) == 0 && len(urls) > 0 {
		return mirrors, nil, nil
	}
	entries, c, err := a.entriesToVerify(hosts)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		mirrors = append(mirrors, upstream.Mirror{Host: e.host, File: e.file})
	}
	if len(mirrors) == 0 {
		return nil, nil, errors.New("no mirror of this configuration has a publish block; name the URL of a mirror")
	}
	return mirrors, c, nil
}

// entriesToVerify are the entries of the named hosts, or of all. No host is reached, so an entry that is made from a host's facts is not among
// them, which is told. A host that was named and has none is an error.
func (a *app) entriesToVerify(names []string) ([]entry, *config.Config, error) {
	a.limit = names
	r, err := a.entriesRun()
	var none *noHostError
	if errors.As(err, &none) {
		return nil, nil, fmt.Errorf("%q means no host of this configuration, and is no URL", none.text)
	}
	if err != nil {
		return nil, nil, err
	}
	list, err := r.entries(nil)
	if err != nil {
		return nil, nil, err
	}
	needed := r.needFacts()
	for _, h := range r.hosts {
		reason := "has no mirror with a publish block, so its URLs are not known; name them in place of the host"
		facts := slices.Contains(needed, h)
		if facts {
			reason = "has a mirror whose entry is made from facts of the host, which verify does not connect to; name its URLs in place of the host"
		}
		switch {
		case h.Last || slices.ContainsFunc(list, func(e entry) bool { return e.host == h.Name }):
		case len(names) > 0:
			return nil, nil, fmt.Errorf("host %s %s", h.Name, reason)
		case facts:
			a.ui.Note(fmt.Sprintf("host %s %s", h.Name, reason))
		}
	}
	return list, r.config, nil
}

// mirrorsOfURLs makes mirrors of URLs: those with one host name belong to one.
func mirrorsOfURLs(urls []string) ([]upstream.Mirror, error) {
	var mirrors []upstream.Mirror
	for _, raw := range urls {
		u, err := treeURL(raw, "http", "https", "rsync")
		if err != nil {
			return nil, err
		}
		name := strings.ToLower(u.Hostname())
		i := slices.IndexFunc(mirrors, func(m upstream.Mirror) bool { return m.File.Name == name })
		if i < 0 {
			i = len(mirrors)
			mirrors = append(mirrors, upstream.Mirror{File: mirrorsd.File{Name: name}})
		}
		address := &mirrors[i].File.Address
		path := strings.TrimSuffix(u.Path, "/")
		if strings.Contains(path[strings.LastIndex(path, "/")+1:], "kitten") {
			address = &mirrors[i].File.AddressOptional.Kitten
		}
		field := map[string]*string{"http": &address.HTTP, "https": &address.HTTPS, "rsync": &address.Rsync}[u.Scheme]
		if *field != "" && *field != raw {
			return nil, fmt.Errorf("%s and %s are of one mirror and protocol; look at one of them at a time", *field, raw)
		}
		*field = raw
	}
	for i := range mirrors {
		address := &mirrors[i].File.Address
		if address.HTTP == "" && address.HTTPS == "" {
			return nil, fmt.Errorf("mirror %s needs the http or https URL of its almalinux tree, too", mirrors[i].File.Name)
		}
		mirrors[i].Guessed = guess(address)
	}
	return mirrors, nil
}

// guess adds the other of http and https, where the one that was given is on its usual port. It returns what it added.
func guess(a *mirrorsd.Address) []string {
	given, scheme, other := a.HTTP, "https", &a.HTTPS
	if given == "" {
		given, scheme, other = a.HTTPS, "http", &a.HTTP
	}
	u, err := url.Parse(given)
	if err != nil || u.Port() != "" || *other != "" {
		return nil
	}
	u.Scheme = scheme
	*other = u.String()
	return []string{scheme}
}
