package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
)

func indented(t *testing.T, doc []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// TestJSON shows whole documents: what a plan says, a run of drift, an apply.
func TestJSON(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*Result{"plan.json": FromPlan(fleetPlan()), "drift.json": planResult(), "apply.json": applyResult(), "verify.json": verifyResult(), "empty.json": FromPlan(&engine.Plan{})} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc, err := r.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(doc, []byte("canary")) {
				t.Error("a sensitive value is in the document")
			}
			golden(t, name, indented(t, doc))
			read, err := Read(doc)
			if err != nil {
				t.Fatal(err)
			}
			again, err := read.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again, doc) {
				t.Errorf("it is read as\n%s", indented(t, again))
			}
		})
	}
}

// TestContract holds what plan --json has had since the first version of its format.
func TestContract(t *testing.T) {
	t.Parallel()
	doc, err := FromPlan(fleetPlan()).JSON()
	if err != nil {
		t.Fatal(err)
	}
	var plan struct {
		FormatVersion string `json:"format_version"`
		Hosts         []map[string]json.RawMessage
		Summary       map[string]json.RawMessage
	}
	if err := json.Unmarshal(doc, &plan); err != nil {
		t.Fatal(err)
	}
	if plan.FormatVersion != Format || len(plan.Hosts) != 6 {
		t.Fatalf("%s", doc)
	}
	for _, h := range plan.Hosts {
		for _, key := range []string{"name", "changes", "error", "warnings", "notes"} {
			if h[key] == nil {
				t.Errorf("a host has no %s", key)
			}
		}
		var changes []map[string]json.RawMessage
		if err := json.Unmarshal(h["changes"], &changes); err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			for _, key := range []string{"address", "type", "action", "before", "after", "steps"} {
				if c[key] == nil {
					t.Errorf("a change has no %s", key)
				}
			}
		}
	}
	for _, key := range []string{"create", "update", "delete", "replace", "unchanged"} {
		if plan.Summary[key] == nil {
			t.Errorf("the summary has no %s", key)
		}
	}
	if bytes.Contains(doc, []byte(`"start"`)) || bytes.Contains(doc, []byte(`"command"`)) {
		t.Error("two plans of the same state would differ")
	}
}

func TestHostileJSON(t *testing.T) {
	t.Parallel()
	doc, err := hostileResult().JSON()
	if err != nil {
		t.Fatal(err)
	}
	checkSafe(t, string(doc))
	r, err := Read([]byte(`{"format_version":"1.2","hosts":[{"name":` + `"x","changes":[],"notes":["a\u001b]0;b"]}]}`))
	if err != nil || r.Hosts[0].Notes[0] != "a\x1b]0;b" || r.Hosts[0].Outcome != OK {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReadOthers(t *testing.T) {
	t.Parallel()
	r, err := Read([]byte(`{"format_version":"1.0","hosts":[{"name":"fra1","reachable":true,"changes":3,"mirrors":[{"name":"almalinux","path":"/srv","last_sync":{"start":1,"end":2,"exit":0,"by":"cron","bytes":7},"locked":false}]},{"name":"far","reachable":false,"error":"x","changes":null,"mirrors":[]}]}`))
	if err != nil || r.Command != "status" || len(r.Status.Hosts) != 2 || *r.Status.Hosts[0].Changes != 3 || *r.Status.Hosts[0].Mirrors[0].LastSync.Bytes != 7 || len(r.Hosts) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Read([]byte(`{"format_version":"1.1","start":"2026-03-01T02:15:00Z","end":"2026-03-01T02:15:01.5Z","hosts":[{"name":"a","reachable":true,"changes":0,"mirrors":[]}]}`))
	if at := time.Date(2026, 3, 1, 2, 15, 0, 0, time.UTC); err != nil || !r.Start.Equal(at) || !r.End.Equal(at.Add(1500*time.Millisecond)) || r.Status == nil {
		t.Errorf("a status with a time: %+v, %v", r, err)
	}
	v, err := json.Marshal(verifyResult().Verify)
	if err != nil {
		t.Fatal(err)
	}
	r, err = Read(v)
	if err != nil || r.Command != "verify" || len(r.Verify.Mirrors) != 2 || r.Verify.Mirrors[1].Findings[0].Check != "time" {
		t.Errorf("%+v, %v", r, err)
	}
	// A document of the format before this one.
	r, err = Read([]byte(`{"format_version":"1.1","hosts":[{"name":"a","changes":[{"address":"a/file.b","type":"file","action":"create","before":null,"after":{"n":9007199254740993},"steps":[]}],"error":null},{"name":"b","changes":[],"error":"down"}],"summary":{}}`))
	if err != nil || r.Hosts[0].Outcome != Drifted || r.Hosts[1].Outcome != Failed || r.Summary.Create != 1 || r.Summary.Hosts[Drifted] != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if doc, err := r.JSON(); err != nil || !bytes.Contains(doc, []byte("9007199254740993")) {
		t.Errorf("%s, %v", doc, err)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, doc, want string }{
		{"nothing", "", "not a mirrorform result"},
		{"cut off", `{"format_version":"1.2","hosts":[{"na`, "truncated"},
		{"other", `{"kind":"mirrorform saved plan","format_version":1}`, "not a mirrorform result"},
		{"no version", `{}`, `format version ""`},
		{"newer", `{"format_version":"2.0","hosts":[]}`, `format version "2.0"`},
		{"lint", `{"format_version":"1.0","findings":[]}`, "no hosts"},
		{"no name", `{"format_version":"1.2","hosts":[{"changes":[]}]}`, "no name"},
		{"twice", `{"format_version":"1.2","hosts":[{"name":"a"},{"name":"a"}]}`, `a duplicate one: "a"`},
		{"outcome", `{"format_version":"1.2","hosts":[{"name":"a","outcome":"fine"}]}`, `"fine"`},
		{"action", `{"format_version":"1.2","hosts":[{"name":"a","changes":[{"address":"a/x.y","action":"rm"}]}]}`, `"rm"`},
		{"done", `{"format_version":"1.2","hosts":[{"name":"a","changes":[{"address":"a/x.y","action":"create","done":"half"}]}]}`, `"half"`},
		{"no address", `{"format_version":"1.2","hosts":[{"name":"a","changes":[{"action":"create"}]}]}`, "no address"},
		{"negative", `{"format_version":"1.2","hosts":[{"name":"a","unchanged":-1}]}`, "negative"},
		{"type", `{"format_version":"1.2","hosts":[{"name":7}]}`, "not a mirrorform result"},
		{"null mirror", `{"format_version":"1.0","mirrors":[null]}`, "no name"},
		{"severity", `{"format_version":"1.0","mirrors":[{"name":"a","findings":[{"severity":"fatal"}]}]}`, `"fatal"`},
		{"shard", `{"format_version":"1.2","hosts":[],"shard":"11/10"}`, "11/10"},
		{"time", `{"format_version":"1.2","hosts":[],"start":"2026-01-02T00:00:00Z","end":"2026-01-01T00:00:00Z"}`, "before it starts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Read([]byte(c.doc)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzRead reads any bytes: what it takes is a document that it takes again, and renders the same.
func FuzzRead(f *testing.F) {
	for _, r := range []*Result{applyResult(), planResult(), verifyResult(), hostileResult()} {
		doc, err := r.JSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte(`{"format_version":"1.0","hosts":[{"name":"a","reachable":true,"mirrors":[{"name":"b"}]}]}`))
	f.Add([]byte(`{"format_version":"1.0","mirrors":[{"name":"a"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		r, err := Read(doc)
		if err != nil {
			return
		}
		first, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		checkSafe(t, string(first))
		again, err := Read(first)
		if err != nil {
			t.Fatalf("%v in %s", err, first)
		}
		second, err := again.JSON()
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s\nis read as\n%s\n%v", first, second, err)
		}
	})
}
