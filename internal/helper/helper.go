// Package helper provides the host helper's binaries: the program that the controller pushes to
// hosts, for each of their architectures.
//
// Release builds (build tag "release") embed the binaries, compressed. Any other build, such as go
// run and go test, builds them from this module's source when they are first needed, and keeps them
// in the user's cache directory.
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

// IDLength is the number of hex digits of a bundle's ID. 64 bits are enough to distinguish helpers.
// The content is verified with the full SHA-256 digest.
const IDLength = 16

// Arches lists the architectures that a Bundle has a helper for, by their GOARCH names.
func Arches() []string { return []string{"amd64", "arm64", "ppc64le", "s390x"} }

// source is where a Bundle gets its binaries from.
type source interface {
	// digest returns the SHA-256 of the binary for arch, in lower-case hex.
	digest(ctx context.Context, arch string) (string, error)
	// binary returns the executable.
	binary(ctx context.Context, arch string) ([]byte, error)
}

// Bundle is the set of helper binaries of this build. It is safe for concurrent use.
type Bundle struct {
	id  string
	src source

	mu       sync.Mutex
	binaries map[string][]byte
}

// Open returns this build's bundle. Without the build tag "release" it builds the helper if its
// source has changed since the last build; an error then reports what is missing for that.
func Open(ctx context.Context) (*Bundle, error) {
	src, id, err := open(ctx)
	if err != nil {
		return nil, fmt.Errorf("host helper: %w", err)
	}
	return &Bundle{id: id, src: src, binaries: map[string][]byte{}}, nil
}

// ID returns the bundle's ID in lower-case hex. Two bundles with the same ID have the same helpers.
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

// Binary returns the executable for arch and its SHA-256 in lower-case hex. The data is shared and
// must not be changed.
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
		return nil, "", fmt.Errorf("host helper for %s: its digest is %s, but %s was expected: "+
			"build or install mirrorform again", arch, got, digest)
	}
	b.binaries[arch] = data
	return data, digest, nil
}

// supported refuses an architecture without a helper.
func supported(arch string) error {
	if !slices.Contains(Arches(), arch) {
		return fmt.Errorf("no host helper for architecture %q: the supported architectures are %s",
			arch, strings.Join(Arches(), ", "))
	}
	return nil
}
