package report

import "time"

// Status is what status --json prints. What is not known is null.
type Status struct {
	FormatVersion string       `json:"format_version"`
	Hosts         []HostStatus `json:"hosts"`
}

// HostStatus is how a host is.
type HostStatus struct {
	Name      string         `json:"name"`
	Reachable bool           `json:"reachable"`
	Error     string         `json:"error,omitempty"`
	Changes   *int           `json:"changes"` // of a plan
	Mirrors   []MirrorStatus `json:"mirrors"`
}

// MirrorStatus is how a mirror on a host is. Ages and times are by the host's own clock.
type MirrorStatus struct {
	Name          string      `json:"name"`
	Path          string      `json:"path"`
	Error         string      `json:"error,omitempty"`
	LastSync      *SyncRecord `json:"last_sync"`
	LastSyncAge   *int64      `json:"last_sync_age_seconds"`
	TimeAge       *int64      `json:"time_age_seconds"` // of the tree's TIME
	Used          *uint64     `json:"used_bytes"`
	Available     *uint64     `json:"available_bytes"`
	DaysUntilFull *float64    `json:"days_until_full"`
	NextRun       *time.Time  `json:"next_run"`
	Locked        *bool       `json:"locked"`
}

// SyncRecord is how a sync went.
type SyncRecord struct {
	Start     int64  `json:"start"` // Unix time, as End
	End       int64  `json:"end"`
	Exit      int    `json:"exit"` // rsync's status, or the script's
	By        string `json:"by"`   // cron, script or sync
	Bytes     *int64 `json:"bytes"`
	Files     *int64 `json:"files"`
	Size      *int64 `json:"size"` // bytes of the file system, as Available
	Available *int64 `json:"available"`
}
