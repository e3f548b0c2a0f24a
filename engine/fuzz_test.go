package engine_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// FuzzDecodeSaved reads any bytes as a saved plan, as they are and with a checksum that fits. Nothing panics; what is read is written and read
// again the same; it is the same as itself, and no plan of another reality.
func FuzzDecodeSaved(f *testing.F) {
	const host = `{"name":"$(touch /pwn-1)","machine":"x","unchanged":-1,"resources":[{"address":"a\u001b]52;c;Zm9v\u0007","wanted":"","found":""}],` +
		`"changes":[{"address":"x; } server {","type":"!!python/object","action":"\r","before":null,"after":[{"name":"=","value":{"<<":[1e999,18446744073709551615,"\ud800"]}},` +
		`{"name":"s","sensitive":true,"differs":true,"value":"canary"}],"steps":[{"summary":"\u202e","final":"\u0000"}]}],"warnings":[{"address":"-oProxyCommand=x","summary":"\n\nApply complete!"}]}`
	for _, text := range []string{
		``, `null`, `{}`, `[]`, `{"kind":"mirrorform saved plan"}`, `{"kind":"mirrorform saved plan","format_version":1}`, `{"kind":"mirrorform saved plan","format_version":2,"mirrorform_version":"\u001b[2J"}`,
		`{"kind":"mirrorform saved plan","format_version":1,"time":"x"}`, `{"kind":1}`, `{"kind":"mirrorform saved plan","format_version":1,"time":"2026-01-01T00:00:00Z","salt":"x","hosts":[` + host + `]}`,
		`{"kind":"mirrorform saved plan","format_version":1,"KIND":"x","hosts":[null,{}],"limit":["$(x)"],"target":["../.."]}`, strings.Repeat("[", 20000),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := engine.DecodeSaved(text); err == nil {
			checkSaved(t, s)
		}
		// The checksum tells damage and is no signature: with it right, everything else may be as somebody likes.
		s := new(engine.SavedPlan)
		if json.Unmarshal(text, s) != nil || s.Format != engine.SavedFormat {
			return
		}
		s.Checksum = ""
		open, err := json.Marshal(s)
		if err != nil {
			return // a time that JSON cannot hold
		}
		sum := sha256.Sum256(open)
		s.Checksum = hex.EncodeToString(sum[:])
		whole, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		read, err := engine.DecodeSaved(whole)
		if s.Kind != "mirrorform saved plan" {
			if err == nil {
				t.Errorf("%q is taken for a saved plan", s.Kind)
			}
			return
		}
		if err != nil {
			t.Fatalf("%v in %s", err, whole)
		}
		checkSaved(t, read)
		broken := bytes.Replace(whole, []byte(`"checksum":"`+s.Checksum[:8]), []byte(`"checksum":"00000000`), 1)
		if _, err := engine.DecodeSaved(broken); err == nil && s.Checksum[:8] != "00000000" {
			t.Errorf("a wrong checksum is taken: %s", broken)
		}
	})
}

func checkSaved(t *testing.T, s *engine.SavedPlan) {
	t.Helper()
	text, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := engine.DecodeSaved(text)
	if err != nil {
		t.Fatalf("%v in what was written: %s", err, text)
	}
	second, err := again.Encode()
	if err != nil || !bytes.Equal(text, second) {
		t.Fatalf("%v: %s\n%s", err, text, second)
	}
	if again.Checksum != s.Checksum || !reflect.DeepEqual(again.Limit, s.Limit) || len(again.Hosts) != len(s.Hosts) {
		t.Errorf("%+v was read again as %+v", s, again)
	}
	names := map[string]bool{}
	for _, h := range s.Hosts {
		names[h.Name] = true
	}
	if d := s.Differences(again); len(d) > 0 && len(names) == len(s.Hosts) { // a host that is there twice never fits
		t.Errorf("it differs from itself: %v", d)
	}
	plan, err := s.Plan()
	if err != nil {
		return
	}
	for i, h := range plan.Hosts {
		for _, c := range h.Changes {
			for _, step := range c.Steps {
				if !reflect.ValueOf(step.Do).IsZero() || step.Undo != nil {
					t.Errorf("%s: the plan has something to perform: %+v", s.Hosts[i].Name, step)
				}
			}
			for _, a := range append(c.Before, c.After...) {
				if a.Sensitive && a.Value != "before" && a.Value != "after" && a.Value != "" {
					t.Errorf("a sensitive value is read: %+v", a)
				}
			}
		}
	}
}
