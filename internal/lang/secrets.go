package lang

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Secrets collects the secret values of a configuration while it is evaluated. Output from other
// programs is searched for them before it is shown. It is safe for concurrent use.
type Secrets struct {
	mu     sync.Mutex
	values texts // values of sensitive variables and of sensitive(…), and passwords
	made   texts // values of sensitive arguments: secrets, possibly with other text around them
	done   int   // how many elements of made have their words in values
}

// texts is a list without duplicates.
type texts struct {
	list []string
	seen map[string]bool
}

func (t *texts) add(text string) {
	if text == "" || t.seen[text] {
		return
	}
	if t.seen == nil {
		t.seen = map[string]bool{}
	}
	t.seen[text] = true
	t.list = append(t.list, text)
}

// Add adds all strings and numbers in a secret value.
func (s *Secrets) Add(v cty.Value) { s.collect(v, &s.values) }

// addMade adds all strings and numbers in a sensitive argument.
func (s *Secrets) addMade(v cty.Value) { s.collect(v, &s.made) }

func (s *Secrets) collect(v cty.Value, into *texts) {
	v, _ = v.UnmarkDeep()
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if v.IsNull() || !v.IsKnown() {
			return false, nil
		}
		switch v.Type() {
		case cty.String:
			into.add(v.AsString())
		case cty.Number:
			into.add(v.AsBigFloat().Text('f', -1))
		}
		return true, nil
	})
}

// Known returns the secret values that are known so far. Later calls never return fewer. A
// sensitive argument contributes only the words that are in none of the sources: the others are not
// secret.
func (s *Secrets) Known(sources *Sources) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := sources.All()
	for ; s.done < len(s.made.list); s.done++ {
		for _, word := range strings.FieldsFunc(s.made.list[s.done], notInWord) {
			if !written(files, word) {
				s.values.add(word)
			}
		}
	}
	return slices.Clip(s.values.list)
}

// notInWord reports whether a character separates words: white space and quotes do.
func notInWord(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune(`"'`+"`", r)
}

// written reports whether a source contains a text.
func written(sources map[string]*hcl.File, text string) bool {
	for _, f := range sources {
		if bytes.Contains(f.Bytes, []byte(text)) {
			return true
		}
	}
	return false
}
