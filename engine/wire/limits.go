package wire

import "time"

// Limits of a host's answers: their size in memory, and their time. The helper keeps these limits,
// but the controller enforces them too, since it does not trust the helper.

// Time limits of the helper.
const (
	// LookTime is the limit of a question without a program. ProgramTime is the limit of a question
	// with one: the program itself has QueryTime, so that its error arrives before the question times
	// out. PackageTime is the limit of a question about packages, for which dnf downloads lists.
	LookTime    = 30 * time.Second
	QueryTime   = 30 * time.Second
	ProgramTime = QueryTime + 10*time.Second
	PackageTime = 6*QueryTime + 10*time.Second
	// HTTPTime is the limit of one request to the host itself: an answer that comes later is unknown.
	// A probe may take SlowTime longer than its own limit if the host is too slow for many requests.
	HTTPTime = 20 * time.Second
	SlowTime = 60 * time.Second
	// ChangeTime is the limit of a program that changes the host. PackagesTime is the limit of one run
	// of the package manager, which waits for its own lock for up to LockTime.
	ChangeTime   = 10 * time.Minute
	PackagesTime = 30 * time.Minute
	LockTime     = 2 * time.Minute
	// RelabelTime is the limit of restorecon(8): a tree may have millions of files, on slow disks.
	RelabelTime = 24 * time.Hour
	// MaxStalled is how many questions may hang at once before the helper runs fewer others.
	MaxStalled = 64
	// MaxAnswers is the total file content, in bytes, in the answers to one message.
	MaxAnswers = 20 << 20
)

// time returns the time limit of a question.
func (q Query) time() time.Duration {
	switch q.Verb {
	case AskFile, AskFilesystem, AskLoaded, AskUser, AskGroup:
		return LookTime
	case AskPackage:
		return PackageTime
	}
	return ProgramTime
}

// Time returns the time limit of these questions. They run at the same time; afterwards, programs
// look up the names of owners and accounts, in two attempts.
func (a *Ask) Time() time.Duration {
	var most time.Duration
	named := false
	for _, q := range a.Queries {
		most = max(most, q.time())
		named = named || q.Verb == AskFile || q.Verb == AskUser || q.Verb == AskGroup
	}
	if named {
		most += 2*QueryTime + LookTime
	}
	rounds := 1 + len(a.Queries)/MaxStalled // at most MaxStalled slow questions run at once
	return time.Duration(rounds)*most + 10*time.Second
}

// Memory for messages without the requested content. A plan of 1,000 resources has 1 MiB of
// answers.
const (
	roomForWords  = 4 << 20
	roomForAnswer = 4 << 10
)

// Room returns how much memory the answers may take while they are decoded.
func (a *Ask) Room() int {
	content := 0
	for _, q := range a.Queries {
		if q.Verb == AskFile && q.Option != "" && q.Option != "stat" {
			content += MaxContent
		}
	}
	// Content is collected in a buffer that grows to the largest piece.
	content = min(content, MaxAnswers) + 2*min(content, MaxContent)
	return roomForWords + roomForAnswer*len(a.Queries) + content + content/8
}

// Memory limits of messages other than Answers.
const (
	// RoomForManifest is the limit of a message with the manifest, including its decoding buffer.
	RoomForManifest = roomForWords + 4*MaxManifest
	// RoomForWords is the limit of other messages.
	RoomForWords = 1 << 20
	// RoomForBeat is the limit while no request is open: for Beat or Failure.
	RoomForBeat = 256 << 10
)

// Time returns the time limit of an operation or its undo.
func (o *Op) Time() time.Duration {
	switch {
	case o == nil:
		return 0
	case o.Package != nil: // refreshes the lists, retries without failing ones, and waits for the lock each time
		return 4*(PackagesTime+LockTime) + 2*PackageTime
	case o.Run != nil && o.Run.Timeout > 0:
		return time.Duration(o.Run.Timeout)*time.Second + QueryTime
	case o.Probe != nil:
		trees := time.Duration(len(o.Probe.Trees)) * HTTPTime // two requests for each
		return time.Duration(o.Probe.Timeout)*time.Second + SlowTime + trees + 2*QueryTime
	case o.Policy != nil && len(o.Policy.Relabel) > 0:
		return RelabelTime + 2*ChangeTime
	}
	return 4*ChangeTime + 4*QueryTime // a unit needs four programs
}

// Time returns the longest time limit of the operations and their undos.
func (d *Do) Time() time.Duration {
	var most time.Duration
	for i := range d.Ops {
		most = max(most, d.Ops[i].Op.Time(), d.Ops[i].Undo.Time())
	}
	return most
}
