package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

const (
	// verifyFormat is the version of the format of verify --json.
	verifyFormat = "1.0"
	// verifyAtOnce is how many mirrors are looked at at once.
	verifyAtOnce = 8
)

// verifyOptions are the options of verify.
type verifyOptions struct {
	configFlags
	verifyFlags
	observerFlags
	asJSON bool
}

func newVerifyCommand(g *global) *cobra.Command {
	var o verifyOptions
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
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runVerify(cmd.Context(), g, w, o, args) })
		},
	}
	flags := cmd.Flags()
	o.configFlags.add(flags)
	o.verifyFlags.add(cmd)
	flags.StringVar(&o.metadata, "metadata", verifyMetadata, "compare metadata files up to this `SIZE` in all by content for each mirror, and the rest by size")
	flags.IntVar(&o.connections, "connections", verifyConnections, "`NUMBER` of requests to one host at once")
	flags.IntVar(&o.attempts, "attempts", verifyAttempts, "`NUMBER` of times that a request is made that fails in a way that may pass")
	flags.DurationVar(&o.timeout, "timeout", verifyTimeout, "`DURATION` to wait for a connection or an answer")
	flags.BoolVar(&o.asJSON, "json", false, "print as JSON")
	o.reports.addFlag(cmd)
	return cmd
}

func runVerify(ctx context.Context, g *global, w *observer, o verifyOptions, args []string) error {
	options, err := o.upstream(ctx)
	if err != nil {
		return err
	}
	defer func() { closeDatabases(options) }()
	mirrors, c, err := mirrorsToVerify(w, o.sources(g), args)
	if err != nil {
		return err
	}
	if err := openConfigured(&options, c, g.ui); err != nil {
		return err
	}
	meter := ui.NewMeter(g.ui)
	options.Progress = meter.Set
	reports, err := verifyAll(ctx, upstream.New(options), mirrors)
	meter.Close()
	if err != nil {
		return err
	}
	w.result.verified(reports)
	if o.asJSON {
		if err := g.printJSON(report.Verify{FormatVersion: verifyFormat, Mirrors: reports}); err != nil {
			return err
		}
	} else {
		g.ui.Print(verifyText(reports, time.Now()))
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

// gateVerifier looks at mirrors for a gate of a rollout, as verify does with flags.
func gateVerifier(u *ui.UI, f verifyFlags) func(context.Context, *config.Config, []upstream.Mirror, bool) error {
	return func(ctx context.Context, c *config.Config, mirrors []upstream.Mirror, shown bool) error {
		options, err := f.upstream(ctx)
		if err != nil {
			return err
		}
		defer func() { closeDatabases(options) }()
		if err := openConfigured(&options, c, u); err != nil {
			return err
		}
		if !shown { // otherwise the wave's own display is there still
			meter := ui.NewMeter(u)
			defer meter.Close()
			options.Progress = meter.Set
		}
		reports, err := verifyAll(ctx, upstream.New(options), mirrors)
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		bad := slices.DeleteFunc(reports, func(r *upstream.Report) bool { return r.Accepted })
		if len(bad) == 0 {
			return nil
		}
		var names []string
		for _, r := range bad {
			names = append(names, r.Name)
		}
		u.Print(verifyText(bad, time.Now()))
		return errors.New("verify does not accept " + strings.Join(names, ", "))
	}
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
func mirrorsToVerify(w *observer, sources run.Sources, args []string) ([]upstream.Mirror, *config.Config, error) {
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
	entries, c, err := entriesToVerify(w, sources, hosts)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		mirrors = append(mirrors, upstream.Mirror{Host: e.Host, File: e.File})
	}
	if len(mirrors) == 0 {
		return nil, nil, errors.New("no mirror of this configuration has a publish block; name the URL of a mirror")
	}
	return mirrors, c, nil
}

// entriesToVerify are the entries of the named hosts, or of all. No host is reached, so an entry that is made from a host's facts is not among
// them, which is told. A host that was named and has none is an error.
func entriesToVerify(w *observer, sources run.Sources, names []string) ([]publish.Entry, *config.Config, error) {
	s, err := run.NewScope(sources, run.Selection{Limit: names}, w)
	var none *run.NoHostError
	if errors.As(err, &none) {
		return nil, nil, fmt.Errorf("%q means no host of this configuration, and is no URL", none.Text)
	}
	if err != nil {
		return nil, nil, err
	}
	list, err := s.Entries(nil)
	if err != nil {
		return nil, nil, err
	}
	needed := s.NeedFacts()
	for _, h := range s.Hosts {
		reason := "has no mirror with a publish block, so its URLs are not known; name them in place of the host"
		facts := slices.Contains(needed, h)
		if facts {
			reason = "has a mirror whose entry is made from facts of the host, which verify does not connect to; name its URLs in place of the host"
		}
		switch {
		case h.Last || slices.ContainsFunc(list, func(e publish.Entry) bool { return e.Host == h.Name }):
		case len(names) > 0:
			return nil, nil, fmt.Errorf("host %s %s", h.Name, reason)
		case facts:
			w.Note(fmt.Sprintf("host %s %s", h.Name, reason))
		}
	}
	return list, s.Config, nil
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
