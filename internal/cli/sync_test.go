package cli

import (
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/ui"
)

// FuzzSyncText has foreign bytes for rsync's output and the status file, which the account that
// syncs may write: what is printed of them is bounded.
func FuzzSyncText(f *testing.F) {
	f.Add("mirrorform: syncing 9 bytes\n", "\r 3000000  60%  707.44MB/s    0:00:00 (xfr#1, to-chk=1/3)", `{"start":1,"end":2,"exit":0,"by":"cron","bytes":3,"files":4}`)
	f.Add("mirrorform: syncing ", "rsync error: x\x1b]52;c;\x07", `{"start":1,"end":99999999999999999999}`)
	f.Fuzz(func(t *testing.T, head, output, records string) {
		p := syncs.ParseProgress(head, output)
		if text := ui.TransferText(p); strings.Contains(text, "-") || len(text) > 80 {
			t.Errorf("%+v is %q", p, text)
		}
		for _, r := range syncs.ParseRecords([]byte(records)) {
			if text := describeRecord(&r); strings.Contains(text, "-") {
				t.Errorf("%+v is %q", r, text)
			}
		}
	})
}
