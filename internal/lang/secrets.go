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

// Secrets collects the secret values of a configuration as they are evaluated, for texts from
// elsewhere that may hold one. It may be used by many goroutines at once.
type Secrets struct {
	mu     sync.Mutex
	values texts // of sensitive variables and of sensitive(…), and passwords
	made   texts // sensitive arguments, made with values and perhaps with other text
	done   int   // how many of made are in values, by their words
}

// texts is a list without repetitions.
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

// Add takes in all text of a secret value.
func (s *Secrets) Add(v cty.Value) { s.collect(v, &s.values) }

// addMade takes in all text of a sensitive argument.
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

// Known returns the secret values that are known so far; there are never fewer later. Of arguments
// that are made with a secret, it has the words that are written in none of the sources.
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

// notInWord parts the words of an argument: at white space and at quotes.
func notInWord(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune(`"'`+"`", r)
}

// written reports whether a source has a text.
func written(sources map[string]*hcl.File, text string) bool {
	for _, f := range sources {
		if bytes.Contains(f.Bytes, []byte(text)) {
			return true
		}
	}
	return false
}
