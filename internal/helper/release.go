//go:build release

package helper

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
)

//go:generate go run ./build

//go:embed bin
var bin embed.FS

// embedded is the source of a release build.
type embedded struct{ index index }

// index is bin/index.json, which the command in the directory build writes.
type index struct {
	ID     string            `json:"id"`
	SHA256 map[string]string `json:"sha256"` // by architecture
}

func open(context.Context) (source, string, error) {
	data, err := bin.ReadFile("bin/index.json")
	if err != nil {
		return nil, "", fmt.Errorf("this build is incomplete: %w; to complete it: go run ./internal/helper/build, "+
			"and build mirrorform again", err)
	}
	var e embedded
	if err := json.Unmarshal(data, &e.index); err != nil {
		return nil, "", fmt.Errorf("this build is damaged: index.json: %w", err)
	}
	return e, e.index.ID, nil
}

func (e embedded) digest(_ context.Context, arch string) (string, error) {
	digest, ok := e.index.SHA256[arch]
	if !ok {
		return "", fmt.Errorf("it is missing in this build: install a complete release")
	}
	return digest, nil
}

func (e embedded) binary(_ context.Context, arch string) ([]byte, error) {
	packed, err := bin.ReadFile("bin/helper-" + arch + ".gz")
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
