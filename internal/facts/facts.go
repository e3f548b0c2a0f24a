// Package facts has what AlmaLinux's mirror service requires at present: its config.yml. Releases
// and the allowed age of a tree change several times a year, so the file is fetched, kept in the
// user's cache, and its date is shown. The built-in copy is for where it cannot be fetched.
package facts

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/mirrorform/mirrorform/internal/upstream"
)

// URL is where AlmaLinux keeps the config.yml of its service.
const URL = "https://raw.githubusercontent.com/AlmaLinux/mirrors/master/config.yml"

const (
	fresh   = 6 * time.Hour               // a copy of this age is not fetched again
	timeout = 5 * time.Second             // of fetching; the built-in copy is there
	old     = 183 * 24 * time.Hour        // releases come twice a year
	maxKept = 4 * upstream.MaxServiceSize // bytes of a kept copy, in which JSON escapes the file
)

// The sources of facts.
const (
	Fetched = "fetched"  // now
	Cached  = "cached"   // earlier, and kept in the user's cache
	BuiltIn = "built-in" // in this version
	Given   = "given"    // by --service-config
)

// Facts are the service's requirements.
type Facts struct {
	Service *upstream.Service
	Source  string    // one of the constants
	Date    time.Time // when they were AlmaLinux's own; zero if given
	// Problem is why newer facts could not be fetched; "" if nothing failed.
	Problem string
}

// Stale reports whether AlmaLinux may have newer facts.
func (f *Facts) Stale(now time.Time) bool {
	return f.Source == BuiltIn || f.Source == Cached && now.Sub(f.Date) > fresh
}

// Old reports whether the built-in facts are so old that a release has come since.
func Old(now time.Time) bool { return now.Sub(upstream.BuiltInDate) > old }

// Loader gets facts.
type Loader struct {
	URL       string // default: URL
	Dir       string // of the cache; "": nothing is kept
	Offline   bool   // nothing is fetched
	UserAgent string
	Roots     *x509.CertPool   // nil: the system's
	Now       func() time.Time // default: time.Now
	Timeout   time.Duration    // default: 5 s
}

// CacheDir is the directory in the user's cache, or "" without such a cache.
func CacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "mirrorform")
}

// Load returns the newest facts that it can get. It does not fail: what cannot be fetched or read
// is Problem, and the built-in facts are always there.
func (l Loader) Load(ctx context.Context) *Facts {
	now := time.Now
	if l.Now != nil {
		now = l.Now
	}
	best := &Facts{Service: upstream.BuiltIn(), Source: BuiltIn, Date: upstream.BuiltInDate}
	kept, err := l.read(now())
	if err != nil {
		best.Problem = err.Error()
	} else if kept != nil && kept.Date.After(best.Date) {
		best = kept
	}
	if l.Offline || best.Source == Cached && now().Sub(best.Date) <= fresh {
		return best
	}
	data, service, err := l.fetch(ctx)
	if err != nil {
		best.Problem = err.Error()
		return best
	}
	got := &Facts{Service: service, Source: Fetched, Date: now().UTC().Truncate(time.Second)}
	if err := l.write(got.Date, data); err != nil {
		got.Problem = err.Error()
	}
	return got
}

// fetch gets and checks the file.
func (l Loader) fetch(ctx context.Context) ([]byte, *upstream.Service, error) {
	url, wait := l.URL, l.Timeout
	if url == "" {
		url = URL
	}
	if wait == 0 {
		wait = timeout
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	data, err := Get(ctx, url, l.UserAgent, l.Roots)
	if err != nil {
		return nil, nil, fmt.Errorf("AlmaLinux's config.yml cannot be fetched: %w", err)
	}
	service, err := upstream.ParseService(data)
	if err != nil {
		return nil, nil, fmt.Errorf("AlmaLinux's config.yml at %s is not understood: %w", url, err)
	}
	return data, service, nil
}

// Get gets a config.yml, of at most one byte more than it may have.
func Get(ctx context.Context, url, userAgent string, roots *x509.CertPool) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	defer transport.CloseIdleConnections()
	answer, err := upstream.Client(transport).Do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s answers %d %s", url, answer.StatusCode, http.StatusText(answer.StatusCode))
		return nil, errors.Join(err, answer.Body.Close())
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, upstream.MaxServiceSize+1))
	return data, errors.Join(err, answer.Body.Close())
}

// copied is a kept copy of the file.
type copied struct {
	Fetched time.Time `json:"fetched"`
	URL     string    `json:"url"`
	Config  string    `json:"config"`
}

// name is the name of the kept copy.
func (l Loader) name() string { return filepath.Join(l.Dir, "service-config.json") }

func (l Loader) source() string {
	if l.URL != "" {
		return l.URL
	}
	return URL
}

// read returns the kept facts, nil without a copy. A copy of another URL, or from the future, does
// not count.
func (l Loader) read(now time.Time) (*Facts, error) {
	if l.Dir == "" {
		return nil, nil
	}
	file, err := os.Open(l.name())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKept+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	var kept copied
	if err := json.Unmarshal(data, &kept); err != nil {
		return nil, fmt.Errorf("%s is not a kept config.yml: %w", l.name(), err)
	}
	if kept.URL != l.source() || kept.Fetched.After(now) {
		return nil, nil
	}
	service, err := upstream.ParseService([]byte(kept.Config))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.name(), err)
	}
	return &Facts{Service: service, Source: Cached, Date: kept.Fetched}, nil
}

// write keeps a copy, replacing an earlier one at once.
func (l Loader) write(date time.Time, data []byte) error {
	if l.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(copied{date, l.source(), string(bytes.ToValidUTF8(data, nil))})
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(l.Dir, "service-config-*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), l.name())
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// String returns the date and the source.
func (f *Facts) String() string {
	switch f.Source {
	case Given:
		return "of --service-config"
	case BuiltIn:
		return "of " + f.Date.Format(time.DateOnly) + ", built in"
	}
	return "of " + f.Date.UTC().Format("2006-01-02 15:04 MST")
}
