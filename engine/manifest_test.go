package engine_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// fullManifest has every field set.
func fullManifest() *engine.Manifest {
	return &engine.Manifest{
		Version: "1.2.3", Machine: machineID,
		Resources: []engine.Managed{
			{
				Address: `mirror.almalinux.cron["a/b"]`, Configuration: "ours", Type: "thing", Source: "fleet.hcl:12", DependsOn: []string{"thing./a", "thing./b"},
				State:   map[string]json.RawMessage{"name": json.RawMessage(`"/etc/<x>"`), "needs": json.RawMessage(`["/a","/b"]`), "n": json.RawMessage(`10`)},
				Digests: map[string]string{"value": strings.Repeat("0a", 32)}, Secrets: map[string]string{"token": "argon2id:00:11"}, Keep: "it was said", PreventDestroy: true,
			},
			{Address: "thing./b", Configuration: "theirs", Type: "thing", State: map[string]json.RawMessage{}},
		},
	}
}

func encodeManifest(t *testing.T, m *engine.Manifest) []byte {
	t.Helper()
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// says is what a manifest says: two with the same text are equal.
func says(t *testing.T, m *engine.Manifest) string {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestManifestRoundTrip(t *testing.T) {
	t.Parallel()
	full := fullManifest()
	full.Resources[1].Source = "not UTF-8: \xff"
	text := encodeManifest(t, full)
	got, err := engine.DecodeManifest(text, machineID)
	if err != nil {
		t.Fatal(err)
	}
	full.Resources[1].Source = "not UTF-8: \ufffd"
	want, _ := json.Marshal(full.Resources)
	if read, _ := json.Marshal(got.Resources); !bytes.Equal(read, want) || got.Version != "1.2.3" || got.Machine != machineID || got.Apply == "" {
		t.Errorf("got  %s\nwant %s", read, want)
	}
	again, err := engine.DecodeManifest(encodeManifest(t, got), machineID)
	if err != nil || again.Apply == got.Apply {
		t.Errorf("written again: %v, the random value is %q, and was %q", err, again.Apply, got.Apply)
	}
	empty, err := engine.DecodeManifest(nil, machineID)
	if err != nil || len(empty.Resources) > 0 || empty.Machine != machineID {
		t.Errorf("no manifest: %+v, %v", empty, err)
	}
	if _, err := engine.DecodeManifest(encodeManifest(t, empty), machineID); err != nil {
		t.Errorf("a manifest without resources: %v", err)
	}
}

// TestDamagedManifest changes each byte of a manifest, and cuts it off at each: that is an error, or a manifest that says the same.
func TestDamagedManifest(t *testing.T) {
	t.Parallel()
	text := encodeManifest(t, fullManifest())
	whole, err := engine.DecodeManifest(text, machineID)
	if err != nil {
		t.Fatal(err)
	}
	want := says(t, whole)
	noticed := 0
	check := func(damaged []byte, what string) {
		got, err := engine.DecodeManifest(damaged, machineID)
		switch {
		case err == nil && says(t, got) != want:
			t.Fatalf("%s: taken for\n%s\nwhich was\n%s", what, says(t, got), want)
		case err != nil && (!errors.Is(err, engine.ErrManifest) || got != nil):
			t.Fatalf("%s: %v, with %v", what, err, got)
		case err != nil:
			noticed++
		}
	}
	for i, c := range text {
		for _, other := range []byte{c ^ 1, c ^ 0x20, c ^ 0x80, c + 1, ' ', '"', '0'} {
			if other != c {
				damaged := slices.Clone(text)
				damaged[i] = other
				check(damaged, fmt.Sprintf("byte %d is %q in place of %q", i, other, c))
			}
		}
	}
	for n := 1; n < len(text); n++ {
		check(text[:n], fmt.Sprintf("cut off after %d of %d bytes", n, len(text)))
		check(slices.Concat(text[:n-1], text[n:]), fmt.Sprintf("without byte %d", n-1))
	}
	if noticed < 5*len(text) {
		t.Errorf("of all changes to %d bytes, %d were noticed", len(text), noticed)
	}
}

func TestUnusableManifest(t *testing.T) {
	t.Parallel()
	text := string(encodeManifest(t, fullManifest()))
	newer := strings.NewReplacer(`"format_version": 2`, `"format_version": 3`, `"mirrorform_version": "1.2.3"`, `"mirrorform_version": "9.0.0"`).Replace(text)
	for name, tc := range map[string]struct{ text, machine, want string }{
		"another machine":   {text, "f" + machineID[1:], "it belongs to another machine"},
		"no machine":        {text, "", "it belongs to another machine"},
		"newer":             {newer, machineID, "mirrorform 9.0.0 wrote it in format 3"},
		"newer, of another": {newer, "f", "mirrorform 9.0.0 wrote it in format 3"},
		"older":             {strings.Replace(text, `"format_version": 2`, `"format_version": 0`, 1), machineID, "its checksum does not match"},
		"changed":           {strings.Replace(text, "fleet.hcl:12", "fleet.hcl:13", 1), machineID, "its checksum does not match"},
		"a resource less":   {strings.Replace(text, `"theirs"`, `"ours"`, 1), machineID, "its checksum does not match"},
		"space":             {" ", machineID, "it is corrupt"},
		"zeros":             {strings.Repeat("\x00", 4096), machineID, "it is corrupt"},
		"null":              {"null", machineID, "it is corrupt"},
		"other JSON":        {`{"kind":"mirrorform saved plan"}`, machineID, "it is corrupt"},
		"trailer":           {text + "{}", machineID, "it is corrupt"},
		"twice":             {text + text, machineID, "it is corrupt"},
		"type":              {strings.Replace(text, `"resources": [`, `"resources": 1, "x": [`, 1), machineID, "it is corrupt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := engine.DecodeManifest([]byte(tc.text), tc.machine)
			if got != nil || !errors.Is(err, engine.ErrManifest) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, %v; want %q", got, err, tc.want)
			}
			// Such a host is left alone.
			bubble(t, func(t *testing.T) {
				h := &host{machine: tc.machine, manifest: []byte(tc.text), files: map[string]string{"/etc/<x>": "x"}}
				if tc.machine == "" {
					h.machine = "none"
				}
				hp, r := single(t, h, resource(&thing{Name: "/a", Value: "x"})).apply()
				if !errors.Is(hp.Err, engine.ErrManifest) || r.Err == nil || r.State != engine.Untouched {
					t.Errorf("plan: %v, apply: %v, %s", hp.Err, r.Err, r.State)
				}
				if len(h.files) != 1 || string(h.manifest) != tc.text || len(h.lock) > 0 {
					t.Errorf("files %v, locks %d, manifest %s", h.files, len(h.lock), h.manifest)
				}
			})
		})
	}
}

// TestManifestIsWrittenOnce applies the same three times: the first one changes the host, and the others nothing.
func TestManifestIsWrittenOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := new(host)
		wanted := func() []*engine.Resource { return resources(&thing{Name: "/a", Value: "x"}) }
		converge(t, h, wanted()...)
		first := h.manifest
		converge(t, h, wanted()...)
		converge(t, h, wanted()...)
		if h.manifests != 1 || !bytes.Equal(h.manifest, first) {
			t.Errorf("%d manifests were written", h.manifests)
		}
	})
}

// TestAdoption applies to a host that is as it is wanted already: what is found is managed from then on.
func TestAdoption(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{files: map[string]string{"/a": "x"}}
		for range 2 {
			hp, r := single(t, h, resource(&thing{Name: "/a", Value: "x"})).apply()
			if r.Err != nil || len(hp.Changes) > 0 || r.Unchanged != 1 {
				t.Fatalf("%v, %v", r.Err, hp.Changes)
			}
		}
		if h.managedList(t) != "thing./a" || h.manifests != 1 {
			t.Errorf("managed: %s, written %d times", h.managedList(t), h.manifests)
		}
	})
}

func TestManifestEntry(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		long := strings.Repeat("long ", 1000)
		r := resource(&thing{Name: "/a", Value: long})
		r.DependsOn, r.Keep, r.PreventDestroy, r.Source = []engine.Address{at("h/thing./b")}, "it was said", true, "fleet.hcl:3"
		h := new(host)
		m := converge(t, h, r, resource(&thing{Name: "/b", Value: "x"}))
		if h.managedList(t) != "thing./b thing./a" || m.Version != "1.2.3" || m.Machine != machineID {
			t.Fatalf("manifest: %s", h.manifest)
		}
		b, a := m.Resources[0], m.Resources[1]
		if !slices.Equal(a.DependsOn, []string{"thing./b"}) || a.Keep != "it was said" || !a.PreventDestroy || a.Source != "fleet.hcl:3" || a.Type != "thing" || a.Configuration != "ours" {
			t.Errorf("entry: %+v", a)
		}
		if string(b.State["value"]) != `"x"` || a.State["value"] != nil || len(a.Digests["value"]) != 64 || strings.Contains(string(h.manifest), "long long") {
			t.Errorf("entries: %+v, %+v", a, b)
		}
		if _, derived := b.State["fresh"]; derived || len(b.State) != 2 {
			t.Errorf("what was not set is there: %v", b.State)
		}
	})
}

// secretive is a resource with two attributes of which those named are sensitive.
func secretive(value, token string, sensitive ...string) *engine.Resource {
	r := resource(&thing{Name: "/a", Value: value, Token: &token})
	r.Sensitive = map[string]bool{}
	for _, s := range sensitive {
		r.Sensitive[s] = true
	}
	return r
}

func TestSecretsInManifests(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := new(host)
		secrets := func(value, token string, sensitive ...string) map[string]string {
			t.Helper()
			return converge(t, h, secretive(value, token, sensitive...)).Resources[0].Secrets
		}
		first := secrets("canary-one", "canary-two", "value")
		if len(first) != 1 || !strings.HasPrefix(first["value"], "argon2id:") {
			t.Fatalf("secrets: %v", first)
		}
		if same := secrets("canary-one", "canary-two", "value"); same["value"] != first["value"] || h.manifests != 1 {
			t.Errorf("unchanged: %v, was %v, written %d times", same, first, h.manifests)
		}
		both := secrets("canary-one", "canary-two", "value", "token")
		if both["value"] != first["value"] || !strings.HasPrefix(both["token"], "argon2id:") || both["token"] == both["value"] {
			t.Errorf("one more is a secret: %v, was %v", both, first)
		}
		if same := secrets("canary-one", "canary-two", "value", "token"); same["value"] != both["value"] || same["token"] != both["token"] || h.manifests != 2 {
			t.Errorf("unchanged: %v, was %v, written %d times", same, both, h.manifests)
		}
		changed := secrets("canary-new", "canary-two", "value", "token")
		if changed["value"] == both["value"] || changed["value"] == "" || changed["token"] == "" {
			t.Errorf("changed: %v, was %v", changed, both)
		}
		for _, secret := range []string{"canary-one", "canary-two", "canary-new"} {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret))} {
				if strings.Contains(string(h.manifest), form) {
					t.Errorf("the manifest holds %s as %s", secret, form)
				}
			}
		}
	})
}

// TestStuffedManifest refuses a manifest that becomes much more than it is, and reads a large one.
func TestStuffedManifest(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{`{}`, `{"state":{"a":0}}`, `{"depends_on":["","",""]}`} {
		text := `{"kind":"mirrorform manifest","format_version":2,"resources":[` + strings.Repeat(piece+",", 7<<20/len(piece)) + piece + `]}`
		_, err := engine.DecodeManifest([]byte(text), "m")
		if err == nil || !errors.Is(err, engine.ErrManifest) || !strings.Contains(err.Error(), "too large") {
			t.Errorf("%s: %v", piece, err)
		}
	}
	m := &engine.Manifest{Machine: "m"}
	for i := range 5000 {
		m.Resources = append(m.Resources, engine.Managed{Address: fmt.Sprintf("file.f[%d]", i), Configuration: "c", Type: "file", Source: "main.hcl:1",
			State:   map[string]json.RawMessage{"path": json.RawMessage(`"/etc/f"`), "mode": json.RawMessage(`"0644"`), "owner": json.RawMessage(`"root"`), "group": json.RawMessage(`"root"`)},
			Digests: map[string]string{"content": strings.Repeat("0", 64)}, DependsOn: []string{"directory.d", "user.u"}})
	}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := engine.DecodeManifest(text, "m"); err != nil || len(got.Resources) != 5000 {
		t.Errorf("a manifest of 5,000 resources: %v", err)
	}
}
