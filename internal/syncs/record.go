package syncs

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
)

// Record is how a sync went: a line of the file of records on a host, as the sync script writes it.
// Times are seconds since 1970 by the host's clock.
type Record struct {
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Exit  int    `json:"exit"` // rsync's status, or the script's
	By    string `json:"by"`   // cron, script or sync
	// Bytes and Files are what rsync received; nil where that is not known.
	Bytes *int64 `json:"bytes"`
	Files *int64 `json:"files"`
	// Size and Available are bytes of the file system when the sync ended.
	Size      *int64 `json:"size"`
	Available *int64 `json:"available"`
}

// Succeeded tells whether a sync did all there was to do. With rsync's 24 some files vanished
// upstream meanwhile, and the next sync brings what replaced them.
func (r *Record) Succeeded() bool { return r.Exit == 0 || r.Exit == 24 }

// Seconds is how long the sync took. A clock that was set back meanwhile gives 0.
func (r *Record) Seconds() int64 { return max(r.End-r.Start, 0) }

// ParseRecords reads a status file. Lines that are no records are left out: the account that syncs
// can write anything there.
func ParseRecords(content []byte) []Record {
	const year9999 = 253402300799
	var list []Record
	for line := range bytes.Lines(content) {
		var r Record
		if len(line) > 4096 || json.Unmarshal(line, &r) != nil || r.Start <= 0 || r.End <= 0 || r.Start > year9999 || r.End > year9999 {
			continue
		}
		if slices.ContainsFunc([]*int64{r.Bytes, r.Files, r.Size, r.Available}, func(n *int64) bool { return n != nil && *n < 0 }) {
			continue
		}
		list = append(list, r)
	}
	return list
}

// DaysUntilFull is when the file system is full if it goes on filling as between the oldest and the
// newest of the records since it has its size; nil when that is not known, or it does not fill.
// Only syncs that succeeded count: what a first sync brings in pieces is no growth.
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
