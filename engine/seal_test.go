package engine

import (
	"encoding/hex"
	"testing"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	type inner struct {
		Name string
		Seen int `fingerprint:"-"`
	}
	type state struct {
		List   []string
		Map    map[string]string
		Set    *bool
		Number float64
		hidden inner
	}
	yes, no := true, false
	seen := map[string]int{}
	for i, v := range []any{
		nil, &state{}, &state{List: []string{}}, &state{List: []string{"a", "b"}}, &state{List: []string{"ab"}}, &state{List: []string{"b", "a"}},
		&state{Map: map[string]string{"a": "b"}}, &state{Map: map[string]string{"b": "a"}}, &state{Set: &yes}, &state{Set: &no},
		&state{Number: 0.5}, &state{hidden: inner{Name: "a"}}, &state{hidden: inner{Name: "b"}}, inner{}, "", "a", 0, uint(0), false,
	} {
		text := hex.EncodeToString(canonical(v))
		if other, taken := seen[text]; taken {
			t.Errorf("values %d and %d have one encoding", other, i)
		}
		seen[text] = i
	}
	many := func(seen int) string {
		m := map[string]string{}
		for _, k := range []string{"e", "d", "c", "b", "a", ""} {
			m[k] = "x" + k
		}
		return string(canonical(&state{Map: m, hidden: inner{"a", seen}}))
	}
	for i := range 20 {
		if many(0) != many(i) {
			t.Fatalf("equal values are encoded as %x and %x", many(0), many(i))
		}
	}
}

func TestSecretsAreStretched(t *testing.T) {
	t.Parallel()
	s := newSealer("salt")
	open := s.seal("a", false, "value")
	if len(s.keys) != 0 {
		t.Error("what is not secret was stretched")
	}
	secret := s.seal("a", true, "value")
	again, elsewhere := s.seal("a", true, "value"), s.seal("b", true, "value")
	if len(s.keys) != 1 {
		t.Errorf("one secret was stretched %d times", len(s.keys))
	}
	if secret == open || secret != again || secret == elsewhere || secret == newSealer("other").seal("a", true, "value") {
		t.Errorf("digests: open %s, secret %s, again %s, elsewhere %s", open, secret, again, elsewhere)
	}
}
