package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// TestFault14DriftAfterPlan: the host is edited between plan and apply. Nothing is written, and the
// resource is named.
func TestFault14DriftAfterPlan(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := newSite(t, host{Host: h})
	config := func(content string) {
		s.write("main.hcl", fileBlocks("host.h", "f", 3, content)+
			"resource \"cron\" \"c\" {\n  hosts    = [host.h]\n  name     = \"ctl\"\n  schedule = \"0 0 1 1 *\"\n  command  = [\"/bin/true\", \""+strings.TrimSpace(content)+"\"]\n}\n")
	}
	config("old\n")
	s.apply().says(t, 0)
	edits := []struct{ name, edit, resource string }{
		{"content", "echo by hand >/etc/ctl/f2", "h/file.f2"},
		{"mode", "chmod 0600 /etc/ctl/f3", "h/file.f3"},
		{"removed", "rm /etc/ctl/f1", "h/file.f1"},
		{"owner", "chown plain /etc/cron.d/ctl", "h/cron.c"},
		{"a link in place of the file", "cd /etc/ctl && mv f1 f1.away && ln -s f1.away f1", "h/file.f1"},
		{"a directory in place of the file", "cd /etc/ctl && rm f2 && mkdir f2", "h/file.f2"},
	}
	edits = edits[:size(3, len(edits))]
	for i, e := range edits {
		old, young := fmt.Sprint("old", i, "\n"), fmt.Sprint("new", i, "\n")
		repair := func() {
			sh(t, h, "cd /etc/ctl && { [ ! -d f2 ] || rmdir f2; }; [ ! -h f1 ] || rm f1; rm -f f1.away; for f in f?; do chmod 0644 $f; done")
		}
		config(old)
		s.apply().says(t, 0)
		config(young)

		// After plan --out.
		s.run("plan", "--out", "p.plan").says(t, 0)
		sh(t, h, e.edit)
		check := unwritten(t, h)
		status, says := 1, "plan is stale"
		if strings.Contains(e.name, "directory") {
			status, says = 1, "no host was changed" // what is found has no plan
		}
		s.run("apply", "p.plan").says(t, status, says, strings.TrimPrefix(e.resource, "h/"))
		check(e.name + " after plan --out")
		config(old)
		repair()
		s.apply().says(t, 0)
		config(young)

		// While apply asks.
		asked := s.startOnTerminal("apply")
		asked.until("Answer:")
		sh(t, h, e.edit)
		check = unwritten(t, h)
		asked.say("yes")
		r := asked.wait()
		r.says(t, 1, e.resource, "has changed")
		clean(t, h)
		check(e.name + " while apply asks")
		repair()
		oracle(t, s, h, r)
		uniform(t, h, "f", 3, young)
	}
	// Without an edit, the answer is all that it waits for; and a saved plan applies once.
	config("last\n")
	asked := s.startOnTerminal("apply")
	asked.until("Answer:")
	asked.say("yes")
	asked.wait().says(t, 0)
	uniform(t, h, "f", 3, "last\n")
	config("once\n")
	s.run("plan", "--out", "p.plan").says(t, 0)
	s.run("apply", "p.plan").says(t, 0)
	s.run("apply", "p.plan").says(t, 1, "plan is stale")
	uniform(t, h, "f", 3, "once\n")
	oracle(t, s, h, result{exit: 1})
	record(t, 14, "edit on the host after the plan", 2*len(edits), "refused with the name of the resource; nothing written")
}

// TestFault16ConfigurationChanged: the configuration is edited after plan --out. The plan is
// refused.
func TestFault16ConfigurationChanged(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := newSite(t, host{Host: h})
	base := "variable \"v\" {\n  default = \"new\"\n}\n" +
		strings.ReplaceAll(fileBlocks("host.h", "f", 2, "VALUE\n"), `"VALUE\n"`, `"${var.v}\n"`)
	s.write("main.hcl", fileBlocks("host.h", "f", 2, "old\n"))
	s.apply().says(t, 0)
	s.write("main.hcl", base)
	s.run("plan", "--out", "p.plan").says(t, 0)
	plan, err := os.ReadFile(filepath.Join(s.dir, "p.plan"))
	if err != nil {
		t.Fatal(err)
	}
	edits := []struct {
		name, config string
		args         []string
		says         string
	}{
		{"content", strings.Replace(base, "${var.v}", "${var.v}!", 1), nil, "h/file.f1"},
		{"a resource more", base + fileBlock("host.h", "more", "/etc/ctl/more", "x\n", ""), nil, "h/file.more"},
		{"a resource less", strings.Replace(base, "\"f2\"", "\"f3\"", 1), nil, "h/file.f"},
		{"a mode", strings.Replace(base, "  content", "  mode = \"0600\"\n  content", 1), nil, "h/file.f1"},
		{"a variable's default", strings.Replace(base, "\"new\"", "\"newer\"", 1), nil, "h/file.f1"},
		{"a dependency", strings.Replace(base, "  content", "  depends_on = [file.f2]\n  content", 1), nil, "h/file.f1"},
	}
	edits = edits[:size(4, len(edits))]
	check := unwritten(t, h)
	for _, e := range edits {
		s.write("main.hcl", e.config)
		s.run("apply", "p.plan").says(t, 1, "plan is stale", e.says)
	}
	s.write("main.hcl", base)
	s.env = append(s.env, "MIRRORFORM_VAR_v=another")
	s.run("apply", "p.plan").says(t, 1, "plan is stale", "h/file.f1")
	s.env = s.env[:len(s.env)-1]
	// The plan's own file is damaged. What reads the same is the same: JSON has names that do not matter where the value is zero.
	sound, err := engine.DecodeSaved(plan)
	if err != nil {
		t.Fatal(err)
	}
	damages := 0
	for _, at := range spread(len(plan), size(10, 200)) {
		damaged := append([]byte(nil), plan...)
		damaged[at-1] ^= 1
		if read, err := engine.DecodeSaved(damaged); err == nil {
			if !reflect.DeepEqual(read, sound) {
				t.Errorf("byte %d of the plan flipped: it is taken for another plan", at-1)
			}
			continue
		}
		damages++
		s.write("damaged.plan", string(damaged))
		if r := s.run("apply", "damaged.plan"); r.exit != 1 {
			t.Errorf("byte %d of the plan flipped: exit status %d:\n%s", at-1, r.exit, r.output)
		}
	}
	check("stale and damaged plans")
	// It was none of the plan itself.
	r := s.run("apply", "p.plan")
	r.says(t, 0)
	uniform(t, h, "f", 2, "new\n")
	oracle(t, s, h, r)
	record(t, 16, "configuration or plan file changed after the plan", len(edits)+1+damages, "refused; nothing written")
}
