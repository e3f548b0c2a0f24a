package wire

// A transaction is all that one apply changes on a host. Begin takes the host's lock, and first ends what an earlier transaction left behind; the
// operations of every Do up to Commit belong to it. When an operation fails, when the controller asks for it, goes silent or goes away, all of them are
// taken back. Commit ends the transaction, writes the manifest and gives the lock back.

// MaxManifest is the size of the largest manifest, in bytes.
const MaxManifest = 8 << 20

// Begin asks for the host's lock. The helper sends Waiting while another one has it, and then Begun.
type Begin struct {
	Operator string `json:"operator"` // who this is, as others are told it who have to wait: "alice@laptop"
	Command  string `json:"command"`  // what for: "apply"
	Wait     int    `json:"wait"`     // seconds that the lock is waited for
}

// Waiting tells who has the lock. It is sent at once, and again when the holder is another one.
type Waiting struct {
	Holder Holder `json:"holder"`
}

// Holder is who has a host's lock.
type Holder struct {
	Operator string `json:"operator"`
	Command  string `json:"command"`
	From     string `json:"from,omitempty"` // address that the operator's connection comes from, where sshd told it
	Since    string `json:"since"`          // when it took the lock, by the host's own clock (RFC 3339)
	Seconds  int    `json:"seconds"`        // for how long it has had it, by a clock that nobody sets
	// Process names the processes that keep the lock, as "dpkg (process 812)". It is longer than the holder's helper when that has gone and
	// what it started still runs.
	Process string `json:"process,omitempty"`
}

// Begun answers Begin.
type Begun struct {
	// Held is set when the lock was not to be had in time: nothing has begun.
	Held *Holder `json:"held,omitempty"`
	ID   string  `json:"id,omitempty"` // of the transaction
	// Manifest is the manifest as it is now; empty when there is none.
	Manifest []byte `json:"manifest,omitempty"`
	// Recovered says what became of a transaction that an earlier connection left open.
	Recovered *Recovered `json:"recovered,omitempty"`
}

// Recovered is the end of a transaction that was left open.
type Recovered struct {
	ID       string `json:"id"`
	Operator string `json:"operator"`
	Command  string `json:"command"`
	// Committed: it had been committed, and only its cleaning up was missing. Otherwise it was taken back.
	Committed bool     `json:"committed,omitempty"`
	Undone    int      `json:"undone,omitempty"` // operations that were taken back
	Stays     []string `json:"stays,omitempty"`  // what was done and could not be taken back by its nature, one line each
	// Errors is what could not be taken back, one line each. The journal stays in Journal then, nothing has begun, and Begin will try again.
	Errors  []string `json:"errors,omitempty"`
	Journal string   `json:"journal,omitempty"`
}

// Rollback takes back the operations of the transaction, as a failed one does, and gives the lock back.
type Rollback struct{}

// Confirmation asks that a transaction be confirmed over another connection before it may be committed.
type Confirmation struct {
	Nonce   string `json:"nonce"`   // of this transaction alone
	Timeout int    `json:"timeout"` // seconds from the end of each Do that the helper waits for Commit; then it takes everything back
}

// Confirm confirms a transaction that another connection has open.
type Confirm struct {
	ID    string `json:"id"`
	Nonce string `json:"nonce"`
}

// Commit makes the transaction final. Its Done has Error and Undone when it could not be, and all was taken back. Error without Undone says that it may be
// final, and that something else is wrong: the next Begin brings it to its end.
type Commit struct {
	Manifest []byte `json:"manifest,omitempty"` // the new manifest; empty: it stays as it is
	Aside    bool   `json:"aside,omitempty"`    // the old manifest is kept beside the new one
}
