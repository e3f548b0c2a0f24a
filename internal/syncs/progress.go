package syncs

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Transfer is the progress of a sync.
type Transfer struct {
	Phase string // a word: "measuring", "syncing"
	Bytes int64  // transferred so far
	Total int64  // bytes to transfer; 0 if not known
	Speed int64  // in bytes per second; 0 if not known
}

// Percent returns how much has been transferred, from 0 to 100.
func (t Transfer) Percent() int {
	switch {
	case t.Total <= 0 || t.Bytes <= 0:
		return 0
	case t.Bytes >= t.Total:
		return 100
	}
	return int(float64(t.Bytes) / float64(t.Total) * 100)
}

// rsyncProgress matches a line of rsync's --info=progress2 (rsync(1)): bytes, percentage, speed and
// time. The percentage and the time are not used: they refer to the whole tree, including files
// that are up to date.
var rsyncProgress = regexp.MustCompile(`^\s*([0-9][0-9,.]*)\s+[0-9]{1,3}%\s+([0-9.,]+)([kMGTP]?B/s)\s+[0-9:]+`)

// rsyncUnits are the units of rsync's speed.
var rsyncUnits = map[string]float64{"B/s": 1, "kB/s": 1 << 10, "MB/s": 1 << 20, "GB/s": 1 << 30, "TB/s": 1 << 40, "PB/s": 1 << 50}

// ParseProgress reads the progress of a sync from the first lines of its output, where the sync
// program prints how much there is to transfer, and from the end of the output. Both contain file
// names from the upstream, and may be cut off anywhere.
func ParseProgress(head, end string) Transfer {
	t := Transfer{Phase: "starting"}
	for line := range strings.Lines(head) {
		line, whole := strings.CutSuffix(line, "\n")
		if line == "mirrorform: measuring" {
			t.Phase = "measuring"
		}
		amount, ok := strings.CutPrefix(line, "mirrorform: syncing ")
		if n, err := strconv.ParseInt(strings.TrimSuffix(amount, " bytes"), 10, 64); ok && whole && err == nil && n >= 0 {
			t.Phase, t.Total = "syncing", n
		}
	}
	for _, line := range strings.FieldsFunc(end, func(r rune) bool { return r == '\n' || r == '\r' }) {
		m := rsyncProgress.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		bytes, err := strconv.ParseInt(strings.NewReplacer(",", "", ".", "").Replace(m[1]), 10, 64)
		speed, speedErr := strconv.ParseFloat(strings.ReplaceAll(m[2], ",", "."), 64)
		if err == nil && speedErr == nil {
			t.Phase, t.Bytes, t.Speed = "syncing", bytes, int64(min(speed*rsyncUnits[m[3]], 1<<60))
		}
	}
	return t
}

// complaintStarts are the beginnings of lines that report an error.
var complaintStarts = []string{
	"rsync:", "rsync error:", "@ERROR", "mirrorform: the sync needs", "mirrorform: nothing is mounted", "mirrorform: rsync was", "mirrorform: held:",
	"mirrorform: the upstream", "mirrorform: not the claimed",
}

// complaints returns the last lines that report an error, of rsync and of the sync program.
func complaints(output string) []string {
	const most = 3
	var list []string
	for line := range strings.SplitSeq(strings.ReplaceAll(output, "\r", "\n"), "\n") {
		line = strings.TrimSpace(line)
		if slices.ContainsFunc(complaintStarts, func(start string) bool { return strings.HasPrefix(line, start) }) {
			list = append(list, line)
		}
	}
	return list[max(len(list)-most, 0):]
}
