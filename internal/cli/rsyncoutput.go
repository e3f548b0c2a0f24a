package cli

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/ui"
)

// rsyncProgress is a line of rsync's --info=progress2 (rsync(1)): bytes, percent, speed, time, and what is done of it.
var rsyncProgress = regexp.MustCompile(`^\s*([0-9][0-9,.]*[KMGTP]?)\s+([0-9]{1,3})%\s+([0-9.,]+[kKMGTP]?B/s)\s+([0-9:]+)`)

// parseProgress reads how far a sync is from the end of its output. It has foreign bytes in it, and may begin and end anywhere.
func parseProgress(output string) ui.Transfer {
	t := ui.Transfer{Phase: "starting"}
	for _, line := range strings.FieldsFunc(output, func(r rune) bool { return r == '\n' || r == '\r' }) {
		switch m := rsyncProgress.FindStringSubmatch(line); {
		case m != nil:
			bytes, err := strconv.ParseInt(strings.NewReplacer(",", "", ".", "").Replace(m[1]), 10, 64)
			percent, _ := strconv.Atoi(m[2])
			if err == nil {
				t = ui.Transfer{Phase: "syncing", Bytes: bytes, Percent: min(percent, 100), Speed: m[3]}
			}
		case line == "mirrorform: measuring":
			t = ui.Transfer{Phase: "measuring"}
		case strings.HasPrefix(line, "mirrorform: syncing "):
			t = ui.Transfer{Phase: "syncing"}
		}
	}
	return t
}

// complaints are the last lines that say what went wrong: rsync's and the script's own.
func complaints(output string) []string {
	const most = 3
	var list []string
	for line := range strings.SplitSeq(strings.ReplaceAll(output, "\r", "\n"), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "rsync:") || strings.HasPrefix(line, "rsync error:") || strings.HasPrefix(line, "@ERROR") ||
			strings.HasPrefix(line, "mirrorform: the sync needs") || strings.HasPrefix(line, "mirrorform: nothing is mounted") || strings.HasPrefix(line, "mirrorform: rsync was") {
			list = append(list, line)
		}
	}
	return list[max(len(list)-most, 0):]
}
