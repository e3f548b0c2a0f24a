// Package helper holds the host helper's binaries: the program that the controller pushes to hosts, for each of their
// architectures.
//
// Release builds (build tag "release") carry the binaries inside, compressed. Any other build, such as go run and
// go test, builds them from this module's source when they are first asked for, and keeps them in the user's cache
// directory.
package helper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// IDLength is the number of hex digits of a bundle's ID: 64 bits, enough to tell helpers apart. What guards the
// content is the SHA-256 digest, which is compared in full.
const IDLength = 16

// Arches lists the architectures, by their GOARCH names, that a Bundle has a helper for.
func Arches() []string { return []string{"amd64", "arm64", "ppc64le", "s390x"} }

// source is where a Bundle's binaries come from.
type source interface {
	// digest is the SHA-256 of the binary for arch, in lower-case hex.
	digest(ctx context.Context, arch string) (string, error)
	// binary is the executable itself.
	binary(ctx context.Context, arch string) ([]byte, error)
}

// Bundle is the set of helper binaries of this build. It may be used by several goroutines at once.
type Bundle struct {
	id  string
	src source

	mu       sync.Mutex
	binaries map[string][]byte
}

// Open returns this build's bundle. In a build without the tag "release" it builds the helper when its source has
// changed since the last time; errors then say what is missing.
func Open(ctx context.Context) (*Bundle, error) {
	src, id, err := open(ctx)
	if err != nil {
		return nil, fmt.Errorf("host helper: %w", err)
	}
	return &Bundle{id: id, src: src, binaries: map[string][]byte{}}, nil
}

// ID names the bundle in lower-case hex digits. Two bundles have the same ID only if their helpers are the same.
func (b *Bundle) ID() string { return b.id }

// Digest returns the SHA-256 of the binary for arch, in lower-case hex, without unpacking it.
func (b *Bundle) Digest(ctx context.Context, arch string) (string, error) {
	if err := supported(arch); err != nil {
		return "", err
	}
	digest, err := b.src.digest(ctx, arch)
	if err != nil {
		return "", fmt.Errorf("host helper for %s: %w", arch, err)
	}
	return digest, nil
}

// Binary returns the executable for arch and its SHA-256 in lower-case hex. The data is shared and must not be changed.
func (b *Bundle) Binary(ctx context.Context, arch string) (data []byte, sha256hex string, err error) {
	digest, err := b.Digest(ctx, arch)
	if err != nil {
		return nil, "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if data, ok := b.binaries[arch]; ok {
		return data, digest, nil
	}
	data, err = b.src.binary(ctx, arch)
	if err != nil {
		return nil, "", fmt.Errorf("host helper for %s: %w", arch, err)
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != digest {
		return nil, "", fmt.Errorf("host helper for %s: its digest is %s, the index says %s", arch, got, digest)
	}
	b.binaries[arch] = data
	return data, digest, nil
}

// supported refuses an architecture that there is no helper for.
func supported(arch string) error {
	if !slices.Contains(Arches(), arch) {
		return fmt.Errorf("there is no host helper for the architecture %q (there is one for %s)", arch, strings.Join(Arches(), ", "))
	}
	return nil
}
