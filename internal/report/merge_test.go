package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
)

// shardsOf are the results of a fleet's shards, each with a host of its own and host local.
func shardsOf(t *testing.T, n int) []Named {
	t.Helper()
	var list []Named
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("fra%d", i)
		p := &engine.Plan{Hosts: []*engine.HostPlan{
			{Host: name, Unchanged: 3, Changes: []engine.Change{{Address: name + "/file.motd", Type: "file", Action: engine.Update}}},
			{Host: "local", Unchanged: 0, Changes: []engine.Change{{Address: "local/mirror.almalinux.entry[\"" + name + "\"]", Type: "file", Action: engine.Create}}},
		}}
		r := FromPlan(p)
		r.Version, r.Command, r.Shard = "v1", "drift", Shard{i, n}.String()
		r.Start, r.End = testStart.Add(time.Duration(-i)*time.Second), testStart.Add(time.Duration(i)*time.Second)
		r.Configuration, r.Sources = "abc", "def"
		r.Hosts[1].Local = true
		r.Problems = []Problem{{Severity: "warning", Summary: "of all shards"}}
		list = append(list, Named{fmt.Sprintf("%d.json", i), r})
	}
	return list
}

func TestMerge(t *testing.T) {
	t.Parallel()
	r, err := Merge(shardsOf(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Hosts) != 4 || r.Summary.Update != 3 || r.Summary.Create != 3 || r.Summary.Hosts[Drifted] != 4 || r.Shard != "" || r.Error != "" || len(r.Problems) != 1 {
		t.Errorf("%+v", r)
	}
	if r.End.Sub(r.Start) != 6*time.Second {
		t.Errorf("from %v to %v", r.Start, r.End)
	}
	doc, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	read, err := Read(doc)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := read.JSON(); err != nil || !bytes.Equal(again, doc) {
		t.Errorf("%s\n%v", again, err)
	}
	list := shardsOf(t, 10)
	r, err = Merge(append(list[:2:2], list[3:9]...))
	if err != nil || r.Error != "the results of shards 3/10, 10/10 are missing" || !r.Failed() {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Merge(shardsOf(t, 100)[:1])
	if err != nil || !strings.Contains(r.Error, "99 shards are missing, 2/100") {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Merge(shardsOf(t, 2)[1:])
	if err != nil || r.Error != "the result of shard 1/2 is missing" {
		t.Errorf("%+v, %v", r, err)
	}
	// Results of parts that were made with --limit.
	list = shardsOf(t, 2)
	list[0].Shard, list[1].Shard, list[0].Error = "", "", "interrupted"
	r, err = Merge(list)
	if err != nil || r.Error != "1.json: interrupted" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(list []Named)
		want   string
	}{
		{"host", func(l []Named) { l[1].Hosts[0].Name = "fra1" }, "host fra1 is in 1.json and in 2.json"},
		{"local", func(l []Named) { l[1].Hosts[1].Local = false }, "host local is in 1.json and in 2.json"},
		{"change", func(l []Named) {
			l[0].Hosts[1].Changes[0].Address, l[1].Hosts[1].Changes[0].Address = "local/file.x", "local/file.x"
			l[1].Hosts[1].Changes[0].Action = engine.Delete
		}, "different changes of local/file.x"},
		{"command", func(l []Named) { l[1].Command = "apply" }, "1.json and 2.json are from different commands"},
		{"version", func(l []Named) { l[1].Version = "v2" }, "versions of mirrorform"},
		{"configuration", func(l []Named) { l[1].Configuration = "other" }, "mirrorform.hosts.json"},
		{"sources", func(l []Named) { l[1].Sources = "other" }, "their files differ"},
		{"division", func(l []Named) { l[1].Shard = "2/4" }, "different numbers of shards"},
		{"twice", func(l []Named) { l[1].Shard = "1/3" }, "1.json and 2.json are both shard 1/3"},
		{"no shard", func(l []Named) { l[1].Shard = "" }, "1.json is a shard, but other results are not"},
		{"verify", func(l []Named) { l[1].Verify = &Verify{} }, "2.json is a result of drift, which has no shards"},
		{"bad shard", func(l []Named) { l[1].Shard = "x" }, `invalid shard "x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			list := shardsOf(t, 3)
			c.change(list)
			if _, err := Merge(list); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Merge(nil); err == nil {
		t.Error("nothing is merged")
	}
}

func TestCombine(t *testing.T) {
	t.Parallel()
	all := samples()
	drift, verify, status := Named{"drift.json", all["drift"]}, Named{"verify.json", all["verify"]}, Named{"status.json", all["status"]}
	r, err := Combine([]Named{verify, drift, status})
	if err != nil || r.Command != "drift" || len(r.Hosts) != 6 || r.Verify == nil || r.Status == nil || all["drift"].Verify != nil {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Combine([]Named{status, verify})
	if err != nil || r.Command != "status" || r.Verify == nil || r.Status == nil {
		t.Errorf("%+v, %v", r, err)
	}
	// What status --report writes has the hosts of its plan, too.
	whole := *all["drift"]
	whole.Command, whole.Status = "status", all["status"].Status
	r, err = Combine([]Named{verify, {"status.json", &whole}, drift})
	if err != nil || r.Command != "drift" || r.Status == nil || r.Verify == nil {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Combine([]Named{verify, {"status.json", &whole}})
	if err != nil || r.Command != "status" || len(r.Hosts) != 6 || r.Verify == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Combine([]Named{drift, {"other.json", all["apply"]}}); err == nil || !strings.Contains(err.Error(), "drift.json and other.json are of the same kind") {
		t.Error(err)
	}
	if _, err := Combine(nil); err == nil {
		t.Error("nothing is combined")
	}
}

func TestParseShard(t *testing.T) {
	t.Parallel()
	if s, err := ParseShard("3/10"); err != nil || s != (Shard{3, 10}) || s.String() != "3/10" {
		t.Errorf("%v, %v", s, err)
	}
	for _, bad := range []string{"", "3", "0/3", "4/3", "-1/3", "03/10", "3/10 ", "+3/10", "a/b", "1/2/3", "1/99999999999999999999"} {
		if _, err := ParseShard(bad); err == nil {
			t.Errorf("%q is a shard", bad)
		}
	}
}

func TestThen(t *testing.T) {
	t.Parallel()
	r := &Result{Hosts: []HostResult{
		{Name: "a", Outcome: Changed, Unchanged: 1, Changes: []Change{{Address: "a/file.x", Action: engine.Delete, Done: Applied}}, Notes: []string{"n"}},
		{Name: "b", Outcome: OK},
	}}
	why := "no room"
	r.Then(&Result{Hosts: []HostResult{
		{Name: "a", Outcome: Failed, Left: engine.TakenBack, Unchanged: 2, Error: &why, Changes: []Change{{Address: "a/directory.y", Action: engine.Delete, Done: StepFailed}}, Notes: []string{"n"}},
		{Name: "c", Outcome: OK},
	}})
	a := r.Host("a")
	if a.Outcome != Failed || a.Left != engine.TakenBack || a.Unchanged != 3 || a.Error == nil || len(a.Changes) != 2 || a.Changes[0].Done != Applied || len(a.Notes) != 1 {
		t.Errorf("%+v", a)
	}
	if len(r.Hosts) != 3 || r.Summary.Delete != 2 || r.Summary.Hosts[Failed] != 1 || r.Summary.Hosts[OK] != 2 {
		t.Errorf("%+v", r)
	}
}
