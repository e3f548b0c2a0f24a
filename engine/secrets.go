package engine

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// SensitiveValue replaces every secret value in output.
const SensitiveValue = "(sensitive value)"

const (
	// shortest is the minimum length, in bytes, of a value that is hidden. Shorter values occur
	// everywhere and protect nothing.
	shortest = 3
	// partLength is how many consecutive letters and digits of a secret are hidden wherever they
	// occur.
	partLength = 8
)

// Secrets hides secret values in text from hosts and programs. It hides a value also with other
// white space, punctuation, quotes and case; as written by JSON, URLs and HTML; in hexadecimal and
// base64; and every part with at least partLength letters and digits. A program may transform a
// secret in other ways, for example into a digest, so output about a secret is not shown at all,
// see Change.secrets.
//
// A nil *Secrets hides nothing. Secrets is safe for concurrent use.
type Secrets struct {
	// Values returns the secrets that are known so far.
	Values func() []string

	mu    sync.Mutex
	known int
	words []string // unchanged
	forms []string // squeezed
}

// Hide replaces secrets in a text by SensitiveValue.
func (s *Secrets) Hide(text string) string {
	if s == nil || text == "" {
		return text
	}
	words, forms := s.prepare()
	if len(words) == 0 {
		return text
	}
	m := &mask{text: text, hidden: make([]bool, len(text))}
	for _, w := range words {
		m.word(w)
	}
	m.parts(forms)
	m.wholeRuns()
	return m.String()
}

// HideError returns an error whose text contains no secret.
func (s *Secrets) HideError(err error) error {
	text := err.Error()
	if hidden := s.Hide(text); hidden != text {
		return hiddenError{err, hidden}
	}
	return err
}

type hiddenError struct {
	error
	text string
}

func (e hiddenError) Error() string { return e.text }
func (e hiddenError) Unwrap() error { return e.error }

// hideIn hides secrets in the error texts of a message, and nowhere else: the rest is compared, not
// shown.
func (s *Secrets) hideIn(m *wire.Message) {
	var texts []*string
	if e := m.Event; e != nil {
		texts = append(texts, &e.Error, &e.Said, &e.Output)
	}
	if d := m.Done; d != nil {
		texts = append(texts, &d.Error)
	}
	if b := m.Begun; b != nil && b.Recovered != nil {
		for _, list := range [][]string{b.Recovered.Errors, b.Recovered.Stays} {
			for i := range list {
				texts = append(texts, &list[i])
			}
		}
	}
	if a := m.Answers; a != nil {
		for i := range a.Answers {
			texts = append(texts, &a.Answers[i].Error)
		}
	}
	for _, t := range texts {
		*t = s.Hide(*t)
	}
}

// prepare returns the values to look for. More secrets become known while a configuration is
// evaluated.
func (s *Secrets) prepare() (words, forms []string) {
	values := s.Values()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(values) == s.known {
		return s.words, s.forms
	}
	s.known, s.words, s.forms = len(values), nil, nil
	for _, v := range values {
		s.add(v)
	}
	return s.words, s.forms
}

// add adds a value: the value itself, its words (relevant for short values), and its forms.
func (s *Secrets) add(value string) {
	trimmed := strings.TrimSpace(value)
	if len(trimmed) < shortest {
		return
	}
	s.words = append(s.words, trimmed)
	for _, word := range strings.FieldsFunc(trimmed, func(r rune) bool { return !letterOrDigit(r) }) {
		if len(word) >= shortest+1 {
			s.words = append(s.words, word)
		}
	}
	for _, form := range spellings(value) {
		if squeezed, _ := squeeze(form); len(squeezed) >= partLength {
			s.forms = append(s.forms, squeezed)
		}
	}
}

// spellings returns a value as programs may write it.
func spellings(value string) []string {
	quoted, _ := json.Marshal(value) // a string always encodes
	forms := []string{
		value, string(quoted), strconv.Quote(value), strconv.QuoteToASCII(value), html.EscapeString(value),
		url.QueryEscape(value), url.PathEscape(value), hex.EncodeToString([]byte(value)),
	}
	for shift := range 3 { // base64 depends on the offset of the value in the encoded data
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), value...))
		text = strings.TrimRight(text, "=")
		forms = append(forms, text[[]int{0, 2, 3}[shift]:len(text)-1]) // the first and last characters depend on neighbouring data
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

func letterOrDigit(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// squeeze reduces a text to its letters and digits, in lower case. at maps each byte to its index
// in the text.
func squeeze(text string) (squeezed string, at []int) {
	var b strings.Builder
	for i, r := range text {
		if !letterOrDigit(r) {
			continue
		}
		n, _ := b.WriteRune(unicode.ToLower(r))
		for range n {
			at = append(at, i)
		}
	}
	return b.String(), at
}

// mask is a text with a flag for each hidden byte.
type mask struct {
	text   string
	hidden []bool // by byte
}

func (m *mask) hide(from, to int) {
	for i := from; i < to; i++ {
		m.hidden[i] = true
	}
}

// word hides a text where it is a word of its own. Long texts are hidden everywhere.
func (m *mask) word(word string) {
	for from := 0; ; {
		i := strings.Index(m.text[from:], word)
		if i < 0 {
			return
		}
		begin, end := from+i, from+i+len(word)
		before, _ := utf8.DecodeLastRuneInString(m.text[:begin])
		after, _ := utf8.DecodeRuneInString(m.text[end:])
		if len(word) >= partLength || !letterOrDigit(before) && !letterOrDigit(after) {
			m.hide(begin, end)
		}
		from = begin + 1
	}
}

// parts hides every part of squeezed texts that has partLength bytes.
func (m *mask) parts(forms []string) {
	squeezed, at := squeeze(m.text)
	where := map[string][]int{}
	for i := 0; i+partLength <= len(squeezed); i++ {
		part := squeezed[i : i+partLength]
		where[part] = append(where[part], i)
	}
	for _, form := range forms {
		for i := 0; i+partLength <= len(form); i++ {
			part := form[i : i+partLength]
			for _, begin := range where[part] {
				last := at[begin+partLength-1]
				_, size := utf8.DecodeRuneInString(m.text[last:])
				m.hide(at[begin], last+size)
			}
			delete(where, part)
		}
	}
}

// wholeRuns extends hidden parts to the whole run of letters and digits: the rest may belong to the
// secret too, such as the last letter of base64.
func (m *mask) wholeRuns() {
	begin, some := -1, false
	end := func(at int) {
		if some {
			m.hide(begin, at)
		}
		begin, some = -1, false
	}
	for i, r := range m.text {
		if !letterOrDigit(r) {
			end(i)
			continue
		}
		if begin < 0 {
			begin = i
		}
		some = some || m.hidden[i]
	}
	end(len(m.text))
}

// String returns the text with SensitiveValue for hidden parts.
func (m *mask) String() string {
	var b strings.Builder
	for i := 0; i < len(m.text); i++ {
		switch {
		case !m.hidden[i]:
			b.WriteByte(m.text[i])
		case i == 0 || !m.hidden[i-1]:
			b.WriteString(SensitiveValue)
		}
	}
	return b.String()
}
