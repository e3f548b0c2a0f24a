package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Saved plans and manifests are JSON documents that contain their own checksum: the SHA-256 of the
// document as compact JSON with an empty checksum.

// digestJSON returns the SHA-256, in hex, of a value as compact JSON. what names the value in
// errors.
func digestJSON(what string, v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", what, err)
	}
	return digestText(text), nil
}

func digestText(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// asRead returns a document as a reader will decode it. The checksum is computed from that form,
// since encoding replaces invalid UTF-8 in strings.
func asRead[T any](what string, v *T) (*T, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	read := new(T)
	if err := json.Unmarshal(text, read); err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	return read, nil
}

// writeDocument encodes a document as JSON for a file, with a final newline.
func writeDocument(what string, v any, indent string) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", indent)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	return append(text, '\n'), nil
}
