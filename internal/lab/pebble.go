package lab

import (
	"context"
	"fmt"
	"path/filepath"
)

// The programs of the Debian package pebble, which Debian has since 12.
const (
	acmeServer = "pebble"              // an ACME server for tests, by Let's Encrypt
	acmeNames  = "pebble-challtestsrv" // its DNS server
)

// pebble returns the paths of acmeServer and acmeNames. If the machine does not have them, they are
// those of the machine's release, unpacked into the cache and not installed.
func (c *cache) pebble(ctx context.Context, codename string) (server, names string, err error) {
	server, hasServer := lookPath(acmeServer)
	names, hasNames := lookPath(acmeNames)
	if hasServer && hasNames {
		return server, names, nil
	}
	dir, err := c.ensure(ctx, "pebble-"+codename, func(dir string) error { return unpackPebble(ctx, dir) })
	bin := filepath.Join(dir, "usr/bin")
	return filepath.Join(bin, acmeServer), filepath.Join(bin, acmeNames), err
}

func unpackPebble(ctx context.Context, dir string) error {
	download := func() error {
		cmd := command(ctx, "apt-get", "-o", "APT::Sandbox::User=root", "download", acmeServer)
		cmd.Dir = dir
		_, err := runCmd(cmd)
		return err
	}
	if err := download(); err != nil {
		// The package lists of a fresh machine are empty or stale.
		if _, err := run(ctx, "apt-get", "update"); err != nil {
			return fmt.Errorf("%w: downloading the package %s: %w", ErrUnavailable, acmeServer, err)
		}
		if err := download(); err != nil {
			return fmt.Errorf("%w: downloading the package %s, which Debian has since release 12: %w", ErrUnavailable, acmeServer, err)
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if _, err := run(ctx, "dpkg-deb", "--extract", deb, dir); err != nil {
			return err
		}
	}
	return nil
}
