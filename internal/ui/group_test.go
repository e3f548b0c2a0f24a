package ui

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// fleetPlan is the plan of n hosts that get the same site and file. change changes those of a host.
func fleetPlan(n int, change func(i int, h *engine.HostPlan)) *engine.Plan {
	p := &engine.Plan{}
	for i := range n {
		name := fmt.Sprintf("m%02d", i)
		address := fmt.Sprintf("192.0.2.%d", i+1)
		content := "server_name " + name + ".example.org;\nlisten " + address + ":80;\nreturn 200 " + strings.Repeat(fmt.Sprintf("%02x", i), 32) + ";\n"
		h := &engine.HostPlan{Host: name, Changes: []engine.Change{
			{
				Address: name + "/mirror.almalinux.site", Type: "nginx_site", Action: engine.Create,
				After: []engine.Attribute{
					{Name: "server_name", Value: []string{name + ".example.org", address}}, {Name: "address", Value: address},
					{Name: "content", Value: content}, {Name: "mode", Value: "0644"},
				},
				Steps: []engine.Step{{Summary: "create /etc/nginx/conf.d/" + name + ".conf"}},
			},
			{
				Address: name + "/file.motd", Type: "file", Action: engine.Update,
				Before: []engine.Attribute{{Name: "content", Value: "old\n"}}, After: []engine.Attribute{{Name: "content", Value: "one\ntwo " + name + "\n"}},
				Steps: []engine.Step{{Summary: "write /etc/motd"}},
			},
		}}
		if change != nil {
			change(i, h)
		}
		p.Hosts = append(p.Hosts, h)
	}
	return p
}

func planText(p *engine.Plan, o PlanOptions) string {
	u, out, _ := newTest(Options{Color: "never"})
	u.Plan(p, o)
	return out.String()
}

// TestGroup: hosts whose plans differ in their own names and addresses alone are printed once.
func TestGroup(t *testing.T) {
	t.Parallel()
	want := `m00, m01, m02, m03, m04, m05, m06, m07 and 10 more: on each, 1 to create, 1 to update
  + ‹host›/mirror.almalinux.site
      server_name = ["‹host›.example.org", "‹address›"]
      address     = "‹address›"
      content     = (3 lines, see --expand)
      mode        = "0644"
      → create /etc/nginx/conf.d/‹host›.conf

  ~ ‹host›/file.motd
      content:
        @@ -1 +1,2 @@
        -old
        +one
        +two ‹host›
      → write /etc/motd

Plan: 18 to create, 18 to update, 0 to delete on 18 hosts.
`
	if got := planText(fleetPlan(18, nil), PlanOptions{}); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := planText(fleetPlan(18, nil), PlanOptions{Expand: true}); strings.Contains(got, "‹") || strings.Count(got, "two m") != 18 {
		t.Errorf("expanded:\n%s", got)
	}
	if got := planText(fleetPlan(2, nil), PlanOptions{}); strings.Contains(got, "‹") {
		t.Errorf("two hosts:\n%s", got)
	}
	u, out, _ := newTest(Options{Color: "always"})
	u.Plan(fleetPlan(5, nil), PlanOptions{})
	if strings.Contains(out.String(), "m00/") || strings.Contains(out.String(), "192.0.2.1") {
		t.Errorf("in colour:\n%q", out.String())
	}
}

// TestGroupKeepsDifferences: whatever else differs on one host keeps it out of the group.
func TestGroupKeepsDifferences(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(h *engine.HostPlan){
		"a mode":             func(h *engine.HostPlan) { h.Changes[0].After[3].Value = "0600" },
		"a name of another":  func(h *engine.HostPlan) { h.Changes[0].After[0].Value = []string{"m01.example.org"} },
		"another address":    func(h *engine.HostPlan) { h.Changes[0].After[0].Value = []string{"m04.example.org", "192.0.2.1"} },
		"a line far below":   func(h *engine.HostPlan) { h.Changes[1].After[0].Value = strings.Repeat("x\n", 500) + "y\n" },
		"a digest in a file": func(h *engine.HostPlan) { h.Changes[1].After[0].Value = "one\n" + strings.Repeat("ab", 32) + "\n" },
		"generated content": func(h *engine.HostPlan) {
			h.Changes[0].After[2].Value = strings.Replace(h.Changes[0].After[2].Value.(string), ":80", ":81", 1)
		},
		"an action":     func(h *engine.HostPlan) { h.Changes[0].Action = engine.Replace },
		"a step":        func(h *engine.HostPlan) { h.Changes[1].Steps[0].Summary = "write /etc/motd.d" },
		"what is final": func(h *engine.HostPlan) { h.Changes[1].Steps[0].Final = "it makes a file system" },
		"a problem": func(h *engine.HostPlan) {
			h.Problems = []*engine.ResourceProblem{{Problem: engine.Problem{Severity: engine.Warning, Summary: "w"}}}
		},
		"a note":          func(h *engine.HostPlan) { h.Notes = []string{"locked"} },
		"one change less": func(h *engine.HostPlan) { h.Changes = h.Changes[:1] },
	} {
		got := planText(fleetPlan(6, func(i int, h *engine.HostPlan) {
			if i == 4 {
				change(h)
			}
		}), PlanOptions{})
		if !strings.Contains(got, "m00, m01, m02, m03, m05: on each,") || !strings.Contains(got, "\nm04: ") || strings.Count(got, "Plan:") != 1 {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

// One changed value on 200 hosts is less than 20 lines, and costs little.
func TestGroupOfMany(t *testing.T) {
	t.Parallel()
	got := planText(fleetPlan(200, func(_ int, h *engine.HostPlan) { h.Changes = h.Changes[1:] }), PlanOptions{})
	if n := strings.Count(got, "\n"); n >= 20 {
		t.Errorf("%d lines:\n%s", n, got)
	}
}

func BenchmarkGroups(b *testing.B) {
	p := fleetPlan(1000, nil)
	for _, expand := range []bool{false, true} {
		b.Run(fmt.Sprint(expand), func(b *testing.B) {
			for b.Loop() {
				planText(p, PlanOptions{Expand: expand})
			}
		})
	}
}
