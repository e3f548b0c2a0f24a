package faults

import (
	"strings"
	"testing"
)

// swapper runs continuously and creates programs wherever the login account can write a program
// that root might run: under the helper's name, and under every other name as soon as it appears
// there. Each program records that it was run as root.
const swapper = `wrapper="#!/bin/sh
test \$(id -u) != 0 || echo \$0 >>/var/tmp/ran-as-root
"
mkdir -p "$HOME/.cache/mirrorform" /var/tmp/mirrorform-admin /dev/shm/mirrorform-admin
while test -e /var/tmp/swap; do
  for dir in "$HOME/.cache/mirrorform" /var/tmp/mirrorform-admin /dev/shm/mirrorform-admin; do
    for name in "$@" $(ls -A "$dir"); do
      printf %s "$wrapper" >"$dir/.new" && chmod 755 "$dir/.new" && mv -f "$dir/.new" "$dir/$name"
    done
  done
  touch /var/tmp/swapping
done`

// The login account replaces its files with other programs while the helper is pushed, while it
// runs, and between two runs. Root runs only programs that it created and verified in a directory
// that only root can write to.
func TestFault40SwappedHelper(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := newSite(t, host{Host: h, User: "admin", Become: "sudo"})
	s.write("fleet.hcl", fileBlocks("host.h", "f", 2, "old\n"))
	r := s.apply()
	r.says(t, 0)
	name := strings.TrimSpace(sh(t, h, "basename /var/lib/mirrorform/helper/helper-*"))

	sh(t, h, "touch /var/tmp/swap; chmod 666 /var/tmp/swap")
	put(t, h, "/usr/local/bin/swapper", "#!/bin/sh\n"+swapper+"\n", 0o755)
	on(t, h, "systemd-run", "--collect", "--unit=swapper", "--uid=admin", "--setenv=HOME=/home/admin", "/usr/local/bin/swapper", name)
	sh(t, h, "until test -e /var/tmp/swapping; do sleep 0.1; done")

	runs := 0
	for i, fresh := range []bool{false, true} {
		if fresh {
			on(t, h, "rm", "-r", "/var/lib/mirrorform/helper")
		}
		content := strings.Repeat("new", i+1) + "\n"
		s.write("fleet.hcl", fileBlocks("host.h", "f", 2, content))
		if p := s.run("plan", "--detailed-exitcode"); p.exit != 2 {
			t.Errorf("the plan has exit status %d:\n%s", p.exit, p.output)
		}
		if fresh {
			on(t, h, "rm", "-r", "/var/lib/mirrorform/helper")
		}
		r = s.apply()
		r.says(t, 0)
		uniform(t, h, "f", 2, content)
		runs += 2
	}
	if ran := sh(t, h, "cat /var/tmp/ran-as-root 2>/dev/null || true"); ran != "" {
		t.Errorf("root ran what the login account put there:\n%s", ran)
	}
	// What is planted is a program that runs, and says so when root runs it.
	if planted := sh(t, h, "/home/admin/.cache/mirrorform/"+name+"; cat /var/tmp/ran-as-root"); !strings.Contains(planted, name) {
		t.Errorf("the planted program says %q", planted)
	}
	sh(t, h, "rm /var/tmp/swap /var/tmp/ran-as-root; while systemctl is-active -q swapper; do sleep 0.1; done")
	oracle(t, s, h, r)
	record(t, 40, "the login account swaps the helper, while it is pushed and while it runs", runs, "root runs only programs that it verified in a directory that only root can write to")
}
