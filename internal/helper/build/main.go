// Command build compiles the host helper for every architecture and packs the binaries for a
// release build: internal/helper/bin/helper-ARCH.gz and index.json. The same source and Go version
// produce the same bytes.
//
// It prints the sizes. It fails if a binary is larger than a push over a slow link should be.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/mirrorform/mirrorform/internal/helper"
	"github.com/mirrorform/mirrorform/internal/helper/builder"
)

// The limits of a binary, in bytes. It contains the helper and the program that runs syncs.
const (
	maxSize   = 3_500_000
	maxPacked = 1_500_000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := build(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// build writes all files to a new directory, and then replaces the old one with it.
func build(ctx context.Context) (err error) {
	root, err := builder.Root(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "internal", "helper", "bin")
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".bin-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()

	digests := map[string]string{}
	all := sha256.New()
	for _, arch := range helper.Arches() {
		digest, err := pack(ctx, root, arch, temp)
		if err != nil {
			return err
		}
		digests[arch] = digest
		_, _ = fmt.Fprintln(all, arch, digest)
	}
	index, err := json.MarshalIndent(map[string]any{
		"id":     hex.EncodeToString(all.Sum(nil))[:helper.IDLength],
		"sha256": digests,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temp, "index.json"), append(index, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// pack builds the helper for arch, writes it compressed to dir, and returns the digest of the
// binary.
func pack(ctx context.Context, root, arch, dir string) (string, error) {
	raw := filepath.Join(dir, "helper")
	if err := builder.Build(ctx, root, arch, raw); err != nil {
		return "", err
	}
	data, err := os.ReadFile(raw)
	if err != nil {
		return "", err
	}
	if err := os.Remove(raw); err != nil {
		return "", err
	}
	var packed bytes.Buffer
	// No name and no time in the header, so that builds are reproducible.
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(data); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	fmt.Printf("helper %-8s %9d bytes, %9d compressed\n", arch, len(data), packed.Len())
	if len(data) > maxSize || packed.Len() > maxPacked {
		return "", fmt.Errorf("the helper for %s is too large: the limits are %d bytes, and %d bytes compressed",
			arch, maxSize, maxPacked)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), os.WriteFile(filepath.Join(dir, "helper-"+arch+".gz"), packed.Bytes(), 0o644)
}
