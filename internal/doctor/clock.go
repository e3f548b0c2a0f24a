package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Differences of clocks: above the first, times in logs and metrics mislead; above the second,
// certificates and freshness do.
const (
	clockWarning = 5 * time.Second
	clockFault   = time.Minute
)

// clock compares the host's clock with ours. The host answered at some moment between the question
// and the answer.
func clock(s *Seen) Finding {
	const fix = "let the host keep its time: timedatectl set-ntp true, with systemd-timesyncd or chrony"
	r, err := s.Answers.Run(clockQuery)
	seconds, parseErr := strconv.ParseFloat(strings.TrimSpace(r.Stdout), 64)
	if err != nil || r.Exit != 0 || parseErr != nil {
		return Finding{Warning, "clock", "the host's clock could not be read", "look with timedatectl on the host"}
	}
	there := time.Unix(0, int64(seconds*1e9))
	off := max(s.Asked.Sub(there), there.Sub(s.Answered), 0)
	word := "behind"
	if there.After(s.Answered) {
		word = "ahead of"
	}
	text := fmt.Sprintf("%s %s ours", off.Round(time.Second), word)
	switch {
	case off >= clockFault:
		return Finding{Fault, "clock", text + ": certificates and freshness depend on it", fix}
	case off >= clockWarning:
		return Finding{Warning, "clock", text, fix}
	}
	return Finding{OK, "clock", "as ours", ""}
}
