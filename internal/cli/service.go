package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/facts"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"github.com/spf13/pflag"
)

// offlineVar is the environment variable that means --offline.
const offlineVar = "MIRRORFORM_OFFLINE"

// serviceFlags say from where to read what AlmaLinux's service requires.
type serviceFlags struct {
	config  string
	offline bool
}

func (f *serviceFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.config, "service-config", "",
		"read what AlmaLinux's service requires, its config.yml, from `FILE|URL` instead of fetching the current one")
	flags.BoolVar(&f.offline, "offline", false,
		"do not fetch AlmaLinux's config.yml: use the copy of the last run, or the built-in one (also $"+offlineVar+")")
}

// facts are what the service requires: of --service-config, or fetched, or the built-in ones.
func (f serviceFlags) facts(ctx context.Context, roots *x509.CertPool, timeout time.Duration) (*facts.Facts, error) {
	if f.config != "" {
		service, err := loadServiceConfig(ctx, f.config, roots, timeout)
		if err != nil {
			return nil, err
		}
		return &facts.Facts{Service: service, Source: facts.Given}, nil
	}
	l := facts.Loader{
		Dir: facts.CacheDir(), Offline: f.offline || os.Getenv(offlineVar) != "", UserAgent: "mirrorform/" + Version(), Roots: roots,
	}
	return l.Load(ctx), nil
}

// oldFacts says that the built-in facts, which a plan uses, are old; or it is "".
func oldFacts(today time.Time) string {
	if !facts.Old(today) {
		return ""
	}
	return fmt.Sprintf("What this version knows of AlmaLinux's releases and rules is of %s, more than half a year ago: "+
		"install a newer mirrorform. verify, lint and publish fetch what is required today.", upstream.BuiltInDate.Format(time.DateOnly))
}

// loadServiceConfig reads a config.yml from a file, or by HTTP.
func loadServiceConfig(
	ctx context.Context, name string, roots *x509.CertPool, timeout time.Duration,
) (*upstream.Service, error) {
	data, err := readServiceConfig(ctx, name, roots, timeout)
	if err != nil {
		return nil, fmt.Errorf("--service-config: %w", err)
	}
	service, err := upstream.ParseService(data)
	if err != nil {
		return nil, fmt.Errorf("--service-config: %s: %w", name, err)
	}
	return service, nil
}

func readServiceConfig(ctx context.Context, name string, roots *x509.CertPool, timeout time.Duration) ([]byte, error) {
	if strings.Contains(name, "://") {
		if _, err := treeURL(name, "http", "https"); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return facts.Get(ctx, name, "mirrorform/"+Version(), roots)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, upstream.MaxServiceSize+1))
	return data, errors.Join(err, file.Close())
}
