package engine_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// reality is what a plan is made from.
type reality struct {
	machine string
	wanted  []*engine.Resource
	files   map[string]string
	hosts   []string
}

// before is the reality of a plan that creates one resource, updates one and leaves one alone; withSecrets adds one that it updates and one that it
// leaves alone, which takes time.
func before(withSecrets bool) *reality {
	r := &reality{
		machine: "0123456789abcdef0123456789abcdef",
		wanted: resources(&thing{Name: "/new", Value: "<new>"}, &thing{Name: "/same", Value: "x"}, &thing{Name: "/differs", Value: "x"},
			&thing{Name: "/secret", Value: "canary-wanted"}, &thing{Name: "/kept", Value: "canary-kept"}),
		files: map[string]string{"/same": "x", "/differs": "y", "/secret": "canary-found", "/kept": "canary-kept"},
		hosts: []string{"h"},
	}
	for _, res := range r.wanted[3:] {
		res.Sensitive = map[string]bool{"value": true}
	}
	if !withSecrets {
		r.wanted = r.wanted[:3]
	}
	return r
}

func (r *reality) plan(t *testing.T) *engine.Plan {
	p := &engine.Plan{}
	for _, name := range r.hosts {
		target := engine.Target{Name: name, Facts: wire.Facts{MachineID: r.machine}}
		p.Hosts = append(p.Hosts, engine.Compare(target, r.wanted, answers(t, engine.Questions(target, r.wanted), r.files)))
	}
	return p
}

func (r *reality) save(t *testing.T, salt string) *engine.SavedPlan {
	t.Helper()
	s, err := engine.Save(r.plan(t), engine.SaveOptions{Version: "1.2.3", Time: time.Now(), Salt: salt, Limit: []string{"h"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func encoded(t *testing.T, s *engine.SavedPlan) []byte {
	t.Helper()
	text, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSavedPlanIsThePlan(t *testing.T) {
	t.Parallel()
	r := before(true)
	saved, err := engine.DecodeSaved(encoded(t, r.save(t, "salt")))
	if err != nil {
		t.Fatal(err)
	}
	if saved.Version != "1.2.3" || !slices.Equal(saved.Limit, []string{"h"}) || saved.Target != nil || saved.Time.IsZero() {
		t.Errorf("read: %+v", saved)
	}
	shown, err := saved.Plan()
	if err != nil {
		t.Fatal(err)
	}
	made := r.plan(t)
	if got, want := shown.Counts(), made.Counts(); got != want || got.Changes() != 3 {
		t.Fatalf("counts %+v, want %+v", got, want)
	}
	for i, want := range made.Hosts[0].Changes {
		got := shown.Hosts[0].Changes[i]
		if got.String() != want.String() || got.Type != want.Type || got.Steps[0].Summary != want.Steps[0].Summary {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if g, w := attributeText(got), attributeText(want); g != w {
			t.Errorf("got  %s\nwant %s", g, w)
		}
	}
	for _, c := range shown.Hosts[0].Changes {
		if c.Address == "h/thing./secret" && reflect.DeepEqual(c.Before[1].Value, c.After[1].Value) {
			t.Error("it is not shown that a secret changes")
		}
	}
}

// attributeText is what a plan shows of attributes; nil sides are told from empty ones.
func attributeText(c engine.Change) string {
	var b strings.Builder
	for _, list := range [][]engine.Attribute{c.Before, c.After} {
		fmt.Fprintf(&b, "%v:", list == nil)
		for _, a := range list {
			if a.Sensitive {
				a.Value = "secret"
			}
			fmt.Fprintf(&b, " %s=%#v %v", a.Name, engine.Plain(a.Value), a.Sensitive)
		}
	}
	return b.String()
}

func TestSavedPlanHoldsNoSecret(t *testing.T) {
	t.Parallel()
	r := before(true)
	text := string(encoded(t, r.save(t, "salt")))
	if !strings.Contains(text, `"/secret"`) || !strings.Contains(text, `new\u003e`) {
		t.Fatalf("the plan is not there:\n%s", text)
	}
	for _, secret := range []string{"canary-wanted", "canary-found", "canary-kept", r.machine} {
		plain, salted := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte("salt"+secret))
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)),
			hex.EncodeToString(plain[:]), hex.EncodeToString(salted[:])} {
			if strings.Contains(text, form) {
				t.Errorf("the file holds %s as %s", secret, form)
			}
		}
	}
}

func TestStalePlan(t *testing.T) {
	t.Parallel()
	state := func(r *reality, i int) *thing { return r.wanted[i].State.(*thing) }
	for name, tc := range map[string]struct {
		change func(*reality)
		want   string
	}{
		"nothing":            {func(*reality) {}, ""},
		"order declared":     {func(r *reality) { r.wanted[0], r.wanted[1] = r.wanted[1], r.wanted[0] }, ""},
		"hand edit":          {func(r *reality) { r.files["/differs"] = "z" }, "h/thing./differs: the host changed"},
		"unchanged resource": {func(r *reality) { r.files["/same"] = "z" }, "h/thing./same: the host changed"},
		"made by hand":       {func(r *reality) { r.files["/new"] = "z" }, "h/thing./new: the host changed"},
		"removed by hand":    {func(r *reality) { delete(r.files, "/differs") }, "h/thing./differs: the host changed"},
		"wanted":             {func(r *reality) { state(r, 0).Value = "y" }, "h/thing./new: the configuration changed"},
		"wanted and no step": {func(r *reality) { state(r, 1).Needs = []string{"/"} }, "h/thing./same: the configuration changed"},
		"dependency":         {func(r *reality) { r.wanted[0].DependsOn = []engine.Address{at("h/thing./same")} }, "h/thing./new: the configuration changed"},
		"secret wanted":      {func(r *reality) { state(r, 3).Value = "other" }, "h/thing./secret: the configuration changed"},
		"secret found":       {func(r *reality) { r.files["/secret"] = "other" }, "h/thing./secret: the host changed"},
		"secret kept":        {func(r *reality) { r.files["/kept"] = "other" }, "h/thing./kept: the host changed"},
		"resource gone":      {func(r *reality) { r.wanted = r.wanted[1:] }, "h/thing./new: the configuration changed: it no longer has this resource"},
		"resource new": {func(r *reality) { r.wanted = append(r.wanted, resource(&thing{Name: "/newer"})) },
			"h/thing./newer: the configuration changed: this resource is new"},
		"removal":       {func(r *reality) { r.wanted[1].Remove = true }, "h/thing./same: the configuration changed"},
		"machine":       {func(r *reality) { r.machine = "f" }, "h: the host changed: this is another machine"},
		"host gone":     {func(r *reality) { r.hosts = nil }, "h: the configuration changed: it no longer has this host"},
		"host new":      {func(r *reality) { r.hosts = append(r.hosts, "i") }, "i: the configuration changed: this host is new"},
		"steps' order":  {func(r *reality) { r.wanted[0], r.wanted[2] = r.wanted[2], r.wanted[0] }, "h/thing./differs: the steps differ"},
		"two at a time": {func(r *reality) { r.files["/same"], state(r, 0).Value = "z", "z" }, "h/thing./new: the configuration changed: the wanted state differs; h/thing./same: the host changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secrets := strings.HasPrefix(name, "secret")
			saved, err := engine.DecodeSaved(encoded(t, before(secrets).save(t, "salt")))
			if err != nil {
				t.Fatal(err)
			}
			now := before(secrets)
			tc.change(now)
			var got []string
			for _, d := range saved.Differences(now.save(t, "salt")) {
				got = append(got, d.String())
			}
			if text := strings.Join(got, "; "); !strings.HasPrefix(text, tc.want) || (tc.want == "") != (text == "") || strings.Count(text, ";") != strings.Count(tc.want, ";") {
				t.Errorf("got  %q\nwant %q", text, tc.want)
			}
		})
	}
}

func TestFailedPlanIsNotSaved(t *testing.T) {
	t.Parallel()
	r := before(false)
	r.wanted[0].State.(*thing).Value = "refused"
	if _, err := engine.Save(r.plan(t), engine.SaveOptions{}); err == nil || !strings.Contains(err.Error(), "failed for h") {
		t.Errorf("got %v", err)
	}
}

func TestDamagedSavedPlan(t *testing.T) {
	t.Parallel()
	r := before(false)
	saved := r.save(t, "salt")
	text := encoded(t, saved)
	for n := range len(text) - 1 {
		if _, err := engine.DecodeSaved(text[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a plan", n, len(text))
		}
	}
	for i := range text {
		damaged := slices.Clone(text)
		damaged[i] ^= 0x11
		if got, err := engine.DecodeSaved(damaged); err == nil && !reflect.DeepEqual(encodedText(t, got), string(text)) {
			t.Fatalf("a changed byte %d is not noticed", i)
		}
	}
	for name, tc := range map[string]struct{ text, want string }{
		"empty":   {"", "not a saved plan"},
		"text":    {"host {}", "not a saved plan"},
		"null":    {"null", "plan --out"},
		"other":   {`{"format_version":"1.0","hosts":[]}`, "plan --out"},
		"trailer": {string(text) + "{}", "corrupt"},
		"newer":   {strings.Replace(string(text), `"format_version": 2`, `"format_version": 3`, 1), "format 3, written by mirrorform 1.2.3"},
		"changed": {strings.Replace(string(text), `write /new`, `write /old`, 1), "checksum"},
	} {
		if _, err := engine.DecodeSaved([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func encodedText(t *testing.T, s *engine.SavedPlan) string { return string(encoded(t, s)) }

// TestAnyDirectory has a host that is Last, whose resources are in the directory of the configuration: the plan holds in another clone. On another host, and
// for a path that is not in that directory, it does not.
func TestAnyDirectory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		last        bool
		path, value string // %s: the directory
		same        bool
	}{
		{true, "%s/p", "x", true},
		{true, "%s/p", "in %s, not in /data%s", true},
		{true, "%s2/p", "x", false},
		{true, "/data%s/p", "x", false},
		{false, "%s/p", "x", false},
		{false, "/p", "x", true},
	} {
		bubble(t, func(t *testing.T) {
			save := func(dir string) *engine.SavedPlan {
				in := func(text string) string { return strings.ReplaceAll(text, "%s", dir) }
				r := resource(&thing{Name: in(c.path), Value: in(strings.Replace(c.value, "/data%s", "/data/c1", 1))})
				r.Address = at("h/thing.p")
				f := single(t, new(host), r)
				defer f.Close()
				f.list[0].Last = c.last
				s, err := engine.Save(f.Plan(t.Context(), f.list), engine.SaveOptions{Salt: "salt", Directory: dir})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			then, err := engine.DecodeSaved(encoded(t, save("/c1")))
			if err != nil {
				t.Fatal(err)
			}
			if d := then.Differences(save("/clones/c2")); (len(d) == 0) != c.same {
				t.Errorf("%+v: %v", c, d)
			}
		})
	}
}

// TestAnyMachine has a host that is Last: it is the machine that a run is on, and that is another one when CI applies what CI planned.
func TestAnyMachine(t *testing.T) {
	t.Parallel()
	for _, last := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			f := single(t, new(host), resource(&thing{Name: "/p", Value: "x"}))
			f.list[0].Last = last
			if p := f.plan(); p.Err != nil || (p.MachineID == "") != last {
				t.Errorf("a host that is Last (%t) is planned as machine %q: %v", last, p.MachineID, p.Err)
			}
		})
	}
}
