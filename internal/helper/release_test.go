//go:build release

package helper

import (
	"bytes"
	"debug/elf"
	"testing"
)

// TestEmbedded: a release build has a helper for each architecture.
func TestEmbedded(t *testing.T) {
	b, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(b.ID()) != IDLength {
		t.Errorf("ID is %q", b.ID())
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390}
	for _, arch := range Arches() {
		data, _, err := b.Binary(t.Context(), arch) // compares the digest
		if err != nil {
			t.Error(err)
			continue
		}
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Error(err)
			continue
		}
		if f.Machine != machines[arch] {
			t.Errorf("the binary for %s is for %v", arch, f.Machine)
		}
	}
}
