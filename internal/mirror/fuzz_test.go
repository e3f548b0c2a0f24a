package mirror_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/resources"
)

// FuzzExpand puts any text into any attribute of a mirror block, or into the host's address. That is an error, or every part is right, and a
// shell reads every command as the words that were meant.
func FuzzExpand(f *testing.F) {
	paths := stringPaths(reflect.TypeFor[mirror.Spec](), "")
	for i := range paths {
		f.Add(uint8(i), hostile[i%len(hostile)], "203.0.113.10")
		f.Add(uint8(i), hostile[(i+17)%len(hostile)], "mirror.example.org")
	}
	for _, address := range hostile {
		f.Add(uint8(0), "classic", address)
	}
	f.Fuzz(func(t *testing.T, which uint8, value, address string) {
		host := readHost(t, []byte(`{"name": "fra1"}`))
		host.Address = address
		spec := readSpec(t, everything)
		path := paths[int(which)%len(paths)]
		setString(t, reflect.ValueOf(spec).Elem(), path, value)
		before, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		parts, problems := mirror.Expand(resources.All(), "almalinux", spec, host)
		if after := dump(t, spec); after != string(before) {
			t.Errorf("Expand changed the block from %s to %s", before, after)
		}
		for _, p := range problems {
			if strings.ContainsAny(p.Summary, "\n\r\x00\x1b") {
				t.Errorf("%s = %q, address %q: unusable message %q", path, value, address, p.Summary)
			}
		}
		checkParts(t, parts, problems, host, "two resources manage") // which the configuration refuses
		if parts == nil {
			return
		}
		for _, p := range parts {
			if s, ok := p.State.(*resources.File); ok && p.Local && filepath.Dir(s.Path) != filepath.Clean(publishDirectory(spec, host)) {
				t.Errorf("%s = %q, address %q: the entry is written to %q", path, value, address, s.Path)
			}
		}
		shell := &shellText{seen: map[string]bool{}}
		shell.add(t, parts)
		if len(shell.lines) == 0 {
			t.Fatalf("a mirror without commands: %v", parts)
		}
		shell.check(t)
	})
}

// publishDirectory is where the mirror's entry belongs.
func publishDirectory(spec *mirror.Spec, host engine.Site) string {
	if filepath.IsAbs(spec.Publish.Directory) {
		return spec.Publish.Directory
	}
	if spec.Publish.Directory == "" {
		return filepath.Join(host.Dir, "mirrors.d")
	}
	return filepath.Join(host.Dir, spec.Publish.Directory)
}
