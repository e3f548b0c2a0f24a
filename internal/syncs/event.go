package syncs

// Stage is what happened to the sync of a mirror, or to all those of a host.
type Stage string

// The stages of a mirror's sync, and those of a host when all of them have ended.
const (
	Started      Stage = "sync-started" // it runs; with --follow, it ran already
	InProgress   Stage = "sync-progress"
	Done         Stage = "sync-done"
	Failed       Stage = "sync-failed"
	HostSynced   Stage = "synced"     // all of the host's
	HostUnsynced Stage = "not-synced" // one of them at least was not, or the host was not reached
)

// Event is what there is to tell of the sync of a mirror, or of a host's.
type Event struct {
	Stage    Stage
	Host     string
	Mirror   string    // "" for the stages of a host
	Transfer *Transfer // InProgress
	Record   *Record   // Done; Failed where there is one
	Err      error     // Failed, HostUnsynced
}
