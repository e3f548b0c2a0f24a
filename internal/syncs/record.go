package syncs

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
)

// Record is the result of a sync: a line of the status file on a host, as the sync program writes
// it. Times are in seconds since 1970 by the host's clock.
type Record struct {
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Exit  int    `json:"exit"` // rsync's exit status, or the sync program's
	By    string `json:"by"`   // cron, timer, script or sync
	// Bytes and Files are what rsync received; nil if not known.
	Bytes *int64 `json:"bytes"`
	Files *int64 `json:"files"`
	// Size and Available are those of the file system at the end of the sync, in bytes.
	Size      *int64 `json:"size"`
	Available *int64 `json:"available"`
	// Unchanged reports that nothing was asked for, since the upstream was unchanged.
	Unchanged bool `json:"unchanged,omitempty"`
	// Upstream is the upstream that was used, if not the first one.
	Upstream string `json:"upstream,omitempty"`
	// UpstreamTime is the time of the upstream's TIME, or of the file that freshness names; 0 if not
	// known.
	UpstreamTime int64 `json:"upstream_time,omitempty"`
	// Unsent has the notifications of this sync that failed: on_failure, mail, url, ping.
	Unsent []string `json:"unsent,omitempty"`
	// RanOutOf is what a failed sync had no more of: space, inodes or quota; "" if something else
	// failed.
	RanOutOf string `json:"ran_out_of,omitempty"`
}

// Full is RanOutOf in words, such as "disk full", or "".
func (r *Record) Full() string { return fullWords[r.RanOutOf] }

var fullWords = map[string]string{"space": "disk full", "inodes": "no free inodes", "quota": "quota exceeded"}

// Succeeded reports whether the sync is complete. With rsync's status 24, some files vanished from
// the upstream during the sync, and the next sync fetches their replacements.
func (r *Record) Succeeded() bool { return r.Exit == 0 || r.Exit == 24 }

// Seconds returns how long the sync took. If the clock was set back in the meantime, it returns 0.
func (r *Record) Seconds() int64 { return max(r.End-r.Start, 0) }

// ParseRecords parses a status file. It skips invalid lines: the account that syncs can write
// anything there.
func ParseRecords(content []byte) []Record {
	const year9999 = 253402300799
	var list []Record
	for line := range bytes.Lines(content) {
		var r Record
		if len(line) > 4096 || json.Unmarshal(line, &r) != nil || r.Start <= 0 || r.End <= 0 || r.Start > year9999 || r.End > year9999 ||
			r.UpstreamTime < 0 || r.UpstreamTime > year9999 {
			continue
		}
		if slices.ContainsFunc([]*int64{r.Bytes, r.Files, r.Size, r.Available}, func(n *int64) bool { return n != nil && *n < 0 }) {
			continue
		}
		if r.Full() == "" {
			r.RanOutOf = "" // no words of this program
		}
		list = append(list, r)
	}
	return list
}

// DaysUntilFull returns when the file system will be full, if it keeps filling as between the
// oldest and the newest record since its last change of size; nil if that is not known, or if it is
// not filling. Only successful syncs count: a first sync in several parts would look like growth.
func DaysUntilFull(list []Record, available uint64) *float64 {
	list = slices.DeleteFunc(slices.Clone(list), func(r Record) bool { return !r.Succeeded() || r.Size == nil || r.Available == nil })
	if len(list) < 2 {
		return nil
	}
	newest := list[len(list)-1]
	oldest := list[slices.IndexFunc(list, func(r Record) bool { return *r.Size == *newest.Size })]
	filled, took := *oldest.Available-*newest.Available, newest.End-oldest.End
	if filled <= 0 || took <= 0 {
		return nil
	}
	days := math.Round(float64(available)/float64(filled)*float64(took)/864) / 100
	if math.IsInf(days, 0) || math.IsNaN(days) {
		return nil
	}
	return &days
}
