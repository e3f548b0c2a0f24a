package lang

import (
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/hcl/v2"
)

// Sources holds the texts that diagnostics refer to, by the file name in their ranges. It is safe
// for concurrent use.
type Sources struct {
	mu     sync.Mutex
	byName map[string]*hcl.File
}

// All returns the texts by name.
func (s *Sources) All() map[string]*hcl.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.byName)
}

func (s *Sources) file(name string) *hcl.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[name]
}

// Set adds a text, or replaces the text of that name.
func (s *Sources) Set(name string, src []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName == nil {
		s.byName = map[string]*hcl.File{}
	}
	s.byName[name] = &hcl.File{Bytes: src, Body: hcl.EmptyBody()}
}

// blank replaces a range of a file with asterisks, so that no snippet shows a secret. Line ends
// stay.
func (s *Sources) blank(r hcl.Range) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byName[r.Filename]
	if f == nil || !r.CanSliceBytes(f.Bytes) {
		return
	}
	src := slices.Clone(f.Bytes)
	for i := r.Start.Byte; i < r.End.Byte; i++ {
		if src[i] != '\n' && src[i] != '\r' {
			src[i] = '*'
		}
	}
	s.byName[r.Filename] = &hcl.File{Bytes: src, Body: f.Body}
}
