package faults

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
)

// TestFault29Clocks: all recorded times are off by ten years, in both directions: the times of all
// files that mirrorform manages or keeps on the host, the start times in the lock and the journal,
// and the time of a saved plan. The clock of the test machine does not change, since other programs
// use it. mirrorform compares no times between hosts, so everything works as usual.
func TestFault29Clocks(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s, second := newSite(t, host{Host: h}), newSite(t, host{Host: h})
	second.write("main.hcl", fileBlocks("host.h", "f", 2, "second\n"))
	config := func(content string) {
		s.write("main.hcl", fileBlocks("host.h", "f", 2, content)+heldFile("host.h", content))
	}
	config("old\n")
	s.apply().says(t, 0)
	years := []int{-10, 10, -45, 80}
	years = years[:size(2, len(years))]
	injections := 0
	for _, y := range years {
		then := time.Now().AddDate(y, 0, 0).UTC()
		stamp, year := then.Format(time.RFC3339), fmt.Sprint(time.Now().UTC().Year())
		set := func() {
			sh(t, h, "find /etc/ctl /etc/machine-id "+stateDir+" -exec touch -h -d "+stamp+" {} +")
			injections++
		}
		// rewrite changes the year wherever the files say one, in place, so that locks stay.
		rewrite := func(files string) {
			sh(t, h, "n=0; for f in "+files+"; do grep -q '"+year+"-' $f || continue; n=1; sed 's/"+year+"-/"+fmt.Sprint(then.Year())+"-/g' $f >/run/edited && cat /run/edited >$f; done; [ $n = 1 ]")
			injections++
		}
		set()
		s.run("plan", "--detailed-exitcode").says(t, 0)

		// A saved plan from another time, on a host whose files are from another time than when it was made.
		content := fmt.Sprint("planned ", y, "\n")
		config(content)
		s.run("plan", "--out", "p.plan").says(t, 0)
		text, err := os.ReadFile(filepath.Join(s.dir, "p.plan"))
		if err != nil {
			t.Fatal(err)
		}
		saved, err := engine.DecodeSaved(text)
		if err != nil {
			t.Fatal(err)
		}
		saved.Time = then
		if text, err = reseated(saved); err != nil {
			t.Fatal(err)
		}
		s.write("p.plan", string(text))
		injections++
		s.run("apply", "p.plan").says(t, 0)
		uniform(t, h, "f", 2, content)

		// The lock: who waits, waits as long as he said, and not until a time that somebody wrote.
		content = fmt.Sprint("held ", y, "\n")
		config(content)
		reached, letGo := detain(t, h)
		run := s.start("apply", "--auto-approve")
		reached()
		pid := holder(t, h)
		on(t, h, "kill", "-STOP", pid)
		rewrite(stateDir + "/lock")
		set()
		second.apply("--lock-timeout", "1s").says(t, 1, "locked by another run", fmt.Sprint(then.Year(), "-"))
		on(t, h, "kill", "-CONT", pid)
		letGo()
		run.wait().says(t, 0)
		uniform(t, h, "f", 2, content)

		// The journal of a helper that was killed: it is taken back however old or young it is.
		config(fmt.Sprint("killed ", y, "\n"))
		reached, letGo = detain(t, h)
		run = s.start("apply", "--auto-approve")
		reached()
		pid = holder(t, h)
		on(t, h, "kill", "-STOP", pid)
		run.kill()
		on(t, h, "kill", "-KILL", pid)
		r := run.wait()
		letGo() // the check that still runs has the lock as well, until it ends
		rewrite(stateDir + "/journal/*/transaction.json")
		set()
		oracle(t, s, h, r)
		uniform(t, h, "f", 2, fmt.Sprint("killed ", y, "\n"))
	}
	record(t, 29, "file times, lock, journal and saved plan off by years", injections, "no effect, since times are not compared")
}

// reseated encodes an edited saved plan with a valid checksum (see engine.SavedPlan).
func reseated(s *engine.SavedPlan) ([]byte, error) {
	edited := *s
	edited.Checksum = ""
	text, err := json.Marshal(edited)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	edited.Checksum = hex.EncodeToString(sum[:])
	return edited.Encode()
}
