package faults

import (
	"fmt"
	"strings"
	"testing"
)

// TestFault30RollbackFails: a rollback fails because of an obstacle on the host. The journal is
// kept and the failure is reported. After the obstacle is removed, the next apply rolls back and
// continues.
func TestFault30RollbackFails(t *testing.T) {
	t.Parallel()
	h := boot(t)
	if !succeeds(h, "mkdir /etc/probe && chattr +i /etc/probe && chattr -i /etc/probe && rmdir /etc/probe") {
		t.Fatal("the host's file system has no immutable attribute (chattr(1))")
	}
	s := newSite(t, host{Host: h})
	const hook = "/usr/local/bin/hook"
	// The check of the last file's content does what somebody else might, and fails.
	failing := fileBlock("host.h", "z", "/etc/ctl2/z", "z\n", "  validate = [\""+hook+"\", \"{}\"]\n  depends_on = [file.f1, file.f2]\n")
	s.write("main.hcl", fileBlocks("host.h", "f", 2, "old\n")+fileBlock("host.h", "other", "/etc/ctl2/y", "old\n", ""))
	s.apply().says(t, 0)
	cases := []struct {
		name, hook, repair string
		stuck              bool   // taking back fails until the repair
		kept               string // what f1 holds in the end, where it is somebody else's
	}{
		{"an immutable directory", "chattr +i /etc/ctl", "chattr -i /etc/ctl", true, ""},
		{"an immutable file", "chattr +i /etc/ctl/f1", "chattr -i /etc/ctl/f1", true, ""},
		{"the file was replaced by somebody", "rm /etc/ctl/f1; echo somebody >/etc/ctl/f1", "true", false, "somebody\n"},
		{"the file was removed by somebody", "rm /etc/ctl/f1", "true", false, ""},
		{"the directory was removed by somebody", "rm -r /etc/ctl", "true", false, ""},
	}
	cases = cases[:size(3, len(cases))]
	for i, c := range cases {
		young := fmt.Sprint("new", i, "\n")
		put(t, h, hook, "#!/bin/sh\n"+c.hook+"\nexit 1\n", 0o755)
		good := fileBlocks("host.h", "f", 2, young) + fileBlock("host.h", "other", "/etc/ctl2/y", young, "")
		s.write("main.hcl", good+failing)
		r := s.apply()
		r.says(t, 1)
		for _, untrue := range []string{"Apply complete", "the host is as it was before."} {
			if strings.Contains(r.output, untrue) {
				t.Errorf("%s: it says %q:\n%s", c.name, untrue, r.output)
			}
		}
		if c.stuck {
			if !strings.Contains(r.output, stateDir+"/journal") {
				t.Errorf("%s: where the originals are is not told:\n%s", c.name, r.output)
			}
			if !succeeds(h, "ls "+stateDir+"/journal/*/transaction.json") {
				t.Errorf("%s: the journal was not kept", c.name)
			}
			// Nothing new begins on a host in that state; everything else was taken back.
			again := s.apply()
			again.says(t, 1, "some changes could not be rolled back")
			if y := read(t, h, "/etc/ctl2/y"); y == young {
				t.Errorf("%s: what could be taken back was not: %q", c.name, y)
			}
		}
		sh(t, h, c.repair)
		if c.kept != "" {
			if f1 := read(t, h, "/etc/ctl/f1"); f1 != c.kept {
				t.Errorf("%s: somebody else's work was overwritten: %q", c.name, f1)
			}
			if !strings.Contains(r.output, stateDir+"/kept") || !succeeds(h, "find "+stateDir+"/kept -type f | grep -q .") {
				t.Errorf("%s: the original is not kept, or where is not told:\n%s", c.name, r.output)
			}
		}
		put(t, h, hook, "#!/bin/sh\nexit 0\n", 0o755)
		s.write("main.hcl", good)
		oracle(t, s, h, r)
		uniform(t, h, "f", 2, young)
	}
	record(t, 30, "rollback that fails", len(cases), "journal or original kept and reported; exit status 1; repaired by the next apply")
}
