package ui

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

type place struct {
	Country string `hcl:"country,optional"`
	City    string `hcl:"city,optional"`
}

func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

func testPlan() *engine.Plan {
	undo := &wire.Op{}
	return &engine.Plan{Hosts: []*engine.HostPlan{
		{Host: "fra1", Unchanged: 7, Changes: []engine.Change{
			{
				Address: "fra1/file.motd", Type: "file", Action: engine.Create,
				After: []engine.Attribute{
					{Name: "path", Value: "/etc/motd"},
					{Name: "content", Value: "AlmaLinux mirror fra1\n\ttabs and \x1b[31mcolour\nno newline at the end"},
					{Name: "mode", Value: "0644"},
				},
				Steps: []engine.Step{{Summary: "write /etc/motd", Undo: undo}},
			},
			{
				Address: "fra1/cron.sync", Type: "cron", Action: engine.Update,
				Before: []engine.Attribute{
					{Name: "schedule", Value: "0 */3 * * *"},
					{Name: "command", Value: []string{"/usr/bin/rsync", "-avSH", "-f", "R .~tmp~", "--delete-delay", "rsync://rsync.repo.almalinux.org/almalinux/"}},
					{Name: "user", Value: "mirror"},
					{Name: "environment", Value: map[string]string{"PATH": "/bin", "MAILTO": "root"}},
				},
				After: []engine.Attribute{
					{Name: "schedule", Value: "17 */3 * * *"},
					{Name: "command", Value: []string{"/usr/bin/rsync", "-avSH", "--bwlimit=10m", "-f", "R .~tmp~", "--delete-delay", "rsync://rsync.repo.almalinux.org/almalinux/"}},
					{Name: "user", Value: "mirror"},
					{Name: "environment", Value: map[string]string{"PATH": "/usr/bin", "MAILTO": "root"}},
					{Name: "place", Value: place{City: "Frankfurt"}},
				},
				Steps: []engine.Step{{Summary: "write /etc/cron.d/sync", Undo: undo}},
			},
			{
				Address: "fra1/file.long", Type: "file", Action: engine.Update,
				Before: []engine.Attribute{{Name: "content", Value: numbered(1, 40)}},
				After:  []engine.Attribute{{Name: "content", Value: numbered(1, 9) + "changed\n" + numbered(11, 300)}},
				Steps:  []engine.Step{{Summary: "write /srv/long", Undo: undo}},
			},
			{
				Address: "fra1/file.key", Type: "file", Action: engine.Replace,
				Before: []engine.Attribute{{Name: "content", Value: "canary-old\n", Sensitive: true}, {Name: "size", Value: int64(11)}},
				After:  []engine.Attribute{{Name: "content", Value: "canary-new\n", Sensitive: true}, {Name: "size", Value: int64(12)}},
				Steps:  []engine.Step{{Summary: "write /etc/key", Undo: undo}, {Summary: "reload nginx.service", Final: "what was served was served"}},
			},
			{
				Address: "fra1/file.image", Type: "file", Action: engine.Update,
				Before: []engine.Attribute{{Name: "content", Value: "\x89PNG\r\n\x00\n"}},
				After:  []engine.Attribute{{Name: "content", Value: "\x89PNG\r\n\x00\n\x00"}},
			},
			{
				Address: "fra1/file.link", Type: "file", Action: engine.Update,
				Before: []engine.Attribute{
					{Name: "path", Value: "/etc/link"}, {Name: "kind", Value: "symlink to /x"}, {Name: "lines", Value: "one\ntwo\n"},
				},
				After: []engine.Attribute{{Name: "path", Value: "/etc/link"}, {Name: "content", Value: "text"}},
				Steps: []engine.Step{{Summary: "replace /etc/link by a file", Undo: undo}},
			},
			{
				Address: "fra1/file.old", Type: "file", Action: engine.Delete,
				Before: []engine.Attribute{{Name: "path", Value: "/etc/old"}, {Name: "content", Value: numbered(1, 3)}},
				Steps:  []engine.Step{{Summary: "remove /etc/old", Undo: undo}},
			},
			{
				Address: "fra1/file.orphan", Type: "file", Action: engine.Delete,
				Resource: &engine.Resource{Address: at("fra1/file.orphan"), Source: "fleet.hcl:12", Remove: true, Orphan: true},
				Before:   []engine.Attribute{{Name: "path", Value: "/etc/orphan"}},
				Steps:    []engine.Step{{Summary: "remove /etc/orphan", Undo: undo}},
			},
			{
				Address: "fra1/file.destroyed", Type: "file", Action: engine.Delete,
				Resource: &engine.Resource{Address: at("fra1/file.destroyed"), Source: "fleet.hcl:13", Remove: true},
				Steps:    []engine.Step{{Summary: "remove /etc/destroyed", Undo: undo}},
			},
		}},
		{Host: `edge["ams"]`, Unchanged: 5, Problems: []*engine.ResourceProblem{
			{Resource: &engine.Resource{Address: at(`edge["ams"]/mirror.almalinux.directory`), Source: "fleet.hcl:18"},
				Problem: engine.Problem{Severity: engine.Warning, Summary: "/srv/mirror has 1.2 TB, 2 TB are recommended", Detail: "Add storage soon."}},
		}},
		{Host: `edge["sin"]`, Problems: []*engine.ResourceProblem{
			{Resource: &engine.Resource{Address: at(`edge["sin"]/mirror.almalinux.directory`), Source: "fleet.hcl:18"},
				Problem: engine.Errorf("", "/srv/mirror has 280 GB, at least 300 GB are needed")},
			{Problem: engine.Errorf("", "of the host as a whole")},
		}},
		{Host: "far", Err: errors.New("dial tcp 203.0.113.9:22: connection refused\nIs sshd running there?")},
		{Host: "noted", Unchanged: 2, Notes: []string{
			"user.mirror is not in the configuration any more. It stays as it is and is not managed any more: its files would belong to nobody",
			"an earlier \"apply\" by \"bob\" did not end: it was taken back (3 steps), but for what cannot be taken back:\n- \"package rsync\"",
		}},
		{Host: "local", Unchanged: 1},
	}}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			u, out, stderr := newTest(v.options)
			u.Plan(testPlan(), PlanOptions{})
			if stderr.Len() > 0 {
				t.Errorf("diagnostics got %q", stderr)
			}
			if strings.Contains(out.String(), "canary") {
				t.Error("a sensitive value was printed")
			}
			if v.options.Color == "never" {
				checkSafe(t, out.String())
			}
			golden(t, "plan-"+v.name, out.String())
		})
	}
}

// TestCompact: a line for each change, and nothing secret in it.
func TestCompact(t *testing.T) {
	t.Parallel()
	got := planText(testPlan(), PlanOptions{Compact: true})
	if strings.Contains(got, "canary") {
		t.Error("a sensitive value was printed")
	}
	checkSafe(t, got)
	golden(t, "plan-compact", got)
	if grouped := planText(fleetPlan(18, nil), PlanOptions{Compact: true}); strings.Count(grouped, "\n") != 5 {
		t.Errorf("18 hosts that are alike:\n%s", grouped)
	}
}

func TestPlanOptions(t *testing.T) {
	t.Parallel()
	u, out, _ := newTest(Options{})
	u.Plan(testPlan(), PlanOptions{Full: true, OmitProblems: true})
	if !strings.Contains(out.String(), "+line 300") || strings.Contains(out.String(), "more line") {
		t.Error("the full plan is cut")
	}
	if strings.Contains(out.String(), "recommended") || strings.Contains(out.String(), "are needed") {
		t.Error("problems are not left out")
	}
	if !strings.Contains(out.String(), "connection refused") {
		t.Error("the error of a host is left out")
	}
}

// TestPlanLater prints a plan with a second transaction, and one for which one is enough.
func TestPlanLater(t *testing.T) {
	t.Parallel()
	u, b, _ := newTest(Options{})
	site := engine.Change{Address: "h/nginx_site.www", Action: engine.Update, Steps: []engine.Step{{Summary: "serve"}, {Summary: "redirect", Later: true}}}
	certificate := engine.Change{Address: "h/certificate.www", Action: engine.Create, Steps: []engine.Step{{Summary: "request", Later: true}}}
	show := func(changes ...engine.Change) string {
		b.Reset()
		u.Plan(&engine.Plan{Hosts: []*engine.HostPlan{{Host: "h", Changes: changes}}}, PlanOptions{})
		return b.String()
	}
	want := `h: 1 to create, 1 to update
  ~ h/nginx_site.www
      → serve
      → redirect (later)

  + h/certificate.www (later)
      → request

Plan: 1 to create, 1 to update, 0 to delete on 1 host.
`
	if got := show(site, certificate); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := show(certificate); strings.Contains(got, "later") {
		t.Errorf("one transaction: %s", got)
	}
}

func TestPlanSummary(t *testing.T) {
	t.Parallel()
	idle := func(n int) (p engine.Plan) {
		for i := range n {
			p.Hosts = append(p.Hosts, &engine.HostPlan{Host: fmt.Sprint("h", i), Unchanged: 24})
		}
		return p
	}
	changing := func(n int, a engine.Action) *engine.HostPlan {
		h := &engine.HostPlan{Host: "x"}
		for range n {
			h.Changes = append(h.Changes, engine.Change{Address: "x/file.y", Action: a})
		}
		return h
	}
	with := func(p engine.Plan, hosts ...*engine.HostPlan) engine.Plan {
		p.Hosts = append(p.Hosts, hosts...)
		return p
	}
	broken := &engine.HostPlan{Host: "b", Err: errors.New("down")}
	for _, c := range []struct {
		name string
		plan engine.Plan
		want string // the end of the output
	}{
		{"no hosts", idle(0), "No changes. No hosts are selected.\n"},
		{"nothing", idle(10), "No changes. 10 hosts match the configuration (240 resources).\n"},
		{"nothing on one", idle(1), "No changes. 1 host matches the configuration (24 resources).\n"},
		{"changes", with(idle(8), changing(3, engine.Create), changing(1, engine.Update)), "8 hosts: no changes\n\nPlan: 3 to create, 1 to update, 0 to delete on 2 hosts.\n"},
		{"one idle", with(idle(1), changing(1, engine.Delete)), "h0: no changes\n\nPlan: 0 to create, 0 to update, 1 to delete on 1 host.\n"},
		{"replace", with(idle(0), changing(2, engine.Replace)), "Plan: 0 to create, 0 to update, 0 to delete, 2 to replace on 1 host.\n"},
		{"all fail", with(idle(0), broken), "Plan failed for 1 host: b\n"},
		{"some fail", with(idle(2), broken), "Plan failed for 1 host: b\nNo changes. 2 hosts match the configuration (48 resources).\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, out, _ := newTest(Options{})
			u.Plan(&c.plan, PlanOptions{})
			if !strings.HasSuffix(out.String(), c.want) {
				t.Errorf("got\n%swant at the end\n%s", out, c.want)
			}
		})
	}
}

// hostilePlan has hostile text in every field.
func hostilePlan() *engine.Plan {
	attributes := []engine.Attribute{
		{Name: hostile, Value: hostile},
		{Name: "lines" + hostile, Value: hostile + "\n" + hostile + "\nx"},
		{Name: "list", Value: []string{hostile, hostile}},
		{Name: "map", Value: map[string]string{hostile: hostile, "k": hostile + hostile + hostile}},
		{Name: "struct", Value: place{Country: hostile}},
	}
	other := []engine.Attribute{{Name: "lines" + hostile, Value: "x\n" + strings.ToValidUTF8(strings.ReplaceAll(hostile, "\x00", ""), "") + "\ny"}}
	r := &engine.Resource{Address: engine.Address{Host: hostile}, Source: hostile, Orphan: true}
	step := []engine.Step{{Summary: hostile, Final: hostile}}
	return &engine.Plan{Hosts: []*engine.HostPlan{
		{Host: hostile, Changes: []engine.Change{
			{Address: hostile, Type: hostile, Action: engine.Create, After: attributes, Steps: step},
			{Address: hostile, Type: hostile, Action: engine.Update, Before: other, After: attributes, Steps: step},
			{Address: hostile, Type: hostile, Action: engine.Delete, Resource: r, Before: attributes, Steps: step},
		}, Notes: []string{hostile, hostile + "\n" + hostile}, Problems: []*engine.ResourceProblem{{Resource: r, Problem: engine.Problem{Severity: engine.Warning, Summary: hostile, Detail: hostile}}}},
		{Host: hostile, Err: errors.New(hostile + "\n" + hostile)},
		{Host: hostile},
	}}
}

func TestPlanHostile(t *testing.T) {
	t.Parallel()
	u, out, _ := newTest(Options{Width: 60})
	u.Plan(hostilePlan(), PlanOptions{})
	checkSafe(t, out.String())
	for _, h := range hostilePlan().Hosts {
		for i := range h.Changes {
			checkSafe(t, ChangeDiff(&h.Changes[i]))
		}
	}
}

// TestChangeDiff has an attribute of every kind; secrets are in none.
func TestChangeDiff(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range testPlan().Hosts[0].Changes {
		c := &testPlan().Hosts[0].Changes[i]
		b.WriteString("# " + c.Address + "\n" + ChangeDiff(c) + "\n")
	}
	checkSafe(t, b.String())
	if strings.Contains(b.String(), "canary") {
		t.Error("a sensitive value was printed")
	}
	golden(t, "change-diff", b.String())
}

func TestDiff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, before, after, want string }{
		{"equal", "a\n", "a\n", ""},
		{"line", "a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"},
		{"context of three", numbered(1, 9), numbered(1, 4) + numbered(6, 9), "@@ -2,7 +2,6 @@\n line 2\n line 3\n line 4\n-line 5\n line 6\n line 7\n line 8\n"},
		{"newline added", "a", "a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"},
		{"newline removed", "a\n", "a", "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"},
		{"from empty", "", "a\n", "@@ -0,0 +1 @@\n+a\n"},
		{"to empty", "a\n", "", "@@ -1 +0,0 @@\n-a\n"},
		{"line end", "a\r\n", "a\n", "@@ -1 +1 @@\n-a\\r\n+a\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, _, _ := newTest(Options{})
			if got := u.out.style.diffText(diff(c.before, c.after), "", maxDiffLines); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// TestLongDifference checks that a difference far to the right is seen.
func TestLongDifference(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("世界", 5000)
	for name, text := range map[string][2]string{"inline": {long + "OLD", long + "NEW"}, "lines": {"x\n" + long + "OLD\n", "x\n" + long + "NEW\n"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, out, _ := newTest(Options{})
			attribute := func(v string) []engine.Attribute { return []engine.Attribute{{Name: "content", Value: v}} }
			u.Plan(&engine.Plan{Hosts: []*engine.HostPlan{{Host: "a", Changes: []engine.Change{
				{Address: "a/file.b", Action: engine.Update, Before: attribute(text[0]), After: attribute(text[1])}}}}}, PlanOptions{})
			checkSafe(t, out.String())
			if !strings.Contains(out.String(), "OLD") || !strings.Contains(out.String(), "NEW") || out.Len() > 2000 {
				t.Errorf("got %s", out)
			}
		})
	}
}

// at is the address with this text.
func at(text string) engine.Address {
	a, _ := engine.ParseAddress(text)
	return a
}
