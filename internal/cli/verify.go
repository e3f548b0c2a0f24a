package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/facts"
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
	verifyFormat = "1.1"
	// verifyAtOnce is how many mirrors are checked at once.
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
		Use:   "verify [HOST...|URL...]",
		Short: "Check mirrors from outside, as AlmaLinux's service does and more",
		Long: `Check mirrors from outside. verify makes every check of AlmaLinux's mirror
service, over http and https, IPv4 and IPv6, and prints what the service would
store. Then it prints what the service does not see, such as problems of
certificates, metadata that does not match, or a CDN.

HOST is a host of the configuration, a for_each block or a glob; the mirror that
it publishes is checked. Without arguments, verify checks all mirrors that the
configuration publishes. Mirrors of other distributions are skipped. URL is the
URL of any mirror's tree, which needs no configuration. URLs with the same host
name are one mirror: give its http, https and rsync URLs, and that of its Kitten
tree if the last part of its path contains "kitten".

Exit status: 0 if the service would accept every mirror and no finding is an
error, else 1.`,
		Example: `mirrorform verify
mirrorform verify fra1

# Any mirror, without a configuration
mirrorform verify https://mirror.example.org/almalinux/ \
    rsync://mirror.example.org/almalinux/

# Before DNS has the mirror's name
mirrorform verify --resolve mirror.example.org:203.0.113.10 fra1`,
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runVerify(cmd.Context(), g, w, o, args) })
		},
	}
	flags := cmd.Flags()
	o.configFlags.add(flags)
	o.verifyFlags.add(cmd)
	flags.StringVar(&o.metadata, "metadata", verifyMetadata,
		"compare the content of up to `SIZE` of each mirror's metadata files, and only the size of the rest")
	flags.IntVar(&o.connections, "connections", verifyConnections, "make `NUMBER` requests to a host at once")
	flags.IntVar(&o.attempts, "attempts", verifyAttempts,
		"make a request up to `NUMBER` times if it fails in a way that can pass")
	flags.DurationVar(&o.timeout, "timeout", verifyTimeout, "wait up to `DURATION` for a connection or an answer")
	flags.BoolVar(&o.asJSON, "json", false, "print the report as JSON")
	o.reports.addFlag(cmd)
	return cmd
}

func runVerify(ctx context.Context, g *global, w *observer, o verifyOptions, args []string) error {
	options, err := o.upstream()
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
	current, err := o.require(ctx, &options)
	if err != nil {
		return err
	}
	meter := ui.NewMeter(g.ui)
	options.Progress = meter.Set
	reports, err := verifyAll(ctx, upstream.New(options), mirrors)
	meter.Close()
	if err != nil {
		return err
	}
	result := verifyResult(current, reports)
	w.result.verified(result)
	if o.asJSON {
		if err := g.printJSON(result); err != nil {
			return err
		}
	} else {
		g.ui.Lines(append(verifyText(reports, time.Now()), factsText(current)...))
	}
	if slices.ContainsFunc(reports, func(r *upstream.Report) bool { return !r.Accepted }) {
		return errReported
	}
	return nil
}

// verifyResult is what verify --json prints.
func verifyResult(current *facts.Facts, reports []*upstream.Report) *report.Verify {
	r := &report.Verify{FormatVersion: verifyFormat, Mirrors: reports}
	r.Facts.Source, r.Facts.Problem = current.Source, current.Problem
	if !current.Date.IsZero() {
		r.Facts.Date = &current.Date
	}
	return r
}

// factsText shows of which day the requirements are, and why there are no newer ones.
func factsText(current *facts.Facts) []ui.Line {
	lines := []ui.Line{{Text: "What AlmaLinux's service requires is " + current.String() + "."}}
	if current.Problem != "" {
		lines = append(lines, ui.Line{Text: current.Problem + ".", Mark: ui.Caution})
	}
	return lines
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
		return nil, errors.New("interrupted before all mirrors were checked")
	}
	return reports, err
}

// gateVerifier checks mirrors for a gate of a rollout, as verify does with these flags.
func gateVerifier(u *ui.UI, f verifyFlags) func(context.Context, *config.Config, []upstream.Mirror, bool) error {
	return func(ctx context.Context, c *config.Config, mirrors []upstream.Mirror, shown bool) error {
		options, err := f.upstream()
		if err != nil {
			return err
		}
		defer func() { closeDatabases(options) }()
		if err := openConfigured(&options, c, u); err != nil {
			return err
		}
		if _, err := f.require(ctx, &options); err != nil {
			return err
		}
		if !shown { // otherwise the display of the wave is still on the terminal
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
		u.Lines(verifyText(bad, time.Now()))
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
		return nil, errors.New("a URL must not contain a user name or password here")
	case !slices.Contains(schemes, u.Scheme):
		return nil, fmt.Errorf("%q is not a URL that begins with %s", raw, strings.Join(schemes, ":// or ")+"://")
	case u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q is not the URL of a tree: it needs a host name, and no query or fragment", raw)
	}
	return u, nil
}

// mirrorsToVerify are the mirrors that the arguments select, and the configuration if one of them
// is from there.
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
	entries, skipped, c, err := entriesToVerify(w, sources, hosts)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		mirrors = append(mirrors, upstream.Mirror{Host: e.Host, Hub: e.Hub, File: e.File})
	}
	if len(mirrors) == 0 && !skipped {
		return nil, nil, errors.New("no mirror of this configuration has a publish block: give the URL of a mirror")
	}
	return mirrors, c, nil
}

// domain is a name that can be that of a mirror, with a path.
var domain = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]+)?(/\S*)?$`)

// typeURL is what to type for a mirror's name without a scheme, or "".
func typeURL(name string) string {
	if !domain.MatchString(name) {
		return ""
	}
	host, path, _ := strings.Cut(name, "/")
	if path == "" {
		path = "almalinux/"
	}
	return fmt.Sprintf("\nTo check a mirror by the URL of its tree: mirrorform verify https://%s/%s", host, path)
}

// entriesToVerify are the entries of the named hosts, or of all. It connects to no host, so it
// leaves out entries that are made from a host's facts, with a note. A named host without an entry
// is an error. Hosts that have only mirrors of other distributions are skipped, with a note if they
// are named, or if all hosts have only those.
func entriesToVerify(
	w *observer, sources run.Sources, names []string,
) (list []publish.Entry, skipped bool, c *config.Config, err error) {
	if found, _ := filepath.Glob(filepath.Join(sources.Dir, "*.hcl")); len(found) == 0 && len(names) > 0 {
		if hint := typeURL(names[0]); hint != "" {
			return nil, false, nil, fmt.Errorf("%q is not a URL, and this directory has no configuration%s", names[0], hint)
		}
	}
	s, err := run.NewScope(sources, run.Selection{Limit: names}, w)
	var none *run.NoHostError
	if errors.As(err, &none) {
		return nil, false, nil, fmt.Errorf("%q is neither a host of this configuration nor a URL%s", none.Text, typeURL(none.Text))
	}
	if err != nil {
		return nil, false, nil, err
	}
	if list, err = s.Entries(nil); err != nil {
		return nil, false, nil, err
	}
	needed := s.NeedFacts()
	var others []engine.Host
	for _, h := range s.Hosts {
		reason := "has no mirror with a publish block, so its URLs are not known: give them instead of the host"
		facts := slices.Contains(needed, h)
		if facts {
			reason = "has a mirror whose entry needs facts of the host, and verify does not connect to it: " +
				"give the URLs instead of the host"
		}
		switch {
		case h.Last || slices.ContainsFunc(list, func(e publish.Entry) bool { return e.Host == h.Name }):
		case s.OnlyOthers(h) != "":
			others = append(others, h)
		case len(names) > 0:
			return nil, false, nil, fmt.Errorf("host %s %s", h.Name, reason)
		case facts:
			w.Note(fmt.Sprintf("host %s %s", h.Name, reason))
		}
	}
	if skipped = len(others) > 0 && (len(names) > 0 || s.OnlyOthers(s.Hosts...) != ""); skipped {
		w.Note(s.OnlyOthers(others...))
	}
	return list, skipped, s.Config, nil
}

// mirrorsOfURLs makes mirrors from URLs: those with the same host name are one mirror.
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
		switch httpsFirst := u.Scheme == "http" && address.HTTPS != ""; {
		case httpsFirst && address == &mirrors[i].File.Address:
			mirrors[i].HTTPSFirst = true
		case httpsFirst:
			mirrors[i].KittenHTTPSFirst = true
		}
		if *field != "" && *field != raw {
			return nil, fmt.Errorf("%s and %s are of the same mirror and protocol: check them one at a time", *field, raw)
		}
		*field = raw
	}
	for i := range mirrors {
		address := &mirrors[i].File.Address
		if address.HTTP == "" && address.HTTPS == "" {
			return nil, fmt.Errorf("mirror %s also needs the http or https URL of its almalinux tree", mirrors[i].File.Name)
		}
		mirrors[i].Guessed = guess(address)
	}
	return mirrors, nil
}

// guess adds the https URL for an http one, or the other way round, if the given URL has the
// default port. It returns the scheme that it added.
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
