package wire

// A transaction consists of all changes of one apply on a host. Begin takes the host's lock and
// first ends what an earlier transaction left behind. The operations of every Do up to Commit
// belong to the transaction. If an operation fails, or the controller asks for a rollback, goes
// silent or disconnects, all operations are rolled back. Commit ends the transaction, writes the
// manifest and releases the lock.

// MaxManifest is the largest size of a manifest, in bytes.
const MaxManifest = 8 << 20

// Begin requests the host's lock. The helper sends Waiting while another run has it, and then
// Begun.
type Begin struct {
	Operator string `json:"operator"` // shown to those who wait: "alice@laptop"
	Command  string `json:"command"`  // shown likewise: "apply"
	Wait     int    `json:"wait"`     // how long to wait for the lock, in seconds
}

// Waiting names the holder of the lock. It is sent at once, and again when the holder changes.
type Waiting struct {
	Holder Holder `json:"holder"`
}

// Holder is the holder of a host's lock.
type Holder struct {
	Operator string `json:"operator"`
	Command  string `json:"command"`
	From     string `json:"from,omitempty"` // source address of the operator's connection, if sshd reports it
	Since    string `json:"since"`          // when it took the lock, by the host's clock (RFC 3339)
	Seconds  int    `json:"seconds"`        // how long it has had the lock, by a clock that cannot be set
	// Process names the processes that keep the lock, such as "dpkg (process 812)". These may outlive
	// the holder's helper: a program that it started can still be running.
	Process string `json:"process,omitempty"`
}

// Begun is the answer to Begin.
type Begun struct {
	// Held is set if the lock was not free in time. Then no transaction has begun.
	Held *Holder `json:"held,omitempty"`
	ID   string  `json:"id,omitempty"` // of the transaction
	// Manifest is the current manifest, empty if there is no manifest.
	Manifest []byte `json:"manifest,omitempty"`
	// Recovered reports how a transaction that an earlier connection left open ended.
	Recovered *Recovered `json:"recovered,omitempty"`
}

// Recovered is the end of a transaction that was left open.
type Recovered struct {
	ID       string `json:"id"`
	Operator string `json:"operator"`
	Command  string `json:"command"`
	// Committed means that it was already committed, and only the cleanup was missing. Otherwise it
	// was rolled back.
	Committed bool     `json:"committed,omitempty"`
	Undone    int      `json:"undone,omitempty"` // number of operations that were rolled back
	Stays     []string `json:"stays,omitempty"`  // what was done and cannot be undone, one line each
	// Errors lists what could not be rolled back, one line each. The journal then stays in Journal, no
	// transaction has begun, and the next Begin tries again.
	Errors  []string `json:"errors,omitempty"`
	Journal string   `json:"journal,omitempty"`
}

// Rollback rolls back the operations of the transaction, as after a failure, and releases the lock.
type Rollback struct{}

// Confirmation requires that a transaction be confirmed over another connection before it commits.
type Confirmation struct {
	Nonce   string `json:"nonce"`   // known to this transaction only
	Timeout int    `json:"timeout"` // seconds from the end of each Do until the helper rolls back, unless Commit arrives
}

// Confirm confirms a transaction that another connection has open.
type Confirm struct {
	ID    string `json:"id"`
	Nonce string `json:"nonce"`
}

// Commit commits the transaction. If that fails and everything was rolled back, its Done has Error
// and Undone. Error without Undone means that the transaction may be committed, with another
// problem: the next Begin completes it.
type Commit struct {
	Manifest []byte `json:"manifest,omitempty"` // the new manifest; empty: it does not change
	Aside    bool   `json:"aside,omitempty"`    // keep the old manifest beside the new one
	// Next begins another transaction once this one is committed, without releasing the lock.
	Next bool `json:"next,omitempty"`
}
