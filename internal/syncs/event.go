package syncs

// Stage is a stage in the sync of a mirror, or in all syncs of a host.
type Stage string

// The stages of a mirror's sync, and those of a host when all of its syncs have ended.
const (
	Started      Stage = "sync-started" // it runs; with --follow, it was already running
	InProgress   Stage = "sync-progress"
	Done         Stage = "sync-done"
	Failed       Stage = "sync-failed"
	HostSynced   Stage = "synced"     // of all mirrors of the host
	HostUnsynced Stage = "not-synced" // at least one of them was not, or the host was unreachable
)

// Event reports a stage of a mirror's sync, or of a host's.
type Event struct {
	Stage    Stage
	Host     string
	Mirror   string    // "" for the stages of a host
	Transfer *Transfer // InProgress
	Record   *Record   // for Done; for Failed if there is a record
	Err      error     // Failed, HostUnsynced
}
